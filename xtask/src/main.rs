//! Developer commands: everything `make` does, and what a plain `cargo build` can't.
//!
//! Rust instead of shell scripts, so that set-up, kernels and guests share one set of
//! paths and errors, and so that a failure always names the way out of it.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress goes to standard error")]

mod ahead;
mod api;
mod bench;
mod cli;
mod cluster;
mod cluster_test;
mod command;
mod demo;
mod digest;
#[cfg(test)]
mod docs;
mod e2e;
mod ebpf;
mod fuzz;
mod generate;
mod guest;
mod images;
mod libtest;
mod lock;
mod monitoring;
mod paths;
mod programs;
mod prometheus;
mod scale;
mod setup;
mod suite;
mod throughput;
mod totals;
mod trial;
mod vm;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
