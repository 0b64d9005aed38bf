//! Measurements as results: what an operation costs more than with nothing attached.

use anyhow::Result;
use serde::Serialize;

use super::plan::{self, CROWD, CROWD_RULES, EMPTY, UNMANAGED};
use super::readings::Readings;
use super::targets::{self, DEPTH_5, OTHERS, Target};
use super::workloads::{Rules, WORKLOADS};

/// One line of `-o json`.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    operation: &'static str,
    workload: &'static str,
    /// 0 where there are none.
    rules: usize,
    /// Components of the path, 0 where there is none.
    depth: u32,
    kernel: String,
    /// Added to the operation with nothing attached.
    instructions: i64,
    /// Networks in the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<usize>,
    /// Enforced workloads, if many.
    #[serde(skip_serializing_if = "Option::is_none")]
    workloads: Option<u32>,
}

/// Every operation at each depth, for each kind of workload.
pub(super) fn of(release: &str, readings: &Readings) -> Result<Vec<Measured>> {
    let measured = |label: &str, workload, rules, target: Target| -> Result<Measured> {
        Ok(Measured {
            operation: target.operation,
            workload,
            rules,
            depth: target.depth(),
            kernel: release.to_owned(),
            instructions: readings.added(label, target)?.round() as i64,
            networks: None,
            workloads: None,
        })
    };
    let mut all = Vec::new();
    for (label, targets) in [(EMPTY, plan::empty()), (UNMANAGED, targets::all())] {
        for target in targets.into_iter().filter(|target| stands(*target)) {
            all.push(measured(label, label, 0, target)?);
        }
    }
    for workload in WORKLOADS.iter().filter(|workload| workload.stands()) {
        let targets = workload.targets();
        for target in targets.into_iter().filter(|target| stands(*target)) {
            let mut line = measured(workload.name, "managed", workload.rule_count(), target)?;
            if let Rules::Networks(networks) = workload.rules {
                if target == DEPTH_5 {
                    continue;
                }
                line.networks = Some(networks);
            }
            all.push(line);
        }
    }
    let [managed, beside] = readings.crowd()?;
    let crowds = [("managed", CROWD_RULES, managed), (UNMANAGED, 0, beside)];
    for (workload, rules, (_, most)) in crowds {
        all.push(Measured {
            operation: DEPTH_5.operation,
            workload,
            rules,
            depth: DEPTH_5.depth(),
            kernel: release.to_owned(),
            instructions: most.round() as i64,
            networks: None,
            workloads: Some(CROWD),
        });
    }
    Ok(all)
}

/// Whether a target stands for its operation and depth.
fn stands(target: Target) -> bool {
    let operations = OTHERS.into_iter().chain(["open"]);
    target.path.is_empty()
        || operations
            .flat_map(targets::at_depths)
            .any(|other| other == target)
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
            networks: None,
            workloads: None,
        };
        let expected = r#"[{"operation":"open","workload":"managed","rules":10,"depth":5,"kernel":"6.12.1","instructions":812}]"#;
        assert_eq!(serde_json::to_string(&[measured]).unwrap(), expected);
    }
}
