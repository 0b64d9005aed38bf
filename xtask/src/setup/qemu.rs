//! A QEMU that boots every kernel: 7.2, which Debian 12 has, crashes 6.12 and newer
//! under emulation, so anything older than 9 is replaced by the backport.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{PrivateApt, Suites};
use super::packages::{self, apt_get, debian_12};
use crate::command::{output, run_quietly, say};
use crate::lock::{CacheLock, Part};

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// The processor of guests in which instructions are counted: with all that QEMU can emulate.
pub(crate) const PROCESSOR: &str = "max";
/// The processor of all others. The kernel clears and copies pages by `rep stosb` and
/// `rep movsb` where a processor says that these are fast; emulated they take a turn for each
/// byte, which made page faults five times as expensive as without them.
pub(crate) const QUICK_PROCESSOR: &str = "max,erms=off,fsrm=off";
const OLDEST: u32 = 9;

/// Makes sure that a new enough QEMU is installed; returns its version.
pub(crate) fn qemu() -> Result<String> {
    if let Some(version) = installed() {
        return Ok(version);
    }
    packages::refuse_unless_possible("qemu-system-x86 (version 9 or newer: see backports)")?;
    let _lock = CacheLock::take(Part::Debian)?;
    if let Some(version) = installed() {
        return Ok(version);
    }
    if debian_12() {
        say("installing qemu-system-x86 from bookworm-backports");
        PrivateApt::open(Suites::Bookworm)?.install("bookworm-backports", &["qemu-system-x86"])?;
    } else {
        say("installing qemu-system-x86");
        run_quietly(apt_get().arg("update"))?;
        run_quietly(apt_get().args([
            "install",
            "--yes",
            "--no-install-recommends",
            "qemu-system-x86",
        ]))?;
    }
    let Some(version) = installed() else {
        bail!("{PROGRAM} is older than version {OLDEST}: install a newer one");
    };
    Ok(version)
}

/// The version on `PATH`, if it is new enough.
fn installed() -> Option<String> {
    let said = output(Command::new(PROGRAM).arg("--version")).ok()?;
    let version = parse(&said).ok()?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= OLDEST).then_some(version)
}

fn parse(said: &str) -> Result<String> {
    let word = said
        .split_whitespace()
        .nth(3)
        .context("unknown output of qemu --version")?;
    Ok(word.to_owned())
}
