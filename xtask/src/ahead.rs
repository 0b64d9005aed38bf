//! What later steps need, built while earlier ones run: programs that are optimised as a
//! whole keep one processor busy for minutes, and downloads none.

use std::thread::{self, JoinHandle};

use anyhow::{Result, bail};

use crate::command::say;

/// Work in the background.
pub(crate) struct Ahead {
    what: &'static str,
    work: JoinHandle<Result<()>>,
}

impl Ahead {
    /// Starts it.
    pub(crate) fn start(what: &'static str, work: fn() -> Result<()>) -> Self {
        say(format!("in the background: {what}"));
        Self {
            what,
            work: thread::spawn(work),
        }
    }

    /// Waits until it is done.
    pub(crate) fn finish(self) -> Result<()> {
        if !self.work.is_finished() {
            say(format!("waiting for {}", self.what));
        }
        let result = self.work.join();
        result.unwrap_or_else(|_| bail!("{} ended with a panic", self.what))
    }
}
