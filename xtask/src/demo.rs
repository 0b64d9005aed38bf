//! `cargo xtask demo`: what Bartizan does, as a transcript of real commands.
//!
//! ```text
//!   steps ──► script ──► shell ──► lines with marks ──► transcript ──► verdict
//! ```
//! The shell is on this machine and has a kubectl and a cluster; with `--local` it is in a
//! guest and shows the engine alone. The transcript is printed as it comes, and each
//! step is compared with what it says it shows, so that the demo can't go stale unnoticed.

mod cluster;
mod cluster_steps;
mod local;
mod local_steps;
mod step;
mod transcript;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

pub(crate) use cluster::{NAMESPACE, show_in};

use crate::setup::KernelLine;
use transcript::Transcript;

/// Where to show it.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The kernel to boot
    #[arg(long, value_enum, default_value_t = KernelLine::V6_12)]
    kernel: KernelLine,
    /// The engine alone, in one guest without Kubernetes
    #[arg(long)]
    local: bool,
    /// Let the cluster run on, to try things in it
    #[arg(long, conflicts_with = "local")]
    keep: bool,
}

impl Demo {
    /// Shows all steps; an error if one of them didn't do what it should.
    pub(crate) fn run(&self) -> Result<()> {
        if self.local {
            local::run(self.kernel)
        } else {
            cluster::run(self.kernel, self.keep)
        }
    }
}

/// Says how it went; `logs` is where to look if it went wrong.
fn conclude(transcript: &Transcript, took: Duration, logs: Option<&str>) -> Result<()> {
    let steps = transcript.len();
    let mismatches = transcript.mismatches();
    if mismatches.is_empty() {
        println!(
            "\nAll {steps} commands did what they should, in {:.0} s.",
            took.as_secs_f32()
        );
        return Ok(());
    }
    for mismatch in &mismatches {
        println!("\n{mismatch}");
    }
    bail!(
        "{} of {steps} commands did something else than they should{}",
        mismatches.len(),
        logs.map(|logs| format!("; logs: {logs}"))
            .unwrap_or_default()
    )
}

/// The commands of the demo in a cluster.
#[cfg(test)]
pub(crate) fn cluster_commands() -> impl Iterator<Item = &'static str> {
    cluster_steps::STEPS.iter().map(|step| step.command)
}
