//! Measurements beside their goals, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::measure::Measured;

const MIB: f64 = 1024.0 * 1024.0;

/// A figure. Times are in milliseconds, memory in MiB.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Result {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it has to stay within; `null`: nothing was promised.
    goal: Option<f64>,
    /// Whether it does.
    met: Option<bool>,
}

impl Result {
    fn new(what: impl Into<String>, value: f64, unit: &'static str, goal: Option<f64>) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            goal,
            met: goal.map(|goal| value <= goal),
        }
    }

    fn time(what: impl Into<String>, time: Duration, goal: Option<f64>) -> Self {
        Self::new(what, time.as_secs_f64() * 1e3, "ms", goal)
    }
}

/// Everything that was measured.
pub(crate) fn of(measured: &Measured) -> Vec<Result> {
    let edit = |kind: &str, pods: usize| format!("edit of a {kind} to all {pods} pods planned");
    let written = measured.written;
    let pods = written.enforcements.max(1) as f64;
    let share = written.rule_map_bytes as f64 / pods;
    let own = written.enforcement_bytes as f64 / pods;
    let comer = |percent| percentile(&measured.comers, percent);
    vec![
        Result::time(
            "full recompute, from nothing",
            measured.recompute,
            Some(10_000.0),
        ),
        Result::time("of it: judging policies", measured.judging, None),
        Result::time("of it: planning pods, linking", measured.planning, None),
        Result::time("every status once", measured.statuses, None),
        Result::time(
            "everything planned again, nothing changed",
            measured.again,
            None,
        ),
        Result::time(
            edit("policy", measured.edit.pods),
            measured.edit.slowest,
            Some(1_000.0),
        ),
        Result::time(
            edit("cluster policy", measured.cluster_edit.pods),
            measured.cluster_edit.slowest,
            None,
        ),
        Result::time("a new pod to planned, median", comer(50), None),
        Result::time("a new pod to planned, p99", comer(99), Some(50.0)),
        Result::new(
            "resident memory",
            measured.resident_kib as f64 * 1024.0 / MIB,
            "MiB",
            Some(1024.0),
        ),
        Result::new("sets of policies linked", measured.links as f64, "", None),
        Result::new("rule maps", written.rule_maps as f64, "", None),
        Result::new("pods with a rule map", pods, "", None),
        Result::new(
            "written per pod: its share of rule maps",
            share,
            "bytes",
            None,
        ),
        Result::new("written per pod: its PodEnforcement", own, "bytes", None),
    ]
}

/// The value that so many percent are not above.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// A table in Markdown.
pub(crate) fn table(results: &[Result]) -> String {
    let mut text = "| what | goal | measured |\n|---|---|---|\n".to_owned();
    for result in results {
        let goal = result
            .goal
            .map_or_else(String::new, |goal| said(goal, result.unit));
        let mut value = said(result.value, result.unit);
        if result.met == Some(false) {
            value = format!("**{value}: missed**");
        }
        writeln!(text, "| {} | {goal} | {value} |", result.what).expect("strings take everything");
    }
    text
}

/// A number with its unit, as exact as one can read it.
fn said(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "ms" if value >= 1_000.0 => (value / 1e3, "s"),
        "ms" if value < 1.0 => (value * 1e3, "µs"),
        unit => (value, unit),
    };
    let text = match unit {
        "s" | "ms" if value.fract() > 0.0 => format!("{value:.1} {unit}"),
        unit => format!("{value:.0} {unit}"),
    };
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_stands_out() {
        let results = [
            Result::new("slow", 12_345.6, "ms", Some(10_000.0)),
            Result::new("quick", 0.25, "ms", Some(50.0)),
            Result::new("count", 17.0, "", None),
        ];
        let rows =
            "| slow | 10 s | **12.3 s: missed** |\n| quick | 50 ms | 250 µs |\n| count |  | 17 |\n";
        assert!(table(&results).ends_with(rows), "{}", table(&results));
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50), Duration::from_micros(100));
        assert_eq!(percentile(&times, 99), Duration::from_micros(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_micros(1));
    }

    #[test]
    fn a_line_of_json_says_whether_the_goal_is_met() {
        let line = Result::new("memory", 512.0, "MiB", Some(1024.0));
        let expected = r#"{"what":"memory","value":512.0,"unit":"MiB","goal":1024.0,"met":true}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
    }
}
