//! A cluster's folder: data, which goes, and logs, which stay when a test fails.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::cluster::checkout;

/// `target/api/PID-NUMBER`. `cargo xtask api` removes those of processes that have ended.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep_logs: AtomicBool,
}

impl Folder {
    pub(crate) fn make() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| checkout().join("target"), PathBuf::from);
        let path = target
            .join("api")
            .join(format!("{}-{number}", std::process::id()));
        // A process of the same number may have left one behind.
        let _ = fs::remove_dir_all(&path);
        let mut folder = Self {
            path,
            keep_logs: AtomicBool::new(false),
        };
        for dir in [folder.logs(), folder.data("")] {
            fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        }
        // Servers get these paths as arguments, wherever they are started.
        folder.path = folder
            .path
            .canonicalize()
            .context("the new folder is gone")?;
        Ok(folder)
    }

    /// Where logs go.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// A path below the folder for data.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path.join("data").join(name)
    }

    /// Writes a file of data; returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.data(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }

    /// Keeps the logs when this is dropped.
    pub(crate) fn keep_logs(&self) {
        self.keep_logs.store(true, Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let keep = *self.keep_logs.get_mut();
        let doomed = if keep {
            self.data("")
        } else {
            self.path.clone()
        };
        // What can't be removed now is removed before the next run.
        let _ = fs::remove_dir_all(doomed);
    }
}
