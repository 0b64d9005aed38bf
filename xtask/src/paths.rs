//! Where things are: the checkout, cargo's target folder, and the cache outside of it.
//!
//! Whatever is costly and depends only on a version (kernels, tools) lives in the user's
//! cache folder, so that a clean checkout doesn't fetch it again.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where cargo keeps the source of dependencies.
fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("no home folder: set CARGO_HOME")
}

/// Folders that are elsewhere on other machines, and what to call them in what is built.
pub(crate) fn of_machine() -> Result<[(PathBuf, &'static str); 3]> {
    Ok([
        (root().to_owned(), "/bartizan"),
        (target(), "/bartizan/target"),
        (cargo_home()?, "/cargo"),
    ])
}

/// Flags of a compiler that keep this machine's paths out of what it builds.
pub(crate) fn remapped() -> Result<[String; 3]> {
    let flag = |(folder, name): (PathBuf, &str)| {
        format!("--remap-path-prefix={}={name}", folder.display())
    };
    Ok(of_machine()?.map(flag))
}

/// The compiled BPF programs.
pub(crate) fn bpf_object() -> PathBuf {
    target().join("bpf/bartizan-lsm.o")
}

/// `$XDG_CACHE_HOME/bartizan`, made if it is missing.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => env::home_dir()
            .context("no home folder: set XDG_CACHE_HOME")?
            .join(".cache"),
    };
    let cache = base.join("bartizan");
    make(&cache)?;
    Ok(cache)
}

/// Makes a folder and those above it.
pub(crate) fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))
}

/// The first program of that name on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
