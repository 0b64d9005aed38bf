//! `cargo xtask throughput`: whether processes outside of all containers get slower.
//!
//! A guest whose kernel preempts everywhere, with four CPUs, does the same work over and
//! over: without the enforcer, with it, without it... What differs between rounds of one
//! kind is noise; what differs between the kinds beyond it is the enforcer's.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::bench::everything;
use crate::command::{output, say};
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Machine, Output};

const SCRIPT: &str = include_str!("throughput/rounds.sh");
/// Files that a round compiles.
const FILES: usize = 4;
/// Functions of each.
const FUNCTIONS: usize = 60;
/// The kinds of work, as the script calls them, and what a round of them is.
const WORK: [(&str, &str); 2] = [
    ("compile", "four C files, compiled and assembled at once"),
    (
        "web",
        "40 requests by four clients at once to a web server that forks for each",
    ),
];

/// For how long, and on what.
#[derive(Args, Debug)]
pub(crate) struct Throughput {
    /// The kernel to measure on
    #[arg(long, value_enum, default_value_t = KernelLine::Newest)]
    kernel: KernelLine,
    /// Rounds without the enforcer, and as many with it
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Processors of the guest
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    processors: u8,
}

impl Throughput {
    /// Measures, and prints a table.
    pub(crate) fn run(&self) -> Result<()> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&[])?;
        let kernel = Kernel::get(self.kernel)?;
        let mut image = Image::new(&kernel)?;
        programs.install(&mut image)?;
        add_compiler(&mut image)?;
        for file in 0..FILES {
            image.text(&format!("/src/{file}.c"), 0o644, &source(file));
        }
        image.text("/srv/www/page", 0o644, &"A line of a page.\n".repeat(500));
        image.text("/etc/policies/all.yaml", 0o644, &everything("idle"));
        let mut machine = Machine::new(kernel);
        machine.processors = self.processors;
        machine.arguments.push("preempt=full".to_owned());
        machine.time_limit = Duration::from_hours(2);
        say(format!(
            "measuring on {} with preempt=full and {} processors, {} rounds of each kind",
            machine.kernel.release, self.processors, self.rounds
        ));
        let script = format!("rounds={}\n{SCRIPT}", self.rounds);
        let outcome = machine.run(image, &script, Output::inherit())?;
        if let Some(console) = outcome.console {
            bail!(
                "the guest failed with status {}; console: {}",
                outcome.status,
                console.display()
            );
        }
        print!("{}", table(&String::from_utf8_lossy(&outcome.report))?);
        Ok(())
    }
}

/// The host's C compiler and assembler, which linking Rust programs takes anyway.
fn add_compiler(image: &mut Image) -> Result<()> {
    for program in ["cc1", "as"] {
        let path = output(Command::new("gcc").arg(format!("-print-prog-name={program}")))?;
        let found = output(Command::new("which").arg(path.trim()))
            .with_context(|| format!("gcc has no {program}: install what Debian calls gcc"))?;
        image.dynamic_program(found.trim().as_ref(), &format!("/usr/bin/{program}"))?;
    }
    Ok(())
}

/// A C file without headers.
fn source(file: usize) -> String {
    let function = |i| {
        format!(
            "int f{file}_{i}(int n, const char *s) {{\n    int sum = {i};\n    \
             for (int k = 0; k < n; k++) {{\n        if (s[k] == 'a' + {file})\n            \
             sum += k * {i};\n        else\n            sum ^= s[k] << (k % 7);\n    }}\n    \
             return sum;\n}}\n"
        )
    };
    (0..FUNCTIONS).map(function).collect()
}

/// Medians and ranges, in a Markdown table.
fn table(report: &str) -> Result<String> {
    let mut text =
        "| work | without, s | with the enforcer, s | with / without | range without |\n\
                    |---|---|---|---|---|\n"
            .to_owned();
    for (work, what) in WORK {
        let times = |kind: &str| -> Result<Vec<f64>> {
            let mut times = Vec::new();
            for line in report.lines() {
                if let [how, which, seconds] = line.split(' ').collect::<Vec<_>>()[..]
                    && (how, which) == (kind, work)
                {
                    let number = seconds.parse();
                    times.push(number.with_context(|| format!("no time: {line}"))?);
                }
            }
            times.sort_by(f64::total_cmp);
            if times.is_empty() {
                bail!("the guest has measured no {work} {kind}");
            }
            Ok(times)
        };
        let (without, with) = (times("without")?, times("with")?);
        let median =
            |times: &[f64]| f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2]);
        let (before, after) = (median(&without), median(&with));
        let of = |time: f64| 100.0 * (time / before - 1.0);
        let _ = writeln!(
            text,
            "| {what} | {before:.2} | {after:.2} | {:.3} | {:+.1} % to {:+.1} % |",
            after / before,
            of(without[0]),
            of(without[without.len() - 1]),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared() {
        let mut report = String::new();
        for (work, _) in WORK {
            for (kind, times) in [("without", [1.9, 2.0, 2.2]), ("with", [2.1, 2.3, 2.0])] {
                for time in times {
                    let _ = writeln!(report, "{kind} {work} {time}");
                }
            }
        }
        let table = table(&report).unwrap();
        assert!(
            table.contains("| 2.00 | 2.10 | 1.050 | -5.0 % to +10.0 % |"),
            "{table}"
        );
        assert!(super::table("without web 1.0\n").is_err());
    }
}
