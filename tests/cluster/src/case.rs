//! What a case is, and what it gets.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cluster::Cluster;
use crate::kubectl::Kubectl;

/// A cluster as `cargo xtask cluster-test` boots it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One node: a script as init, cgroupfs, NRI.
    Plain,
    /// One node: systemd, which makes the cgroups, and no NRI.
    Systemd,
    /// Three nodes, the third without BPF-LSM.
    Three,
}

impl Layout {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Systemd, Self::Three];

    /// How many of its nodes can enforce.
    pub(crate) fn able(self) -> u64 {
        match self {
            Self::Plain | Self::Systemd => 1,
            Self::Three => 2,
        }
    }

    fn of_name(name: &str) -> Result<Self> {
        Ok(match name {
            "plain" => Self::Plain,
            "systemd" => Self::Systemd,
            "three" => Self::Three,
            _ => bail!("there is no layout {name}"),
        })
    }
}

/// A test.
pub(crate) struct Case {
    /// `TOPIC/FACT`.
    pub(crate) name: &'static str,
    /// Whether others can't do without it.
    pub(crate) is_needed: bool,
    /// Whether only the long form of the tests has it.
    pub(crate) is_long: bool,
    /// Where it is run.
    pub(crate) layouts: &'static [Layout],
    pub(crate) run: fn(&Context) -> Result<()>,
}

impl Case {
    /// A case for the plain layout.
    pub(crate) fn new(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            name,
            is_needed: false,
            is_long: false,
            layouts: &[Layout::Plain],
            run,
        }
    }

    /// The same case for the long form alone.
    pub(crate) fn long(self) -> Self {
        Self {
            is_long: true,
            ..self
        }
    }

    /// The same case in other layouts.
    pub(crate) fn on(self, layouts: &'static [Layout]) -> Self {
        Self { layouts, ..self }
    }

    /// A case on which others build, everywhere.
    pub(crate) fn needed(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            is_needed: true,
            layouts: &Layout::ALL,
            ..Self::new(name, run)
        }
    }
}

/// The cluster, as a case sees it.
pub(crate) struct Context {
    pub(crate) kubectl: Kubectl,
    pub(crate) cluster: Cluster,
    pub(crate) layout: Layout,
    /// Whether to do as much as the goals say, which takes longer than a test should.
    pub(crate) is_long: bool,
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
        let text = |name: &str| {
            let value = variable(name)?;
            value
                .into_string()
                .map_err(|value| anyhow!("{name} is no text: {}", value.display()))
        };
        variable("KUBECONFIG")?;
        Ok(Self {
            kubectl: Kubectl::new(variable("BARTIZAN_KUBECTL")?.into()),
            cluster: Cluster::new(
                variable("BARTIZAN_XTASK")?.into(),
                text("BARTIZAN_CLUSTER")?,
            ),
            layout: Layout::of_name(&text("BARTIZAN_LAYOUT")?)?,
            is_long: text("BARTIZAN_LONG")? == "true",
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
