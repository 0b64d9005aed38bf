//! What a guest has measured, and what operations cost more than without any program.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::plan::{CROWDED, NONE};
use super::targets::{DEPTH_5, Target};

/// Change of the cost without programs, within a boot, above which nothing counts. 6.1
/// changes by 1 % at the shortest paths, others by a tenth of that.
const DRIFT: f64 = 0.02;
/// The same of an exec: at the end, in a kernel that has had 4,096 workloads, it costs up to
/// 19 % more than before any program was attached, whatever the file: as many instructions as
/// clearing three pages takes. The median of three doesn't count that time.
const EXEC_DRIFT: f64 = 0.25;

/// Everything one guest has measured.
#[derive(Debug)]
pub(super) struct Readings {
    costs: Vec<Cost>,
    /// KiB of memory that the enforcer has after its first start.
    pub(super) resident: u32,
    /// Milliseconds from an edit to the kernel, by the number of workloads.
    edits: Vec<(usize, u64)>,
    /// Instructions that the verifier processed, by hook.
    pub(super) verified: Vec<(String, u32)>,
}

#[derive(Debug, Deserialize)]
struct Cost {
    label: String,
    target: String,
    /// Of one operation.
    ns: f64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Cost(Cost),
    Resident { resident: u32 },
    Edit { edited: usize, ms: u64 },
    Verified { hook: String, verified: u32 },
}

impl Readings {
    /// Reads a guest's report, and refuses it if the kernel changed on the way.
    pub(super) fn parse(report: &str) -> Result<Self> {
        let mut readings = Self {
            costs: Vec::new(),
            resident: 0,
            edits: Vec::new(),
            verified: Vec::new(),
        };
        for line in report.lines() {
            match serde_json::from_str(line)
                .with_context(|| format!("the guest has reported {line:?}"))?
            {
                Line::Cost(cost) => readings.costs.push(cost),
                Line::Resident { resident } if readings.resident == 0 => {
                    readings.resident = resident;
                }
                Line::Resident { .. } => {}
                Line::Edit { edited, ms } => readings.edits.push((edited, ms)),
                Line::Verified { hook, verified } => readings.verified.push((hook, verified)),
            }
        }
        readings.check_drift()?;
        Ok(readings)
    }

    /// Instructions of an operation with nothing attached.
    fn base(&self, target: &str) -> Result<f64> {
        median(self.of(NONE, target)).with_context(|| format!("{target} has no base"))
    }

    /// Instructions that an operation costs more than with nothing attached.
    pub(super) fn added(&self, label: &str, target: Target) -> Result<f64> {
        self.added_to(label, &target.to_string())
    }

    /// [`Readings::added`] for a target by its name.
    pub(super) fn added_to(&self, label: &str, target: &str) -> Result<f64> {
        let cost = median(self.of(label, target))
            .with_context(|| format!("{target} was not measured for {label}"))?;
        Ok(cost - self.base(target)?)
    }

    /// The least and the most that opening costs more in cgroups of the crowd, and the same
    /// beside it.
    pub(super) fn crowd(&self) -> Result<[(f64, f64); 2]> {
        let target = DEPTH_5.to_string();
        let base = self.base(&target)?;
        let spread = |prefix: &str| {
            let mut costs: Vec<f64> = self
                .costs
                .iter()
                .filter(|cost| cost.label.starts_with(prefix) && cost.target == target)
                .map(|cost| cost.ns - base)
                .collect();
            costs.sort_by(f64::total_cmp);
            let ends = costs.first().zip(costs.last());
            ends.map(|(least, most)| (*least, *most))
                .with_context(|| format!("{prefix} was not measured"))
        };
        let [managed, beside] = CROWDED;
        Ok([spread(managed)?, spread(beside)?])
    }

    /// Instructions that the verifier processed of a hook's program.
    pub(super) fn verified_of(&self, hook: &str) -> Result<u32> {
        let mut all = self.verified.iter();
        all.find(|(other, _)| other == hook)
            .map(|(_, verified)| *verified)
            .with_context(|| format!("{hook} has no program"))
    }

    /// The slowest edit of a policy of that many workloads, milliseconds.
    pub(super) fn edit(&self, workloads: usize) -> Result<u64> {
        let of = self.edits.iter().filter(|(edited, _)| *edited == workloads);
        of.map(|(_, ms)| *ms)
            .max()
            .with_context(|| format!("no policy of {workloads} workloads was edited"))
    }

    /// The hook whose program the verifier had most to do with.
    pub(super) fn largest(&self) -> Result<&(String, u32)> {
        let all = self.verified.iter();
        all.max_by_key(|(_, verified)| *verified)
            .context("no programs were listed")
    }

    fn of<'a>(&'a self, label: &'a str, target: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.costs
            .iter()
            .filter(move |cost| cost.label == label && cost.target == target)
            .map(|cost| cost.ns)
    }

    /// By how many instructions the cost without programs changed, at most, and of what.
    pub(super) fn drift(&self) -> Result<(f64, &str)> {
        let mut largest = (0.0, "");
        for cost in self.costs.iter().filter(|cost| cost.label == NONE) {
            let drift = (cost.ns - self.base(&cost.target)?).abs();
            if drift > largest.0 {
                largest = (drift, &cost.target);
            }
        }
        Ok(largest)
    }

    fn check_drift(&self) -> Result<()> {
        for cost in self.costs.iter().filter(|cost| cost.label == NONE) {
            let base = self.base(&cost.target)?;
            let drift = (cost.ns - base).abs() / base;
            let limit = if cost.target.starts_with("exec:") {
                EXEC_DRIFT
            } else {
                DRIFT
            };
            if drift > limit {
                bail!(
                    "the kernel changed while it was measured: {} cost {:.0} instructions with \
                     nothing attached, and {base:.0} another time",
                    cost.target,
                    cost.ns
                );
            }
        }
        Ok(())
    }
}

fn median(costs: impl Iterator<Item = f64>) -> Option<f64> {
    let mut costs: Vec<_> = costs.collect();
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::targets::CONNECT;
    use super::*;

    fn report(bases: [f64; 3]) -> String {
        let line = |label: &str, ns: f64| {
            format!("{{\"label\":\"{label}\",\"target\":\"{DEPTH_5}\",\"ns\":{ns}}}\n")
        };
        let mut text: String = bases.iter().map(|ns| line(NONE, *ns)).collect();
        for (label, ns) in [
            ("managed", 10_700.0),
            ("crowd0", 10_705.0),
            ("crowd1", 10_700.0),
            ("beside0", 10_250.0),
        ] {
            text += &line(label, ns);
        }
        text + "{\"workloads\":9,\"resident\":9000}\n{\"workloads\":9,\"resident\":9500}\n\
                {\"hook\":\"capable\",\"verified\":77}\n\
                {\"edited\":20,\"ms\":31}\n{\"edited\":20,\"ms\":30}\n"
    }

    #[test]
    fn costs_are_what_is_added_to_the_median_base() {
        let readings = Readings::parse(&report([10_001.0, 10_000.0, 9_990.0])).unwrap();
        assert!((readings.added("managed", DEPTH_5).unwrap() - 700.0).abs() < 0.01);
        assert_eq!(
            readings.drift().unwrap(),
            (10.0, DEPTH_5.to_string().as_str())
        );
        assert_eq!(readings.resident, 9_000);
        assert_eq!(readings.largest().unwrap(), &("capable".to_owned(), 77));
        assert_eq!(readings.edit(20).unwrap(), 31);
        assert!(readings.edit(1).is_err());
        assert!(readings.added("managed", CONNECT).is_err());
        assert_eq!(readings.verified_of("capable").unwrap(), 77);
        assert!(readings.verified_of("file_open").is_err());
        assert_eq!(readings.crowd().unwrap(), [(700.0, 705.0), (250.0, 250.0)]);
    }

    #[test]
    fn a_base_that_drifts_is_refused() {
        assert!(Readings::parse(&report([10_000.0, 10_000.0, 10_260.0])).is_err());
    }

    #[test]
    fn a_line_that_is_no_reading_is_refused() {
        assert!(Readings::parse("panic\n").is_err());
    }
}
