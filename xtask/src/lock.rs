//! One writer at a time for each part of the cache: two commands started together must not
//! both download a kernel, and apt refuses to share its state folder.

use std::fs::File;

use anyhow::{Context as _, Result};

use crate::command::say;
use crate::paths;

/// What is made by one command at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// Whatever comes from Debian.
    Debian,
    /// Programs that are built from Go.
    Go,
    /// A program that is built by `cargo install`.
    Tool(&'a str),
}

/// Held while something in the cache is made; released when dropped.
pub(crate) struct CacheLock(#[expect(dead_code, reason = "closing the file unlocks it")] File);

impl CacheLock {
    /// Waits until nobody else makes that part.
    pub(crate) fn take(part: Part<'_>) -> Result<Self> {
        let name = match part {
            Part::Debian => "debian",
            Part::Go => "go",
            Part::Tool(name) => name,
        };
        let path = paths::cache()?.join(format!("lock-{name}"));
        let file = File::create(&path).with_context(|| format!("can't open {}", path.display()))?;
        if file.try_lock().is_err() {
            say(format!("waiting until another has set {name} up"));
            file.lock()
                .with_context(|| format!("can't lock {}", path.display()))?;
        }
        Ok(Self(file))
    }
}
