//! The machines of the cluster, as who pulls their plugs sees them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// `cargo xtask cluster`, for one cluster.
pub(crate) struct Cluster {
    xtask: PathBuf,
    name: String,
}

impl Cluster {
    pub(crate) fn new(xtask: PathBuf, name: String) -> Self {
        Self { xtask, name }
    }

    /// Runs a command in a shell of a node; it must succeed. Returns its standard output.
    pub(crate) fn on_node(&self, node: &str, command: &str) -> Result<String> {
        self.run(&["exec", "--node", node, command])
    }

    /// Ends a server or a node, which stays away.
    pub(crate) fn stop(&self, server: &str) -> Result<()> {
        self.run(&["stop", server]).map(|_| ())
    }

    /// Brings back what was stopped.
    pub(crate) fn start(&self, server: &str) -> Result<()> {
        self.run(&["start", server]).map(|_| ())
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.xtask)
            .args(["cluster", "--name", &self.name])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("can't run xtask")?;
        ensure!(
            output.status.success(),
            "{} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
