//! What runs inside a container: does what it is told and answers with the errno.
//!
//! ```text
//!   test ── "file read /etc/shadow\n" ──► copy of this program, under the caller's name
//!        ◄────────── "13\n" ────────────┘
//! ```
//!
//! Programs that a table of cases names are copies of this one, so whichever is run can
//! carry on, and needs no library and no interpreter. 0 is success; a step that has to
//! work before the one that is judged answers with a sentence.

mod attempt;
mod crowd;
mod descriptor;
mod hammer;
mod interpreter;
mod mounted;
mod operation;
mod other;
mod outside;
mod restricted;
mod socket;
mod uring;

use std::io::{self, BufRead as _, Write as _};
use std::process::{Child, ExitCode};

use anyhow::{Context as _, Result};
use rustix::io::Errno;

pub(crate) use attempt::{DELETED, ODD, SECRET, TOOL, VAULT};
pub(crate) use descriptor::{GIVER, KEPT};
pub(crate) use hammer::counted;
pub(crate) use interpreter::{LIBRARY, THROUGH_INTERPRETER};
pub(crate) use operation::{MOVED, OWNER};
pub(crate) use outside::OUTSIDE;
pub(crate) use socket::{ABSTRACT_PEER, PEER};
pub(crate) use uring::PRIVATE;

/// Operations behind it are done over and over, see [`hammer`].
pub(crate) const HAMMER: [&str; 2] = ["probe", "hammer"];
/// Ends well.
pub(crate) const NOTHING: [&str; 2] = ["probe", "nothing"];

/// How an operation ended.
pub(crate) enum Failure {
    /// The kernel refused what was tried.
    Refused(Errno),
    /// It was not tried, because something before it failed.
    Setup(String),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Says what failed before the operation that counts.
fn setup<T>(step: &str, result: Result<T, Errno>) -> Result<T, Failure> {
    result.map_err(|errno| Failure::Setup(format!("{step}: {errno}")))
}

/// Asks a child that serves one thing.
pub(crate) fn ask(child: &mut Child, operation: &str) -> Result<String> {
    let mut to = child.stdin.take().context("it has no standard input")?;
    writeln!(to, "{operation}")?;
    drop(to);
    let from = child.stdout.take().context("it has no standard output")?;
    let mut lines = io::BufReader::new(from).lines();
    lines.next().context("it is not ready")??;
    Ok(lines.next().context("it has not answered")??)
}

/// The side that runs in containers.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    match words {
        ["serve"] => serve(operation::perform),
        // As the interpreter of a script, with the script's name in front.
        ["nothing"] | [_, "probe", "nothing"] => ExitCode::SUCCESS,
        ["hammer", operations @ ..] => hammer::run(operations),
        ["inherited", attempt, number] => {
            println!("{}", answer(descriptor::use_inherited(attempt, number)));
            ExitCode::SUCCESS
        }
        ["attempt", name] => {
            println!("{}", answer(attempt::perform(name)));
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

/// Does what is asked for, line by line, until nothing more comes.
pub(crate) fn serve(mut perform: impl FnMut(&[&str]) -> Result<(), Failure>) -> ExitCode {
    println!("ready");
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", answer(perform(&words)));
        if io::stdout().flush().is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// What an [`answer`] says.
fn answered(text: &str) -> Result<(), Failure> {
    match text.trim().parse() {
        Ok(0) => Ok(()),
        Ok(errno) => Err(Failure::Refused(Errno::from_raw_os_error(errno))),
        Err(_) => Err(Failure::Setup(text.trim().to_owned())),
    }
}

fn answer(result: Result<(), Failure>) -> String {
    match result {
        Ok(()) => "0".to_owned(),
        Err(Failure::Refused(errno)) => errno.raw_os_error().to_string(),
        Err(Failure::Setup(step)) => step.replace('\n', " "),
    }
}
