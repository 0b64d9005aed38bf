//! A clock for one process that a test can set.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;

/// The time of day that a process sees. Monotonic clocks, and so timeouts, are left alone.
pub struct Clock {
    offset: PathBuf,
}

impl Clock {
    /// A clock that is ahead of the machine's, or behind by a negative number.
    pub fn ahead_by_days(cluster: &Cluster, days: i32) -> Result<Self> {
        let clock = Self {
            offset: cluster.file("clock"),
        };
        clock.set_ahead_by_days(days)?;
        Ok(clock)
    }

    /// Sets it; whoever uses it sees that at the next look.
    pub fn set_ahead_by_days(&self, days: i32) -> Result<()> {
        // Renamed, so that nobody reads a part of it.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{days:+}d\n")).context("can't set a clock")?;
        fs::rename(&new, &self.offset).context("can't set a clock")
    }

    /// What a process needs in its environment to live by it.
    pub(crate) fn environment(&self) -> Result<Vec<(String, OsString)>> {
        let set = |name: &str, value: &Path| (name.to_owned(), value.as_os_str().to_owned());
        Ok(vec![
            set("LD_PRELOAD", &library()?),
            set("FAKETIME_TIMESTAMP_FILE", &self.offset),
            set("FAKETIME_NO_CACHE", Path::new("1")),
            set("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
        ])
    }
}

/// Debian's package `faketime` has it in the folder of the machine's architecture.
fn library() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("can't list /usr/lib")?;
    let mut libraries = folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|library| library.exists())
        .context("no libfaketime: run these tests with `cargo xtask api`, which installs it")
}
