//! `bartizan`: check policies and explain their verdicts, with no kernel and no cluster.

mod args;
mod check;
mod enforceable;
mod explain;
mod report;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use report::{INVALID, Report};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    answer(&words).write().map_or_else(
        |error| {
            let _ = writeln!(io::stderr(), "error: the answer can't be written: {error}");
            ExitCode::from(INVALID)
        },
        ExitCode::from,
    )
}

/// What there is to say to a command line.
fn answer(words: &[OsString]) -> Report {
    match Args::try_parse_from(words) {
        Ok(args) => match &args.command {
            Command::Check(args) => check::run(args),
            Command::Explain(args) => {
                explain::run(args).unwrap_or_else(|failure| failure.report(args.output))
            }
        },
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => args::refusal(words, error),
    }
}
