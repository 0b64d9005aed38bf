//! `cargo xtask fuzz`: libFuzzer programs of fuzz/, for a bounded time each.
//!
//! Built with coverage but without a sanitizer: that needs no nightly compiler, and what
//! is fuzzed is safe code whose bugs are panics, wrong answers and endless loops.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::command::{cargo, run, run_quietly, say};
use crate::paths;
use crate::setup::{self, Package};

/// Not the default target only, so that build scripts and macros stay as they are.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// What to fuzz.
#[derive(Args, Debug)]
pub(crate) struct Fuzz {
    /// Names of files in `fuzz/fuzz_targets`, without `.rs` [default: all]
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u32,
}

impl Fuzz {
    /// All targets, for `seconds` each.
    pub(crate) fn all(seconds: u32) -> Self {
        Self {
            targets: Vec::new(),
            seconds,
        }
    }

    /// Builds and runs; returns how many targets there were. Fails at the first finding.
    pub(crate) fn run(&self) -> Result<usize> {
        setup::ensure(&[Package::CXX])?;
        let targets = if self.targets.is_empty() {
            all_targets()?
        } else {
            self.targets.clone()
        };
        say(format!("building {} fuzz targets", targets.len()));
        let target_dir = paths::target().join("fuzz");
        let mut build = cargo();
        build
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--target",
                TARGET,
            ])
            .arg("--manifest-path")
            .arg(manifest())
            .arg("--target-dir")
            .arg(&target_dir);
        for target in &targets {
            build.args(["--bin", target]);
        }
        run(&mut build)?;
        let programs = target_dir.join(TARGET).join("release");
        // Each keeps one processor busy.
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        for targets in targets.chunks(at_once) {
            say(format!(
                "fuzzing {} for {} s",
                targets.join(" and "),
                self.seconds
            ));
            thread::scope(|scope| {
                let each =
                    |target: &String| self.run_one(target, &programs.join(target), &target_dir);
                let runs: Vec<_> = targets
                    .iter()
                    .map(|target| scope.spawn(move || each(target)))
                    .collect();
                let mut results = runs
                    .into_iter()
                    .map(|run| run.join().expect("it returns its errors"));
                results.try_for_each(|result| result)
            })?;
        }
        Ok(targets.len())
    }

    fn run_one(&self, target: &str, program: &Path, target_dir: &Path) -> Result<()> {
        let corpus = target_dir.join("corpus").join(target);
        let findings = target_dir.join("findings").join(target);
        paths::make(&corpus)?;
        paths::make(&findings)?;
        let mut command = Command::new(program);
        command
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args(["-timeout=10", "-rss_limit_mb=2048"])
            .arg(&corpus);
        // Inputs of ours; libFuzzer only ever writes to the first folder.
        let seeds = paths::root().join("fuzz/seeds").join(target);
        let samples = paths::root().join("config/samples");
        for folder in [seeds, samples] {
            if folder.is_dir() {
                command.arg(folder);
            }
        }
        run_quietly(&mut command).with_context(|| {
            format!(
                "fuzz target {target} failed; its input is in {}",
                findings.display()
            )
        })
    }
}

/// The manifest of the fuzzers' own workspace.
pub(crate) fn manifest() -> PathBuf {
    paths::root().join("fuzz/Cargo.toml")
}

fn all_targets() -> Result<Vec<String>> {
    let dir = paths::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&dir).with_context(|| format!("can't list {}", dir.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    if targets.is_empty() {
        bail!("no fuzz targets in {}", dir.display());
    }
    targets.sort();
    Ok(targets)
}
