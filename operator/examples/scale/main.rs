//! What clusters cost the operator that are larger than one can run.
//!
//! ```text
//!   fleet (policies, pods) ─► operator: Cluster, and writes that succeed ─► measure ─► results
//! ```
//!
//! No API server: the cluster of `--nodes`, `--pods` and `--policies` is fed to the index
//! that all decisions are made in, and what it wants written is counted and taken in as if
//! the API server had said yes. `cargo xtask scale` builds and runs this.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress goes to standard error")]
#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod figures;
mod fleet;
mod measure;
mod operator;
mod policies;
mod random;
mod results;

use anyhow::Result;
use clap::Parser;
use figures::Format;

/// Measures the operator with a cluster that is made up
#[derive(Debug, Parser)]
struct Args {
    /// Nodes that pods are on
    #[arg(long)]
    nodes: std::num::NonZeroU32,
    /// Pods
    #[arg(long)]
    pods: std::num::NonZeroU32,
    /// Policies of both kinds
    #[arg(long)]
    policies: std::num::NonZeroU32,
    /// How to print the results
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let size = fleet::Size {
        nodes: args.nodes.get() as usize,
        pods: args.pods.get() as usize,
        policies: args.policies.get() as usize,
    };
    let measured = measure::measure(size, |text| eprintln!("==> {text}"))?;
    args.output.print(&results::of(&measured))
}
