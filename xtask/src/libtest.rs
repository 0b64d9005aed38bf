//! Running tests with cargo and counting what they say.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::totals::Totals;
use crate::vm::Lines;

/// Runs `cargo test ...`, or tests that print totals as ours do; passes its output on, and adds up the results.
pub(crate) fn run(tests: &mut Command) -> Result<Totals> {
    run_labelled("", tests)
}

/// The same, with something in front of each line.
pub(crate) fn run_labelled(label: &str, tests: &mut Command) -> Result<Totals> {
    let mut child = tests
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't run the tests")?;
    let mut totals = Totals::default();
    let mut lines = Lines::new(|line| {
        println!("{label}{line}");
        let counted = Totals::of_cargo(line).or_else(|| Totals::of_summary(line));
        totals.add(counted.unwrap_or_default());
    });
    let mut output = child.stdout.take().context("the tests have no output")?;
    std::io::copy(&mut output, &mut lines).context("can't read from the tests")?;
    drop(lines);
    let status = child.wait().context("can't wait for the tests")?;
    if !status.success() && totals.failed == 0 {
        bail!("the tests failed ({status})");
    }
    if totals.passed + totals.failed == 0 {
        bail!("no test was run");
    }
    Ok(totals)
}
