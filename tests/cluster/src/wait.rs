//! Waiting for what happens in the cluster.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Until something on an emulated node counts as never happening. With other machines beside
/// it, one that has two processors took three minutes to start a pod.
pub(crate) const PATIENCE: Duration = Duration::from_mins(8);
/// Between two questions.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Asks again and again until there is an answer. `None` means not yet, and so does an
/// error, but the last one is in the message when time is up.
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, ask)
}

/// The same with another limit.
pub(crate) fn within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        if let Ok(Some(answer)) = answer {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            let message = format!("after {patience:?} still not: {what}");
            match answer {
                Err(error) => return Err(error).context(message),
                Ok(_) => bail!(message),
            }
        }
        thread::sleep(POLL);
    }
}
