//! The goals, and what was measured of each.

use std::fmt::Write as _;

use anyhow::Result;

use super::account;
use super::compiled::Compiled;
use super::markdown::{grouped, head, row};
use super::page::Kernels;
use super::plan::UNMANAGED;
use super::readings::Readings;
use super::targets::{CONNECT, DEPTH_5, Target};

/// A goal: what, its limit, what was measured, and whether that is met.
struct Goal {
    what: &'static str,
    limit: &'static str,
    of: fn(&Readings) -> Result<(String, bool)>,
}

const GOALS: [Goal; 10] = [
    Goal {
        what: "open and close, unmanaged",
        limit: "250",
        of: |all| Ok(at_most(all.added(UNMANAGED, DEPTH_5)?, 250.0)),
    },
    Goal {
        what: "managed, depth 5, 10 rules",
        limit: "1,000",
        of: |all| Ok(at_most(all.added("r10", DEPTH_5)?, 1_000.0)),
    },
    Goal {
        what: "1,000 rules with 200 globs",
        limit: "1.10 x 10 rules",
        of: |all| times(all, "r1000", "r10", DEPTH_5, 1.10),
    },
    Goal {
        what: "more for a name of 8 bytes that only globs can decide",
        limit: "150 and 25 a byte: 350",
        of: |all| Ok(at_most(account::undecided(all, 0)?, 350.0)),
    },
    Goal {
        what: "each further byte of it",
        limit: "25",
        of: |all| Ok(at_most(account::undecided_byte(all)?, 25.0)),
    },
    Goal {
        what: "connect, 10,000 networks",
        limit: "1.05 x one",
        of: |all| times(all, "cidr10000", "cidr1", CONNECT, 1.05),
    },
    Goal {
        what: "instructions verified, largest program",
        limit: "300,000",
        of: |all| {
            let (hook, verified) = all.largest()?;
            Ok((
                format!("{} (`{hook}`)", grouped(f64::from(*verified))),
                *verified <= 300_000,
            ))
        },
    },
    Goal {
        what: "enforcer resident, 11 workloads, all hooks",
        limit: "30 MiB",
        of: |all| {
            let mib = f64::from(all.resident) / 1024.0;
            Ok((format!("{mib:.1} MiB"), mib <= 30.0))
        },
    },
    Goal {
        what: "from an edit to the kernel, 20 workloads",
        limit: "100 ms",
        of: |all| Ok((format!("{} ms", all.edit(20)?), all.edit(20)? <= 100)),
    },
    Goal {
        what: "the same, 100 workloads",
        limit: "100 ms",
        of: |all| Ok((format!("{} ms", all.edit(100)?), all.edit(100)? <= 100)),
    },
];

fn at_most(value: f64, limit: f64) -> (String, bool) {
    (grouped(value), value.round() <= limit)
}

/// What a workload costs, as a multiple of what another does.
fn times(
    all: &Readings,
    of: &str,
    other: &str,
    target: Target,
    limit: f64,
) -> Result<(String, bool)> {
    let (value, base) = (all.added(of, target)?, all.added(other, target)?);
    let ratio = value / base;
    Ok((format!("{ratio:.2} x ({})", grouped(value)), ratio <= limit))
}

/// Adds the table of goals.
pub(super) fn goals(text: &mut String, kernels: &Kernels, compiled: &Compiled) -> Result<()> {
    let mark = |(value, is_met): (String, bool)| {
        if is_met {
            value
        } else {
            format!("**{value}: missed**")
        }
    };
    let names: Vec<&str> = kernels
        .iter()
        .map(|(release, _)| release.as_str())
        .collect();
    head(
        text,
        ["what", "goal"].into_iter().chain(names.iter().copied()),
    );
    for goal in &GOALS {
        let values = kernels
            .iter()
            .map(|(_, readings)| Ok(mark((goal.of)(readings)?)))
            .collect::<Result<Vec<String>>>()?;
        row(
            text,
            [goal.what, goal.limit]
                .into_iter()
                .chain(values.iter().map(String::as_str)),
        );
    }
    let mib = f64::from(compiled.bytes) / 1024.0 / 1024.0;
    let size = mark((format!("{mib:.2} MiB"), mib <= 1.0));
    let ms = compiled.link_ms + compiled.compile_ms;
    let time = mark((format!("{ms:.1} ms"), ms <= 50.0));
    let _ = writeln!(
        text,
        "\n{} rules with 200 globs, 20 of them at any depth, compile to {size} (goal: 1 MiB); \
         linking and compiling them took {time} on the machine that ran this (goal: 50 ms).",
        grouped(f64::from(compiled.rules))
    );
    Ok(())
}
