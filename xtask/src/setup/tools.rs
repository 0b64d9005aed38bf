//! Tools that cargo builds: each in a folder of its own in the cache, named by version.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{cargo, output, run, say};
use crate::lock::{CacheLock, Part};
use crate::paths;

/// The newest bpf-linker that needs no LLVM packages: it loads the Rust toolchain's own.
const BPF_LINKER: &str = "0.10.3";

/// A bpf-linker: the one on `PATH` if it runs, else ours.
pub(crate) fn bpf_linker() -> Result<PathBuf> {
    if let Some(found) = paths::on_path("bpf-linker")
        && output(Command::new(&found).arg("--version")).is_ok()
    {
        return Ok(found);
    }
    cargo_tool("bpf-linker", BPF_LINKER)
}

/// A program built by `cargo install`, from the cache if it is there.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    let dir = paths::cache()?.join(format!("{name}-{version}"));
    let program = dir.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let _lock = CacheLock::take(Part::Tool(name))?;
    if program.is_file() {
        return Ok(program);
    }
    say(format!("building {name} {version} (once; a few minutes)"));
    let work = dir.with_file_name(format!("building-{name}-{}", std::process::id()));
    run(cargo()
        .args([
            "install",
            name,
            "--version",
            version,
            "--locked",
            "--quiet",
            "--root",
        ])
        .arg(&work))?;
    fs::rename(&work, &dir).with_context(|| format!("can't move {}", work.display()))?;
    Ok(program)
}
