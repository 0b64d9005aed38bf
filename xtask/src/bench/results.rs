//! Measurements as results: what an operation costs more than with nothing attached.

use anyhow::Result;
use serde::Serialize;

use super::plan::{DEPTHS, EMPTY, MANAGED, UNMANAGED};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_the_documentation_says() {
        let measured = Measured {
            operation: "open",
            workload: "managed",
            rules: 10,
            depth: 5,
            kernel: "6.12.1".to_owned(),
            instructions: 812,
        };
        let expected = r#"[{"operation":"open","workload":"managed","rules":10,"depth":5,"kernel":"6.12.1","instructions":812}]"#;
        assert_eq!(serde_json::to_string(&[measured]).unwrap(), expected);
    }
}
