//! Waiting for what has to happen.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Until something counts as not happening; a guest can be slow.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(5);

/// Waits until something is so; `what` is said of it when it never is.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(POLL);
    }
    Ok(())
}
