//! Builds our own programs for guests: static, because a guest has no libraries.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{run, say};
use crate::paths;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the programs of some packages of the workspace; returns the folder they are in.
pub(crate) fn build_static(packages: &[&str]) -> Result<PathBuf> {
    say(format!("building {} for guests", packages.join(", ")));
    let target = paths::target().join("guest");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(paths::root())
        // `--target` keeps these flags away from build scripts and macros.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args([
            "build",
            "--quiet",
            "--bins",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target);
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(&mut cargo)?;
    Ok(target.join(TARGET).join("guest"))
}
