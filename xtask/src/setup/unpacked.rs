//! Files of Debian packages, unpacked into the cache and never installed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::apt::{PrivateApt, Suites};
use crate::command::say;
use crate::digest::digest;
use crate::lock::{CacheLock, Part};
use crate::paths;

/// A folder with the files of Debian 12's packages, from the cache if it is there. Their
/// dependencies and scripts are left out.
pub(crate) fn unpacked(packages: &[&str]) -> Result<PathBuf> {
    let dir = paths::cache()?.join(format!("packages-{}", digest(packages)));
    if dir.is_dir() {
        return Ok(dir);
    }
    let _lock = CacheLock::take(Part::Debian)?;
    if !dir.is_dir() {
        say(format!("downloading {}", packages.join(", ")));
        let work = dir.with_file_name(format!("unpacking-{}", std::process::id()));
        paths::make(&work)?;
        let names: Vec<_> = packages.iter().map(|name| (*name).to_owned()).collect();
        PrivateApt::open(Suites::Bookworm)?.unpack(&names, &work)?;
        fs::rename(&work, &dir).with_context(|| format!("can't move {}", work.display()))?;
    }
    Ok(dir)
}
