//! A folder for the files of one run, and what stays of it: the console's log.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::paths;
use crate::setup::Kernel;

/// Guests of this process so far.
static COUNT: AtomicU32 = AtomicU32::new(0);
const PREFIX: &str = "bartizan-guest-";

/// A folder that only we can enter, removed when dropped.
pub(super) struct RunFolder {
    path: PathBuf,
    name: String,
}

impl RunFolder {
    pub(super) fn new() -> Result<Self> {
        remove_stale();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!("{}-{}-{count}", now.as_secs(), std::process::id());
        let path = env::temp_dir().join(format!("{PREFIX}{name}"));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { path, name })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where QEMU writes what the guest's kernel prints.
    pub(super) fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// Copies the console's log to where it outlives the run.
    pub(super) fn keep_console(&self, kernel: &Kernel) -> Result<PathBuf> {
        let dir = paths::target().join("guest-logs");
        paths::make(&dir)?;
        let kept = dir.join(format!("{}-{}.log", self.name, kernel.release));
        fs::copy(self.console(), &kept)
            .with_context(|| format!("can't keep the console as {}", kept.display()))?;
        Ok(kept)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of commands that were killed before they could.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|name| name.split('-').nth(1));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another user's folder stays, as does one that is being removed already.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What the console says about a guest that didn't end by itself.
pub(super) fn explain(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines
        .iter()
        .position(|line| line.contains("Kernel panic") || line.contains("BUG:"))
        .unwrap_or(lines.len())
        .min(lines.len().saturating_sub(10));
    if lines.is_empty() {
        return "the guest printed nothing on its console".to_owned();
    }
    let shown = lines[from..]
        .iter()
        .take(40)
        .copied()
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "the guest's console said (all of it: {}):\n{shown}",
        console.display()
    )
}
