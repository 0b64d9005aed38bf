//! One writer at a time for the cache: two commands started together must not both
//! download a kernel, and apt refuses to share its state folder.

use std::fs::File;

use anyhow::{Context as _, Result};

use crate::command::say;
use crate::paths;

/// Held while something in the cache is made; released when dropped.
pub(crate) struct CacheLock(#[expect(dead_code, reason = "closing the file unlocks it")] File);

impl CacheLock {
    /// Waits until no other command writes to the cache.
    pub(crate) fn take() -> Result<Self> {
        let path = paths::cache()?.join("lock");
        let file = File::create(&path).with_context(|| format!("can't open {}", path.display()))?;
        if file.try_lock().is_err() {
            say("waiting for another command to finish its set-up");
            file.lock()
                .with_context(|| format!("can't lock {}", path.display()))?;
        }
        Ok(Self(file))
    }
}
