//! What a guest has measured, and what operations cost more than without any program.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::plan::NONE;

/// Change of the cost without programs, within a boot, above which nothing counts.
const DRIFT: f64 = 0.005;

/// Everything one guest has measured.
#[derive(Debug)]
pub(super) struct Readings {
    costs: Vec<Cost>,
    /// KiB of memory that the enforcer has after its start.
    pub(super) resident: u64,
    /// Instructions that the verifier processed, by hook.
    pub(super) verified: Vec<(String, u64)>,
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
    Resident { resident: u64 },
    Verified { hook: String, verified: u64 },
}

impl Readings {
    /// Reads a guest's report, and refuses it if the kernel changed on the way.
    pub(super) fn parse(report: &str) -> Result<Self> {
        let mut readings = Self {
            costs: Vec::new(),
            resident: 0,
            verified: Vec::new(),
        };
        for line in report.lines() {
            match serde_json::from_str(line)
                .with_context(|| format!("the guest has reported {line:?}"))?
            {
                Line::Cost(cost) => readings.costs.push(cost),
                Line::Resident { resident } => readings.resident = resident,
                Line::Verified { hook, verified } => readings.verified.push((hook, verified)),
            }
        }
        readings.check_drift()?;
        Ok(readings)
    }

    /// Instructions of an operation with nothing attached.
    pub(super) fn base(&self, target: &str) -> Result<f64> {
        median(self.of(NONE, target)).with_context(|| format!("{target} has no base"))
    }

    /// Instructions that an operation costs more than with nothing attached.
    pub(super) fn added(&self, label: &str, target: &str) -> Result<f64> {
        let cost = median(self.of(label, target))
            .with_context(|| format!("{target} was not measured for {label}"))?;
        Ok(cost - self.base(target)?)
    }

    fn of<'a>(&'a self, label: &'a str, target: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.costs
            .iter()
            .filter(move |cost| cost.label == label && cost.target == target)
            .map(|cost| cost.ns)
    }

    fn check_drift(&self) -> Result<()> {
        for cost in self.costs.iter().filter(|cost| cost.label == NONE) {
            let base = self.base(&cost.target)?;
            let drift = (cost.ns - base).abs() / base;
            if drift > DRIFT {
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
    use super::*;

    fn report(bases: [f64; 3]) -> String {
        let line = |label: &str, ns: f64| {
            format!("{{\"label\":\"{label}\",\"target\":\"/f\",\"ns\":{ns}}}\n")
        };
        let mut text: String = bases.iter().map(|ns| line(NONE, *ns)).collect();
        text += &line("managed", 10_700.0);
        text + "{\"resident\":9000}\n{\"hook\":\"capable\",\"verified\":77}\n"
    }

    #[test]
    fn costs_are_what_is_added_to_the_median_base() {
        let readings = Readings::parse(&report([10_001.0, 10_000.0, 9_990.0])).unwrap();
        assert!((readings.added("managed", "/f").unwrap() - 700.0).abs() < 0.01);
        assert_eq!(readings.resident, 9_000);
        assert_eq!(readings.verified, [("capable".to_owned(), 77)]);
        assert!(readings.added("managed", "/g").is_err());
    }

    #[test]
    fn a_base_that_drifts_is_refused() {
        assert!(Readings::parse(&report([10_000.0, 10_000.0, 10_060.0])).is_err());
    }

    #[test]
    fn a_line_that_is_no_reading_is_refused() {
        assert!(Readings::parse("panic\n").is_err());
    }
}
