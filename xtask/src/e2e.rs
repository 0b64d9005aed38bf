//! `cargo xtask e2e`: all cases of tests/e2e in real kernels.
//!
//! The guest's runner prints a line per case and a summary. A guest that prints no
//! summary, or none that agrees with its lines, has failed however it exited.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::command::{output, say};
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::totals::Totals;
use crate::vm::{Image, Lines, Machine, Output};

/// The program of the cases, and its package.
pub(crate) const RUNNER: &str = "bartizan-e2e";
/// The kind of guest that most cases need.
const STANDARD: &str = "standard";
/// Until a guest counts as hanging.
const MINUTES: u64 = 35;
/// The same for cases that are meant to take long.
const SOAK_MINUTES: u64 = 180;
/// The topic of those.
const SOAK: &str = "soak/";
/// What a kernel that preempts everywhere can't change: whether programs load, which hooks
/// are missing, what rules and names mean.
const INDIFFERENT: [&str; 7] = [
    "guest/",
    "start-up/",
    "missing-hooks/",
    "samples/",
    "restrict/",
    "names/",
    "mounts/",
];
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

/// Where to test for long.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// A kernel to test on (several are possible)
    #[arg(
        long = "kernel",
        value_enum,
        value_name = "KERNEL",
        default_value = "6.12"
    )]
    kernels: Vec<KernelLine>,
}

impl Soak {
    /// Runs the long forms of tests.
    pub(crate) fn run(self) -> Result<Totals> {
        let batch = Batch {
            kernels: self.kernels,
            filter: SOAK.to_owned(),
            minutes: SOAK_MINUTES,
            ..Batch::default()
        };
        batch.run()
    }
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

/// One guest to boot.
struct Job {
    /// In front of each line of its output.
    label: String,
    guest: String,
    /// Parts of names of cases to leave out.
    except: &'static [&'static str],
    machine: Machine,
}

impl Batch {
    /// Boots all guests, one more at once than there are processors: up to half of a guest's
    /// time is waiting until the kernel has detached programs. A guest that gives no
    /// result counts as one failure.
    pub(crate) fn run(&self) -> Result<Totals> {
        setup::ensure(Package::ALL)?;
        setup::qemu()?;
        let programs = Programs::build(&[RUNNER])?;
        let jobs = self.jobs(&programs)?;
        let at_once = 1 + thread::available_parallelism().map_or(1, usize::from);
        say(format!("booting {} guests, {at_once} at once", jobs.len()));
        let queue = Mutex::new(jobs.into_iter());
        // A function, so that the queue is not locked while a guest runs.
        let next = || lock(&queue).next();
        let totals = Mutex::new(Totals::default());
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(job) = next() {
                        let (result, failed) = self.boot(&job, &programs);
                        lock(&totals).add(result);
                        lock(&failures).extend(failed);
                    }
                });
            }
        });
        // Once more, because what failed cases have printed can be long.
        for failure in lock(&failures).iter() {
            println!("{failure}");
        }
        let totals = *lock(&totals);
        println!("{totals}");
        Ok(totals)
    }

    /// Every kind of guest that the chosen cases need, on every kernel; the long ones first.
    fn jobs(&self, programs: &Programs) -> Result<Vec<Job>> {
        let all = self.kernels.is_empty();
        let kernels = if all {
            &KernelLine::ALL[..]
        } else {
            &self.kernels
        };
        let mut jobs = Vec::new();
        for guest in self.guests(programs)? {
            for line in kernels {
                jobs.push(self.job(&line.to_string(), *line, &guest)?);
            }
            if all && guest == STANDARD {
                // Kernels are shipped with different defaults, and any may be changed.
                let mut job = self.job("6.12 preempt", KernelLine::V6_12, &guest)?;
                job.machine.arguments.push("preempt=full".to_owned());
                job.except = &INDIFFERENT;
                jobs.push(job);
            }
        }
        jobs.sort_by_key(|job| job.guest != STANDARD);
        Ok(jobs)
    }

    fn job(&self, label: &str, line: KernelLine, guest: &str) -> Result<Job> {
        let mut machine = Machine::new(Kernel::get(line)?);
        machine.arguments.clone_from(&self.cmdline);
        machine.time_limit = Duration::from_mins(self.minutes);
        match guest {
            STANDARD => {}
            "without-bpf" => "landlock,lockdown,yama".clone_into(&mut machine.lsm),
            "cgroup-v1" => machine.arguments.push("cgroups=v1".to_owned()),
            _ => bail!("unknown kind of guest {guest}: cargo xtask e2e can't boot it"),
        }
        Ok(Job {
            label: label.to_owned(),
            guest: guest.to_owned(),
            except: &[],
            machine,
        })
    }

    /// The kinds of guest that the chosen cases need.
    fn guests(&self, programs: &Programs) -> Result<BTreeSet<String>> {
        let mut list = Command::new(programs.path(RUNNER));
        let listed = output(list.args(["list", &self.filter]))?;
        let guests = listed.lines().filter_map(|line| line.split(' ').next());
        let guests: BTreeSet<_> = guests.map(String::from).collect();
        if guests.is_empty() {
            bail!("no case has {:?} in its name", self.filter);
        }
        Ok(guests)
    }

    /// Runs the cases of one guest; returns what failed as well.
    fn boot(&self, job: &Job, programs: &Programs) -> (Totals, Vec<String>) {
        let results = Arc::new(Mutex::new(Results::default()));
        let booted = self.boot_into(&results, job, programs);
        let Results {
            counted,
            summary,
            mut failures,
        } = lock(&results).clone();
        let checked = booted.and_then(|()| check(counted, summary));
        let totals = checked.unwrap_or_else(|error| {
            let failure = format!("FAIL guest {}: {error:#}", job.guest);
            println!("{:<12} {failure}", job.label);
            failures.push(failure);
            Totals {
                failed: counted.failed + 1,
                ..counted
            }
        });
        let failures = failures
            .iter()
            .map(|failure| format!("{:<12} {failure}", job.label));
        (totals, failures.collect())
    }

    fn boot_into(
        &self,
        results: &Arc<Mutex<Results>>,
        job: &Job,
        programs: &Programs,
    ) -> Result<()> {
        let mut image = Image::new(&job.machine.kernel)?;
        programs.install(&mut image)?;
        programs.install_one(RUNNER, &mut image)?;
        image.dynamic_program(HOST_PROGRAM.as_ref(), "/opt/host/true")?;
        let seen = Arc::clone(results);
        let label = job.label.clone();
        let each = move |text: &str| {
            println!("{label:<12} {text}");
            lock(&seen).line(text);
        };
        let output = Output {
            stdout: Box::new(Lines::new(each)),
            stderr: Box::new(std::io::stderr()),
        };
        let filter = self.filter.replace('\'', "");
        let except = job.except.join(" ");
        let script = format!("exec {RUNNER} run {} '{filter}' {except}", job.guest);
        let outcome = job.machine.run(image, &script, output)?;
        if let Some(console) = outcome.console {
            say(format!(
                "{}: the guest's console is {}",
                job.label,
                console.display()
            ));
        }
        Ok(())
    }
}

/// Nothing that is held here can be left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a guest has printed.
#[derive(Clone, Debug, Default)]
struct Results {
    counted: Totals,
    summary: Option<Totals>,
    failures: Vec<String>,
}

impl Results {
    fn line(&mut self, line: &str) {
        if line.starts_with("ok ") {
            self.counted.passed += 1;
        } else if line.starts_with("FAIL ") {
            self.counted.failed += 1;
            self.failures.push(line.to_owned());
        } else if line.starts_with("skip ") {
            self.counted.skipped += 1;
        } else if let Some(summary) = Totals::of_summary(line) {
            self.summary = Some(summary);
        }
    }
}

/// What was counted, if the guest's own summary says the same.
fn check(counted: Totals, summary: Option<Totals>) -> Result<Totals> {
    match summary {
        None => bail!("no summary: the guest ended too early"),
        Some(summary) if summary != counted => {
            bail!("its summary ({summary}) and its lines ({counted}) differ")
        }
        Some(summary) if summary == Totals::default() => bail!("no case was run"),
        Some(summary) => Ok(summary),
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
        check(results.counted, results.summary)
    }

    #[test]
    fn a_guest_that_dies_half_way_has_failed() {
        assert!(results(&["ok a"]).is_err());
        assert!(results(&["ok a", "2 passed, 0 failed, 0 skipped"]).is_err());
        assert!(results(&["0 passed, 0 failed, 0 skipped"]).is_err());
    }

    #[test]
    fn the_summary_counts_when_it_agrees_with_the_lines() {
        let lines = [
            "ok a",
            "FAIL b: no",
            "    | 1 passed",
            "1 passed, 1 failed, 0 skipped",
        ];
        let expected = Totals {
            passed: 1,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(results(&lines).unwrap(), expected);
    }
}
