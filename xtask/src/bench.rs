//! `cargo xtask bench`: what a decision costs, in instructions.
//!
//! On a guest's CPU that executes an instruction per nanosecond of guest time the clock
//! counts instructions: the same on every machine, however busy it is.
//!
//! ```text
//!   targets, workloads ─► plan ─► guest ─► readings ─┬─► results ─► JSON
//!   policies ─► compiled ────────────────────────────┴─► page ────────► docs/performance.md
//! ```

mod account;
mod compiled;
mod costs;
mod goals;
mod markdown;
mod page;
mod plan;
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
use crate::vm::{Image, Lines, Machine, Output, Timing};
use readings::Readings;

const PROGRAM: &str = "cost";
const MINUTES: u64 = 60;

/// What to measure on.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// A kernel to measure on (several are possible) [default: all]
    #[arg(long = "kernel", value_enum, value_name = "KERNEL")]
    kernels: Vec<KernelLine>,
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
    /// Measures, prints, and writes the page's section.
    pub(crate) fn run(&self) -> Result<u8> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&["bartizan-e2e"])?;
        let compiled = compiled::measure(&programs.path(PROGRAM))?;
        let measured = self.measure(&programs)?;
        let section = page::section(&self.command(), &measured, &compiled)?;
        page::write(&section)?;
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
        Ok(0)
    }

    /// Measures on all kernels at once, which changes nothing: instructions are counted.
    fn measure(&self, programs: &Programs) -> Result<Vec<(String, Readings)>> {
        let lines = if self.kernels.is_empty() {
            &KernelLine::ALL[..]
        } else {
            &self.kernels
        };
        let mut kernels = Vec::new();
        for line in lines {
            kernels.push(Kernel::get(*line)?);
        }
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = kernels
                .iter()
                .map(|kernel| scope.spawn(|| measure(kernel, programs)))
                .collect();
            let join = |guest: ScopedJoinHandle<_>| {
                guest.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            running.into_iter().map(join).collect()
        });
        let releases = kernels.into_iter().map(|kernel| kernel.release);
        let pairs = releases.zip(results);
        pairs
            .map(|(release, readings)| Ok((release, readings?)))
            .collect()
    }

    /// This run as one types it.
    fn command(&self) -> String {
        let kernels = self.kernels.iter().map(|line| format!(" --kernel {line}"));
        format!("cargo xtask bench{}", kernels.collect::<String>())
    }
}

fn measure(kernel: &Kernel, programs: &Programs) -> Result<Readings> {
    let mut image = Image::new(kernel)?;
    programs.install(&mut image)?;
    programs.install_one(PROGRAM, &mut image)?;
    plan::fill(&mut image);
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
    let outcome = machine.run(image, &plan::script(), output)?;
    let report = String::from_utf8_lossy(&outcome.report).into_owned();
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{}.jsonl", kernel.release)), &report)?;
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
