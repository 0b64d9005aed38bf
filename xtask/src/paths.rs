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
