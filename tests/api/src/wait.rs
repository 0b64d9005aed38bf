//! Waiting for what happens elsewhere.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

/// Until something on a busy machine counts as never happening.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer, for at most half a minute.
///
/// `None` means not yet. An error is as good as `None` (servers may be down), but the last
/// one is in the message when time is up.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, ask).await
}

/// Like [`eventually`], for at most `patience`.
pub async fn within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        let answer = ask().await;
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
        // What takes a process, as kubectl does, is asked less often.
        sleep(asked.elapsed().max(POLL)).await;
    }
}
