//! Where the servers' programs are.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

const REMEDY: &str = "run these tests with `cargo xtask api`, which builds the servers";

pub(crate) fn etcd() -> Result<PathBuf> {
    variable("BARTIZAN_ETCD")
}

/// A program of Kubernetes.
pub(crate) fn kubernetes(program: &str) -> Result<PathBuf> {
    Ok(variable("BARTIZAN_KUBERNETES")?.join(program))
}

/// The operator.
pub(crate) fn operator() -> Result<PathBuf> {
    variable("BARTIZAN_OPERATOR")
}

fn variable(name: &str) -> Result<PathBuf> {
    let value = env::var_os(name).with_context(|| format!("{name} is not set: {REMEDY}"))?;
    Ok(value.into())
}
