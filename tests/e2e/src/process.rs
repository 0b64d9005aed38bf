//! What the kernel says of a process.

use std::fs;

use anyhow::{Context as _, Result};

/// Memory of a process in KiB, without what it has mapped of files.
pub(crate) fn heap(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("no RssAnon")?.parse().context("RssAnon")
}
