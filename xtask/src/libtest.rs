//! Running `cargo test` and counting what it says.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::totals::Totals;
use crate::vm::Lines;

/// Runs `cargo test ...`, passes its output on, and adds up the results of its programs.
pub(crate) fn run(tests: &mut Command) -> Result<Totals> {
    let mut child = tests
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't run cargo test")?;
    let mut totals = Totals::default();
    let mut lines = Lines::new(|line| {
        println!("{line}");
        totals.add(Totals::of_cargo(line).unwrap_or_default());
    });
    let mut output = child.stdout.take().context("cargo test has no output")?;
    std::io::copy(&mut output, &mut lines).context("can't read from cargo test")?;
    drop(lines);
    let status = child.wait().context("can't wait for cargo test")?;
    if !status.success() && totals.failed == 0 {
        bail!("cargo test failed ({status})");
    }
    if totals.passed + totals.failed == 0 {
        bail!("cargo test ran no tests");
    }
    Ok(totals)
}
