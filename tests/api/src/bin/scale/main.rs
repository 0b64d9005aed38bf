//! What the operator takes through a real API server, with pods that are only objects and
//! enforcers that are simulated.
//!
//! ```text
//!   fleet (namespaces, policies, pods) ─► API server ◄─► operator
//!   measure: edits, new pods  ─────────►     │
//!            published? ◄── watch ───────────┘──► enforcers: armed
//! ```
//!
//! `cargo xtask scale --api` builds and runs this.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress goes to standard error")]
#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

#[path = "../../../../../operator/examples/scale/figures.rs"]
mod figures;
mod fleet;
mod measure;
mod published;

use anyhow::Result;
use bartizan_api_tests::{Setup, serve};
use clap::Parser;
use figures::Format;

/// Measures the operator through an API server
#[derive(Debug, Parser)]
struct Args {
    /// Nodes that pods are on
    #[arg(long)]
    nodes: std::num::NonZeroU32,
    /// Pods
    #[arg(long)]
    pods: std::num::NonZeroU32,
    /// How to print the results
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let size = fleet::Size {
        nodes: args.nodes.get(),
        pods: args.pods.get(),
    };
    serve(Setup::default(), async |cluster| {
        let figures = measure::measure(cluster, size, |text| eprintln!("==> {text}")).await?;
        args.output.print(&figures)
    })
}
