//! The section of `docs/performance.md` that a run writes.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::compiled::Compiled;
use super::plan::{
    CONNECT, CONNECTED, DEPTHS, EDITED, EMPTY, MANAGED, UNDECIDED, UNKNOWN, UNMANAGED,
};
use super::readings::Readings;
use crate::paths;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- Written by `cargo xtask bench` from here -->\n";
const END: &str = "<!-- to here -->\n";

/// What was measured on the kernel of that release.
pub(super) type Kernels = [(String, Readings)];

/// Replaces the page's section.
pub(super) fn write(section: &str) -> Result<()> {
    let path = paths::root().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
    let text = replaced(&text, section).with_context(|| format!("{PAGE} has no markers"))?;
    fs::write(path, text).with_context(|| format!("can't write {PAGE}"))
}

fn replaced(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}

/// The section: what was run, the goals, and all costs by kernel.
pub(super) fn section(command: &str, kernels: &Kernels, compiled: &Compiled) -> Result<String> {
    let mut text = format!("`{command}`:\n\n");
    goals(&mut text, kernels, compiled)?;
    for (release, readings) in kernels {
        costs(&mut text, release, readings)?;
    }
    Ok(text)
}

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
        of: |all| Ok(at_most(all.added(UNMANAGED, DEPTHS[1].1)?, 250.0)),
    },
    Goal {
        what: "managed, depth 5, 10 rules",
        limit: "1,000",
        of: |all| Ok(at_most(all.added("r10", DEPTHS[1].1)?, 1_000.0)),
    },
    Goal {
        what: "1,000 rules with 200 globs",
        limit: "1.10 x 10 rules",
        of: |all| times(all, "r1000", "r10", DEPTHS[1].1, 1.10),
    },
    Goal {
        what: "more for a name of 8 bytes that only globs can decide",
        limit: "150 and 25 a byte: 350",
        of: |all| {
            let undecided = all.added("r1000", UNDECIDED[0].1)?;
            Ok(at_most(
                undecided - all.added("r1000-no-globs", UNDECIDED[0].1)?,
                350.0,
            ))
        },
    },
    Goal {
        what: "each further byte of it",
        limit: "25",
        of: |all| {
            let [(short, first), (long, second), _] = UNDECIDED;
            let more = all.added("r1000", second)? - all.added("r1000", first)?;
            let known =
                all.added("r1000-no-globs", second)? - all.added("r1000-no-globs", first)?;
            Ok(at_most((more - known) / f64::from(long - short), 25.0))
        },
    },
    Goal {
        what: "connect, 10,000 networks",
        limit: "1.05 x one",
        of: |all| times(all, CONNECTED[1].0, CONNECTED[0].0, CONNECT, 1.05),
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
        what: "enforcer resident, 9 workloads, all hooks",
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
    target: &str,
    limit: f64,
) -> Result<(String, bool)> {
    let (value, base) = (all.added(of, target)?, all.added(other, target)?);
    let ratio = value / base;
    Ok((format!("{ratio:.2} x ({})", grouped(value)), ratio <= limit))
}

fn goals(text: &mut String, kernels: &Kernels, compiled: &Compiled) -> Result<()> {
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
    row(
        text,
        ["what", "goal"].into_iter().chain(names.iter().copied()),
    );
    let _ = writeln!(text, "|{}", "---|".repeat(names.len() + 2));
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

fn costs(text: &mut String, release: &str, readings: &Readings) -> Result<()> {
    let _ = writeln!(
        text,
        "\nInstructions added to `open` and `close` on {release}:\n"
    );
    let mut paths: Vec<(String, &str)> = DEPTHS
        .iter()
        .map(|(depth, path)| (format!("depth {depth}"), *path))
        .collect();
    paths.push(("depth 5, no known name".to_owned(), UNKNOWN));
    let undecided = UNDECIDED.iter();
    paths.extend(undecided.map(|(length, path)| (format!("{length} bytes for globs"), *path)));
    let titles = paths.iter().map(|(title, _)| title.as_str());
    row(text, ["workload"].into_iter().chain(titles));
    let _ = writeln!(text, "|{}", "---|".repeat(paths.len() + 1));
    for label in [EMPTY, UNMANAGED]
        .into_iter()
        .chain(MANAGED.map(|(name, _)| name))
    {
        let values = paths
            .iter()
            .map(|(_, path)| Ok(grouped(readings.added(label, path)?)))
            .collect::<Result<Vec<String>>>()?;
        row(
            text,
            [title(label)]
                .into_iter()
                .chain(values.iter().map(String::as_str)),
        );
    }
    let _ = write!(text, "\nAdded to `connect`:");
    for label in [EMPTY, UNMANAGED]
        .into_iter()
        .chain(CONNECTED.map(|(name, _)| name))
    {
        let added = grouped(readings.added(label, CONNECT)?);
        let _ = write!(text, " {} {added},", title(label));
    }
    text.pop();
    let (drift, of) = readings.drift()?;
    let _ = write!(
        text,
        ".\nWith nothing attached, costs changed by up to {} within the boot ({of}).",
        grouped(drift)
    );
    text.push_str("\nSlowest of five edits:");
    for workloads in EDITED {
        let _ = write!(
            text,
            " {workloads} workloads {} ms,",
            readings.edit(workloads)?
        );
    }
    text.pop();
    text.push_str(".\n");
    Ok(())
}

fn title(label: &'static str) -> &'static str {
    match label {
        EMPTY => "empty program",
        "r1" => "managed, 1 rule",
        "r10" => "managed, 10 rules",
        "r10-no-callers" => "the same, no rule about the caller",
        "r10-globs" => "10 rules and three globs",
        "r1000" => "1,000 rules, 200 globs (20 at any depth)",
        "r1000-no-globs" => "1,000 rules, no globs",
        "cidr1" => "one network",
        "cidr10000" => "10,000 networks",
        other => other,
    }
}

fn row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    text.push('|');
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

/// A number as people write it: 1,234.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value.round() < 0.0 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_what_is_between_the_markers() {
        let page = format!("# Title\n{BEGIN}old\n{END}tail\n");
        let new = replaced(&page, "new").unwrap();
        assert_eq!(new, format!("# Title\n{BEGIN}\nnew\n{END}tail\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert_eq!(replaced("# Title\n", "new"), None);
    }

    #[test]
    fn the_page_has_the_markers() {
        let page = fs::read_to_string(paths::root().join(PAGE)).unwrap();
        assert!(replaced(&page, "new").is_some());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(-12.0), "-12");
        assert_eq!(grouped(-0.2), "0");
    }
}
