//! `bartizan-enforcer`: parse arguments, start tracing, run, print, exit.

use std::process::ExitCode;

use bartizan_enforcer::args::{Args, Command};
use bartizan_enforcer::{kernel_features, logging, node, run, standalone, uninstall};
use bartizan_policy::printable::Printable;
use clap::Parser;

#[expect(
    clippy::print_stderr,
    reason = "what ends the program is for people, whatever the log"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    let result = logging::start(&args).and_then(|()| match &args.command {
        Command::Run(options) => run::run(options),
        Command::Node(options) => node::run(options),
        Command::Standalone(options) => standalone::run(options),
        Command::KernelFeatures => kernel_features::run(),
        Command::Uninstall(options) => uninstall::run(options),
    });
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            for line in failure.lines() {
                eprintln!("bartizan-enforcer: {}", Printable(&line));
            }
            ExitCode::from(failure.code())
        }
    }
}
