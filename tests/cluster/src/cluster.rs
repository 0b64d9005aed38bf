//! The machines of the cluster, as who pulls their plugs sees them.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};

use crate::wait::POLL;

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

    /// Asks a Prometheus that scrapes the cluster all that alerts and the dashboard ask; does
    /// something meanwhile, again and again. Returns what was found; it must be right.
    pub(crate) fn monitoring(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<String> {
        let mut asking = self.command(&["monitoring"]);
        let mut asking = asking
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut found = asking.stdout.take().context("no standard output")?;
        let found = thread::spawn(move || io::read_to_string(&mut found));
        let mut done = Ok(());
        let status = loop {
            if let Some(status) = asking.try_wait()? {
                break status;
            }
            done = done.and_then(|()| meanwhile());
            thread::sleep(POLL);
        };
        done?;
        let found = found.join().expect("reading doesn't panic")?;
        ensure!(status.success(), "{found}");
        Ok(found)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        command
            .args(["cluster", "--name", &self.name])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(arguments);
        let output = command.output().context("can't run xtask")?;
        ensure!(
            output.status.success(),
            "{} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
