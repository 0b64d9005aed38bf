//! `cargo xtask bench`: what a decision costs, in instructions.
//!
//! On a guest's CPU that executes an instruction per nanosecond of guest time the clock
//! counts instructions: the same on every machine, however busy it is.
//!
//! ```text
//!   plan ─► guest ─► readings ─┬─► results ─► JSON
//!   policies ─► compiled ──────┴─► page ────► docs/performance.md
//! ```

mod compiled;
mod page;
mod plan;
mod policies;
mod readings;
mod results;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::command::say;
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Machine, Output, Timing};
use readings::Readings;

const PROGRAM: &str = "cost";
const MINUTES: u64 = 30;

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
        let kernels = if self.kernels.is_empty() {
            &KernelLine::ALL[..]
        } else {
            &self.kernels
        };
        let compiled = compiled::measure(&programs.path(PROGRAM))?;
        let mut measured = Vec::new();
        for line in kernels {
            let kernel = Kernel::get(*line)?;
            let readings = measure(&kernel, &programs)?;
            measured.push((kernel.release, readings));
        }
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
    let output = Output {
        stdout: Box::new(std::io::stderr()),
        stderr: Box::new(std::io::stderr()),
    };
    let outcome = machine.run(image, &plan::script(), output)?;
    let report = String::from_utf8_lossy(&outcome.report).into_owned();
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
