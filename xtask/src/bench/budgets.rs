//! Budgets: figures that may not grow, and what is said when one does.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context as _, Result, ensure};

use super::markdown::grouped;
use super::plan::Plan;
use super::readings::Readings;
use super::targets::DEPTH_5;
use crate::setup::KernelLine;

/// One figure per line; the file says how to change it.
const FILE: &str = include_str!("budgets.txt");
/// The label of what the verifier processed, by hook instead of target.
const VERIFIER: &str = "verifier";

/// The budget of a figure.
#[derive(Debug)]
struct Budget {
    kernel: String,
    label: String,
    target: String,
    /// What was measured when the budget was set.
    was: u32,
    most: u32,
    /// What the design asks for, where that is missed.
    goal: Option<u32>,
}

/// A figure over its budget.
#[derive(Debug)]
pub(super) struct Overrun {
    budget: Budget,
    measured: f64,
}

impl Budget {
    fn all() -> Result<Vec<Self>> {
        let lines = FILE.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| !line.trim().is_empty())
            .map(|line| Self::parse(line).with_context(|| format!("no budget: {line:?}")))
            .collect()
    }

    fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(matches!(words.len(), 5 | 6), "five or six words");
        Ok(Self {
            kernel: words[0].to_owned(),
            label: words[1].to_owned(),
            target: words[2].to_owned(),
            was: words[3].parse()?,
            most: words[4].parse()?,
            goal: words.get(5).map(|goal| goal.parse()).transpose()?,
        })
    }

    fn is_of_opening(&self) -> bool {
        match self.label.as_str() {
            VERIFIER => self.target == DEPTH_5.hook(),
            _ => self.target.starts_with("open:"),
        }
    }

    fn measured(&self, readings: &Readings) -> Result<f64> {
        if self.label == VERIFIER {
            return Ok(readings.verified_of(&self.target)?.into());
        }
        readings.added_to(&self.label, &self.target)
    }

    /// The least of some boots.
    fn least(&self, boots: &[Readings]) -> Result<f64> {
        boots.iter().try_fold(f64::INFINITY, |least, readings| {
            Ok(least.min(self.measured(readings)?))
        })
    }
}

/// What of opening has a budget on a kernel, as label and target.
pub(super) fn opening(kernel: KernelLine) -> Result<BTreeSet<(String, String)>> {
    let budgets = Budget::all()?.into_iter();
    Ok(budgets
        .filter(|budget| budget.kernel == kernel.to_string())
        .filter(|budget| budget.label != VERIFIER && budget.is_of_opening())
        .map(|budget| (budget.label, budget.target))
        .collect())
}

/// What is over its budget in every boot of a kernel, and how many figures have one: all of
/// what `plan` has measured.
pub(super) fn check(
    kernel: KernelLine,
    boots: &[Readings],
    plan: &Plan,
) -> Result<(Vec<Overrun>, usize)> {
    let mut overruns = Vec::new();
    let mut figures = 0;
    for budget in Budget::all()? {
        let is_measured = matches!(plan, Plan::Full) || budget.is_of_opening();
        if budget.kernel != kernel.to_string() || !is_measured {
            continue;
        }
        figures += 1;
        let measured = budget.least(boots)?;
        if measured.round() > budget.most.into() {
            overruns.push(Overrun { budget, measured });
        }
    }
    Ok((overruns, figures))
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget {
            kernel,
            label,
            target,
            was,
            most,
            goal,
        } = &self.budget;
        write!(
            f,
            "{kernel}: {label} {target} takes {} instructions, {} over its budget of {}; it took \
             {} when that was set",
            grouped(self.measured),
            grouped(self.measured - f64::from(*most)),
            grouped((*most).into()),
            grouped((*was).into()),
        )?;
        match goal {
            Some(goal) => write!(f, ", and the goal is {}", grouped((*goal).into())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bench;
    use super::super::plan::{NONE, UNMANAGED};
    use super::super::targets;
    use super::super::workloads::{WORKLOADS, Workload};
    use super::*;

    #[test]
    fn every_budget_is_of_something_that_is_measured() {
        let kernels = KernelLine::ALL.map(|line| line.to_string());
        for budget in Budget::all().unwrap() {
            assert!(kernels.contains(&budget.kernel), "{budget:?}");
            let targets = match budget.label.as_str() {
                VERIFIER => continue,
                UNMANAGED => targets::all(),
                label => WORKLOADS
                    .iter()
                    .find(|workload| workload.name == label)
                    .map(Workload::targets)
                    .unwrap_or_default(),
            };
            let of = |target: &targets::Target| target.to_string() == budget.target;
            assert!(targets.iter().any(of), "{budget:?}");
        }
    }

    #[test]
    fn what_every_change_is_tested_on_has_budgets() {
        for kernel in Bench::brief().kernels {
            assert!(!opening(kernel).unwrap().is_empty(), "{kernel}");
        }
    }

    /// A budget with more room than that hides what it should show; one with less fails
    /// because another path of the kernel was taken.
    #[test]
    fn budgets_leave_a_few_per_cent() {
        for budget in Budget::all().unwrap() {
            let (was, most) = (f64::from(budget.was), f64::from(budget.most));
            assert!(most >= was + (was * 0.02).min(15.0), "{budget:?}");
            assert!(most <= was * 1.06 + 15.0, "{budget:?}");
            assert!(
                budget.goal.is_none_or(|goal| goal < budget.most),
                "{budget:?}"
            );
        }
    }

    #[test]
    fn an_overrun_is_of_the_least_and_says_by_how_much_and_since_which_figure() {
        let budget = Budget::parse("6.12 r10 open:/f 1133 1180 1000").unwrap();
        let boots = [10_219.0, 10_200.4].map(|ns| {
            let report = format!(
                "{{\"label\":\"{NONE}\",\"target\":\"open:/f\",\"ns\":9000}}\n\
                 {{\"label\":\"r10\",\"target\":\"open:/f\",\"ns\":{ns}}}\n"
            );
            Readings::parse(&report).unwrap()
        });
        let measured = budget.least(&boots).unwrap();
        assert_eq!(
            Overrun { budget, measured }.to_string(),
            "6.12: r10 open:/f takes 1,200 instructions, 20 over its budget of 1,180; it took \
             1,133 when that was set, and the goal is 1,000"
        );
    }
}
