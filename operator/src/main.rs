//! `bartizan-operator`: parse arguments, start the log, run, print, exit.

use std::process::ExitCode;

use bartizan_operator::args::Args;
use bartizan_operator::{logging, run};
use clap::Parser as _;

#[expect(
    clippy::print_stderr,
    reason = "what ends the program is for people, whatever the log"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    match logging::start(&args).and_then(|()| run::run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bartizan-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
