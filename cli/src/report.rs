//! What a command has to say: text for people, or JSON for programs, never raw.
//!
//! Everything that is printed passes through here, so that nothing in a policy, a file's
//! name or an argument reaches a terminal as a control character.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use bartizan_policy::load::{Diagnostic, Diagnostics};
use bartizan_policy::printable::{Printable, PrintableJson};
use serde::Serialize;

use crate::args::Output;

/// The policies are invalid, or something couldn't be read or written.
pub(crate) const INVALID: u8 = 1;
/// The operation or an option makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The operation is denied.
pub(crate) const DENIED: u8 = 3;
/// The policies are valid, but a kernel can't enforce all of them.
pub(crate) const UNENFORCEABLE: u8 = 3;

/// What to print, and the exit code.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    pub(crate) code: u8,
}

/// Lines that are safe to print.
#[derive(Default)]
pub(crate) struct Lines(String);

impl Lines {
    /// Adds one line, whatever is in it.
    pub(crate) fn add(&mut self, line: impl fmt::Display) {
        let line = line.to_string();
        let _ = writeln!(self.0, "{}", Printable(&line));
    }

    /// Adds a value as JSON.
    pub(crate) fn add_json(&mut self, value: &impl Serialize) {
        let json = serde_json::to_string_pretty(value)
            .expect("structs and lists of texts and numbers are JSON");
        let _ = writeln!(self.0, "{}", PrintableJson(&json));
    }
}

impl Report {
    pub(crate) fn write(&self) -> io::Result<u8> {
        io::stderr().write_all(self.stderr.0.as_bytes())?;
        match io::stdout().write_all(self.stdout.0.as_bytes()) {
            // Whoever reads has seen enough (`| head`); the exit code is still right.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
        Ok(self.code)
    }
}

/// Why there is no answer.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    code: u8,
    /// One sentence.
    error: String,
    /// What is wrong with policies, place by place.
    diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// The command line makes no sense.
    pub(crate) fn usage(error: impl fmt::Display) -> Self {
        Self::new(USAGE, error)
    }

    /// The policies make no sense together.
    pub(crate) fn policies(error: impl fmt::Display) -> Self {
        Self::new(INVALID, error)
    }

    fn new(code: u8, error: impl fmt::Display) -> Self {
        Self {
            code,
            error: error.to_string(),
            diagnostics: Vec::new(),
        }
    }

    /// On standard error as text, on standard output as JSON.
    pub(crate) fn report(&self, output: Output) -> Report {
        let mut report = Report {
            code: self.code,
            ..Report::default()
        };
        match output {
            Output::Json => report.stdout.add_json(self),
            Output::Text if self.diagnostics.is_empty() => {
                report.stderr.add(format_args!("error: {}", self.error));
                if self.code == USAGE {
                    report.stderr.add("For more information, try '--help'.");
                }
            }
            Output::Text => self.diagnostics.iter().for_each(|d| report.stderr.add(d)),
        }
        report
    }
}

impl From<Diagnostics> for Failure {
    fn from(Diagnostics(diagnostics): Diagnostics) -> Self {
        Self {
            diagnostics,
            ..Self::policies("the policies are invalid")
        }
    }
}
