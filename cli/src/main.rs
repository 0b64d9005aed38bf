//! `bartizan`: check policies and explain their verdicts, with no kernel and no cluster.

mod args;
mod check;
mod explain;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// The policies are invalid, or something couldn't be read or written.
const INVALID: u8 = 1;
/// The operation or an option makes no sense; also clap's own.
const USAGE: u8 = 2;
/// The operation is denied.
const DENIED: u8 = 3;

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
    };
    let written = result.and_then(|report| report.write());
    written.map_or_else(
        |error| {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(INVALID)
        },
        ExitCode::from,
    )
}

/// What a command has to say, and its exit code.
struct Report {
    stdout: String,
    stderr: String,
    code: u8,
}

impl Report {
    fn write(&self) -> anyhow::Result<u8> {
        io::stderr().write_all(self.stderr.as_bytes())?;
        match io::stdout().write_all(self.stdout.as_bytes()) {
            // Whoever reads has seen enough (`| head`); the exit code is still right.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
        Ok(self.code)
    }
}
