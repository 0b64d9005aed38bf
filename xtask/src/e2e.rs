//! `cargo xtask e2e`: all cases of tests/e2e in real kernels.
//!
//! The guest's runner prints a line per case and a summary. A guest that prints no
//! summary, or none that agrees with its lines, has failed however it exited.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::command::{output, say};
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::totals::Totals;
use crate::vm::{Image, Lines, Machine, Output};

const RUNNER: &str = "bartizan-e2e";
/// Until a guest counts as hanging.
const MINUTES: u64 = 15;
/// A dynamically linked program for the cases about loaders.
const HOST_PROGRAM: &str = "/bin/true";

/// Which cases, and where.
#[derive(Args, Debug)]
pub(crate) struct Batch {
    /// A kernel to test on (several are possible) [default: all]
    #[arg(long = "kernel", value_enum, value_name = "KERNEL")]
    kernels: Vec<KernelLine>,
    /// Only cases whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// More words for the kernel's command line, such as preempt=full
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmdline: Vec<String>,
    /// Minutes until a guest counts as hanging
    #[arg(long, default_value_t = MINUTES)]
    minutes: u64,
}

impl Default for Batch {
    /// All cases on all kernels.
    fn default() -> Self {
        Self {
            kernels: Vec::new(),
            filter: String::new(),
            cmdline: Vec::new(),
            minutes: MINUTES,
        }
    }
}

impl Batch {
    /// Boots all guests one after the other; fails only where no result can be had.
    pub(crate) fn run(&self) -> Result<Totals> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&[RUNNER])?;
        let guests = self.guests(&programs)?;
        let kernels = if self.kernels.is_empty() {
            &KernelLine::ALL[..]
        } else {
            &self.kernels
        };
        let mut totals = Totals::default();
        for line in kernels {
            let kernel = Kernel::get(*line)?;
            for guest in &guests {
                say(format!(
                    "kernel {} ({}), guest {guest}",
                    line, kernel.release
                ));
                totals.add(self.boot(*line, &kernel, guest, &programs)?);
            }
        }
        println!("{totals}");
        Ok(totals)
    }

    /// The kinds of guest that the chosen cases need.
    fn guests(&self, programs: &Programs) -> Result<BTreeSet<String>> {
        let mut list = Command::new(programs.path(RUNNER));
        let listed = output(list.args(["list", &self.filter]))?;
        let guests: BTreeSet<_> = listed
            .lines()
            .filter_map(|line| line.split(' ').next())
            .map(String::from)
            .collect();
        if guests.is_empty() {
            bail!("no case has {:?} in its name", self.filter);
        }
        Ok(guests)
    }

    fn boot(
        &self,
        line: KernelLine,
        kernel: &Kernel,
        guest: &str,
        programs: &Programs,
    ) -> Result<Totals> {
        let mut image = Image::new(kernel)?;
        programs.install(&mut image)?;
        programs.install_one(RUNNER, &mut image)?;
        image.dynamic_program(HOST_PROGRAM.as_ref(), "/opt/host/true")?;
        let mut machine = Machine::new(kernel.clone());
        machine.arguments.clone_from(&self.cmdline);
        machine.time_limit = Duration::from_mins(self.minutes);
        match guest {
            "standard" => {}
            "without-bpf" => "landlock,lockdown,yama".clone_into(&mut machine.lsm),
            "cgroup-v1" => machine.arguments.push("cgroups=v1".to_owned()),
            _ => bail!("unknown kind of guest {guest}: cargo xtask e2e can't boot it"),
        }
        let results = Arc::new(Mutex::new(Results::default()));
        let seen = Arc::clone(&results);
        let each = move |text: &str| {
            println!("{line:<6} {text}");
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .line(text);
        };
        let output = Output {
            stdout: Box::new(Lines::new(each)),
            stderr: Box::new(std::io::stderr()),
        };
        let script = format!(
            "exec {RUNNER} run {guest} '{}'",
            self.filter.replace('\'', "")
        );
        let outcome = machine.run(image, &script, output)?;
        let results = *results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(console) = outcome.console {
            say(format!("the guest's console: {}", console.display()));
        }
        results.checked()
    }
}

/// What a guest has printed.
#[derive(Clone, Copy, Debug, Default)]
struct Results {
    counted: Totals,
    summary: Option<Totals>,
}

impl Results {
    fn line(&mut self, line: &str) {
        if line.starts_with("ok ") {
            self.counted.passed += 1;
        } else if line.starts_with("FAIL ") {
            self.counted.failed += 1;
        } else if line.starts_with("skip ") {
            self.counted.skipped += 1;
        } else if let Some(summary) = Totals::of_summary(line) {
            self.summary = Some(summary);
        }
    }

    fn checked(self) -> Result<Totals> {
        match self.summary {
            None => bail!("the guest ended without a summary"),
            Some(summary) if summary != self.counted => {
                bail!(
                    "the guest's summary ({summary}) and its lines ({}) differ",
                    self.counted
                )
            }
            Some(summary) if summary == Totals::default() => bail!("the guest ran no case"),
            Some(summary) => Ok(summary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &[&str]) -> Result<Totals> {
        let mut results = Results::default();
        for line in lines {
            results.line(line);
        }
        results.checked()
    }

    #[test]
    fn a_guest_that_dies_half_way_has_failed() {
        assert!(results(&["ok a"]).is_err());
        assert!(results(&["ok a", "2 passed, 0 failed, 0 skipped"]).is_err());
        assert!(results(&["0 passed, 0 failed, 0 skipped"]).is_err());
    }

    #[test]
    fn the_summary_counts_when_it_agrees_with_the_lines() {
        let totals = results(&[
            "ok a",
            "FAIL b: no",
            "    | 1 passed",
            "1 passed, 1 failed, 0 skipped",
        ]);
        assert_eq!(
            totals.unwrap(),
            Totals {
                passed: 1,
                failed: 1,
                skipped: 0
            }
        );
    }
}
