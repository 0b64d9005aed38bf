//! What a case is, and what it gets.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::kubectl::Kubectl;

/// A test.
pub(crate) struct Case {
    /// `TOPIC/FACT`.
    pub(crate) name: &'static str,
    /// Whether others can't do without it.
    pub(crate) is_needed: bool,
    pub(crate) run: fn(&Context) -> Result<()>,
}

impl Case {
    pub(crate) fn new(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            name,
            is_needed: false,
            run,
        }
    }

    /// A case on which others build.
    pub(crate) fn needed(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            is_needed: true,
            ..Self::new(name, run)
        }
    }
}

/// The cluster, as a case sees it.
pub(crate) struct Context {
    pub(crate) kubectl: Kubectl,
    /// The root of the checkout.
    pub(crate) checkout: PathBuf,
}

impl Context {
    pub(crate) fn of_environment() -> Result<Self> {
        let variable = |name: &str| {
            let value = std::env::var_os(name);
            value.with_context(|| {
                format!("{name} is not set: run this with `cargo xtask cluster-test`")
            })
        };
        variable("KUBECONFIG")?;
        Ok(Self {
            kubectl: Kubectl::new(variable("BARTIZAN_KUBECTL")?.into()),
            checkout: variable("BARTIZAN_CHECKOUT")?.into(),
        })
    }

    /// A file of the checkout, for kubectl.
    pub(crate) fn file(&self, path: &str) -> Result<String> {
        let path = self.checkout.join(path);
        let text = path.to_str().context("the checkout's path is no text")?;
        Ok(text.to_owned())
    }
}

/// The reason why a case can't say anything here.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}
