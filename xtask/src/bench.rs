//! `cargo xtask bench`: what a decision costs, in instructions.
//!
//! On a guest's CPU that executes an instruction per nanosecond of guest time the clock
//! counts instructions: the same on every machine, however busy it is.
//!
//! ```text
//!   targets, workloads ─► plan ─► guest ─► readings ─┬─► results ─► JSON
//!                                                    ├─► budgets ─► overruns
//!   policies ─► compiled ────────────────────────────┴─► page, plot ─► docs/performance.*
//! ```

mod account;
mod budgets;
mod compiled;
mod costs;
mod goals;
mod markdown;
mod page;
mod plan;
mod plot;
mod policies;
mod readings;
mod results;
mod targets;
mod workloads;

use std::fs;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::command::say;
use crate::paths;
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::totals::Totals;
use crate::vm::{Image, Lines, Machine, Output, Timing};
use plan::Plan;
pub(crate) use policies::everything;
use readings::Readings;

const PROGRAM: &str = "cost";
const MINUTES: u64 = 60;

/// What to measure on.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// A kernel to measure on (several are possible) [default: all]
    #[arg(long = "kernel", value_enum, value_name = "KERNEL")]
    kernels: Vec<KernelLine>,
    /// Only compare with the budgets, and write nothing
    #[arg(long, conflicts_with = "output")]
    brief: bool,
    /// How to print the results; they are also written to docs/performance.md
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

impl Bench {
    /// Measures, prints, and writes the page's section and figure. 1: something is over its
    /// budget.
    pub(crate) fn run(&self) -> Result<u8> {
        if self.brief {
            return Ok(self.check()?.status());
        }
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&["bartizan-e2e"])?;
        let compiled = compiled::measure(&programs.path(PROGRAM))?;
        let (measured, totals) = self.measure(&programs, |_| Ok(Plan::Full))?;
        let section = page::section(&self.command(), &measured, &compiled)?;
        page::write(&section)?;
        plot::write(&measured)?;
        match self.output {
            Format::Table => print!("{section}"),
            Format::Json => {
                let mut results = Vec::new();
                for (release, readings) in &measured {
                    results.extend(results::of(release, readings)?);
                }
                println!("{}", serde_json::to_string_pretty(&results)?);
            }
        }
        Ok(totals.status())
    }

    /// What is run for every change: the budgets of one kernel.
    pub(crate) fn brief() -> Self {
        Self {
            kernels: vec![KernelLine::V6_12],
            brief: true,
            output: Format::Table,
        }
    }

    /// Measures what has a budget; what is over it has failed.
    pub(crate) fn check(&self) -> Result<Totals> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&["bartizan-e2e"])?;
        let plan = |line| Ok(Plan::Opening(budgets::opening(line)?));
        let (_, totals) = self.measure(&programs, plan)?;
        println!("{totals}");
        Ok(totals)
    }

    /// Measures on all kernels at once, which changes nothing: instructions are counted.
    fn measure(
        &self,
        programs: &Programs,
        plan: impl Fn(KernelLine) -> Result<Plan>,
    ) -> Result<(Vec<(String, Readings)>, Totals)> {
        let lines = if self.kernels.is_empty() {
            &KernelLine::ALL[..]
        } else {
            &self.kernels
        };
        let mut guests = Vec::new();
        for line in lines {
            guests.push((*line, Kernel::get(*line)?, plan(*line)?));
        }
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = guests
                .iter()
                .map(|(line, kernel, plan)| {
                    scope.spawn(|| measure_until_within(*line, kernel, programs, plan))
                })
                .collect();
            let join = |guest: ScopedJoinHandle<_>| {
                guest.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            running.into_iter().map(join).collect()
        });
        let mut measured = Vec::new();
        let mut totals = Totals::default();
        for ((line, kernel, plan), result) in guests.into_iter().zip(results) {
            let mut boots = result?;
            totals.add(within_budget(line, &boots, &plan)?);
            measured.push((kernel.release, boots.swap_remove(0)));
        }
        Ok((measured, totals))
    }

    /// This run as one types it.
    fn command(&self) -> String {
        let kernels = self.kernels.iter().map(|line| format!(" --kernel {line}"));
        format!("cargo xtask bench{}", kernels.collect::<String>())
    }
}

/// Says what is over its budget.
fn within_budget(line: KernelLine, boots: &[Readings], plan: &Plan) -> Result<Totals> {
    let (overruns, figures) = budgets::check(line, boots, plan)?;
    for overrun in &overruns {
        eprintln!("over budget: {overrun}");
    }
    Ok(Totals {
        passed: figures - overruns.len(),
        failed: overruns.len(),
        skipped: 0,
    })
}

/// Measures in one boot, and in others as long as something was over its budget in all of them.
fn measure_until_within(
    line: KernelLine,
    kernel: &Kernel,
    programs: &Programs,
    plan: &Plan,
) -> Result<Vec<Readings>> {
    let mut boots = vec![measure(kernel, programs, plan)?];
    while boots.len() < plan.boots() {
        let (overruns, _) = budgets::check(line, &boots, plan)?;
        if overruns.is_empty() {
            break;
        }
        for overrun in overruns {
            say(format!("measuring in another boot: {overrun}"));
        }
        boots.push(measure(kernel, programs, plan)?);
    }
    Ok(boots)
}

fn measure(kernel: &Kernel, programs: &Programs, plan: &Plan) -> Result<Readings> {
    let mut image = Image::new(kernel)?;
    programs.install(&mut image)?;
    programs.install_one(PROGRAM, &mut image)?;
    plan.fill(&mut image);
    let mut machine = Machine::new(kernel.clone());
    machine.timing = Timing::Instructions;
    machine.time_limit = Duration::from_mins(MINUTES);
    say(format!("measuring on {}", kernel.release));
    let progress = || {
        let release = kernel.release.clone();
        Box::new(Lines::new(move |line: &str| eprintln!("{release}: {line}")))
    };
    let output = Output {
        stdout: progress(),
        stderr: progress(),
    };
    let outcome = machine.run(image, &plan.script(), output)?;
    let report = String::from_utf8_lossy(&outcome.report).into_owned();
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let name = format!("{}-{}.jsonl", kernel.release, plan.name());
    fs::write(folder.join(name), &report)?;
    if outcome.status != 0 {
        let console = outcome.console.context("no console")?;
        bail!(
            "the guest failed with status {}; console: {}\n{report}",
            outcome.status,
            console.display()
        );
    }
    Readings::parse(&report)
}
