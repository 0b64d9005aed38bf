//! The same few operations over and over, counted by how they end.
//!
//! Each is a word: `!` in front of what must be denied, `=` of what must not, commas for
//! spaces. A line on standard input is answered with the counts so far; `stop` ends.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;

use super::{Failure, operation};

#[derive(Default)]
struct Counts {
    denied: AtomicU64,
    escaped: AtomicU64,
    allowed: AtomicU64,
    wronged: AtomicU64,
    /// What could not be tried.
    odd: Mutex<Option<String>>,
    ending: AtomicBool,
}

impl Counts {
    fn text(&self) -> String {
        let odd = self.odd.lock().ok().and_then(|odd| odd.clone());
        if let Some(odd) = odd {
            return odd.replace('\n', " ");
        }
        let counts = [&self.denied, &self.escaped, &self.allowed, &self.wronged];
        counts
            .map(|count| count.load(Relaxed).to_string())
            .join(" ")
    }

    fn perform(&self, must_be_denied: bool, words: &[&str]) {
        let is_denied = match operation::perform(words) {
            Err(Failure::Refused(Errno::ACCESS | Errno::PERM)) => true,
            // Nobody listens where connections are allowed to.
            Ok(()) | Err(Failure::Refused(Errno::CONNREFUSED | Errno::INPROGRESS)) => false,
            Err(Failure::Refused(errno)) => return self.is_odd(words, &errno.to_string()),
            Err(Failure::Setup(step)) => return self.is_odd(words, &step),
        };
        let count = match (must_be_denied, is_denied) {
            (true, true) => &self.denied,
            (true, false) => &self.escaped,
            (false, false) => &self.allowed,
            (false, true) => &self.wronged,
        };
        count.fetch_add(1, Relaxed);
    }

    fn is_odd(&self, words: &[&str], what: &str) {
        if let Ok(mut odd) = self.odd.lock() {
            odd.get_or_insert_with(|| format!("{}: {what}", words.join(" ")));
        }
    }
}

/// How many operations an answer says were denied and allowed; fails if one should not have
/// been.
pub(crate) fn counted(answer: &str) -> Result<(u64, u64)> {
    let numbers: Result<Vec<u64>, _> = answer.split(' ').map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("it says {answer}"))?;
    let &[denied, escaped, allowed, wronged] = numbers.as_slice() else {
        bail!("it says {answer}");
    };
    ensure!(escaped == 0, "{escaped} of {denied} denials got through");
    ensure!(wronged == 0, "{wronged} of {allowed} were denied");
    Ok((denied, allowed))
}

/// Goes on until it is told to stop.
pub(super) fn run(operations: &[&str]) -> ExitCode {
    let counts = Counts::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !counts.ending.load(Relaxed) {
                for operation in operations {
                    let (sign, words) = operation.split_at(1);
                    let words: Vec<&str> = words.split(',').collect();
                    counts.perform(sign == "!", &words);
                }
            }
        });
        println!("ready");
        for line in io::stdin().lock().lines() {
            if line.is_ok_and(|line| line == "stop") {
                break;
            }
            println!("{}", counts.text());
            let _ = io::stdout().flush();
        }
        counts.ending.store(true, Relaxed);
    });
    println!("{}", counts.text());
    ExitCode::SUCCESS
}
