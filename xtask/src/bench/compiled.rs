//! What compiling policies costs, on the machine that runs this.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::policies::LABEL;
use super::workloads;
use crate::command::output;
use crate::paths;

/// The largest of the measured policies.
const LARGEST: &str = "r1000";

/// A policy as a table.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compiled {
    pub(super) rules: u32,
    pub(super) bytes: u32,
    pub(super) link_ms: f64,
    pub(super) compile_ms: f64,
}

/// Compiles the largest policy. `program` is the one that measures in guests.
pub(super) fn measure(program: &Path) -> Result<Compiled> {
    let workload = workloads::of(LARGEST).context("no such workload")?;
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{LARGEST}.yaml"));
    fs::write(&file, workload.policy())?;
    let mut cost = Command::new(program);
    cost.args(["compile", &format!("{LABEL}={LARGEST}")])
        .arg(file);
    Ok(serde_json::from_str(&output(&mut cost)?)?)
}
