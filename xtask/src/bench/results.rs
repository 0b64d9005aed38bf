//! Measurements as results: what an operation costs more than with nothing attached.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::plan::{CONNECT, CONNECTED, DEPTHS, EMPTY, MANAGED, UNDECIDED, UNKNOWN, UNMANAGED};
use super::readings::Readings;

/// One line of `-o json`.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    operation: &'static str,
    workload: &'static str,
    /// 0 where there are none.
    rules: usize,
    /// Components of the path.
    depth: u32,
    kernel: String,
    /// Added to opening and closing with nothing attached.
    instructions: i64,
}

/// Managed workloads that stand for their number of rules, by name.
const MAIN: [&str; 3] = ["r1", "r10", "r1000"];

/// Opening at each depth, for each kind of workload.
pub(super) fn of(release: &str, readings: &Readings) -> Result<Vec<Measured>> {
    let managed = MANAGED
        .iter()
        .filter(|(name, _)| MAIN.contains(name))
        .map(|(name, files)| (*name, "managed", files.rules));
    let others = [(EMPTY, EMPTY, 0), (UNMANAGED, UNMANAGED, 0)];
    let mut all = Vec::new();
    for (label, workload, rules) in others.into_iter().chain(managed) {
        for (depth, path) in DEPTHS {
            all.push(Measured {
                operation: "open",
                workload,
                rules,
                depth,
                kernel: release.to_owned(),
                instructions: readings.added(label, path)?.round() as i64,
            });
        }
    }
    Ok(all)
}

/// Everything that was measured, for people.
pub(super) fn table(release: &str, readings: &Readings) -> Result<String> {
    let mut paths: Vec<(String, &str)> = DEPTHS
        .iter()
        .map(|(depth, path)| (format!("depth {depth}"), *path))
        .collect();
    paths.push(("unknown".to_owned(), UNKNOWN));
    paths.extend(
        UNDECIDED
            .iter()
            .map(|(length, path)| (format!("{length} bytes"), *path)),
    );
    let mut text = format!("Instructions added on {release}\n{:<20}", "");
    for (title, _) in &paths {
        let _ = write!(text, "{title:>10}");
    }
    let labels = [EMPTY, UNMANAGED].into_iter();
    for label in labels.chain(MANAGED.iter().map(|(name, _)| *name)) {
        let _ = write!(text, "\n{label:<20}");
        for (_, path) in &paths {
            let _ = write!(text, "{:>10.0}", readings.added(label, path)?);
        }
    }
    let _ = writeln!(text, "\n{:<20}{:>10}", "", "connect");
    let labels = [EMPTY, UNMANAGED].into_iter();
    for label in labels.chain(CONNECTED.iter().map(|(name, _)| *name)) {
        let _ = writeln!(text, "{label:<20}{:>10.0}", readings.added(label, CONNECT)?);
    }
    let _ = writeln!(text, "enforcer: {} KiB resident", readings.resident);
    for (hook, verified) in &readings.verified {
        let _ = writeln!(text, "{hook:<20}{verified:>10} instructions verified");
    }
    Ok(text)
}
