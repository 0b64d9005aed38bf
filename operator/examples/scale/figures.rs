//! Measurements beside their goals, for people and for programs.
//!
//! Shared with the benchmark that goes through an API server (tests/api).

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

/// A figure. Times are in milliseconds, memory in MiB.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it has to stay within; `null`: nothing was promised.
    goal: Option<f64>,
    /// Whether it does.
    met: Option<bool>,
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Option<f64>,
    ) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            goal,
            met: goal.map(|goal| value <= goal),
        }
    }

    pub(crate) fn time(what: impl Into<String>, time: Duration, goal: Option<f64>) -> Self {
        Self::new(what, time.as_secs_f64() * 1e3, "ms", goal)
    }
}

/// The value that so many percent are not above.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

impl Format {
    pub(crate) fn print(self, figures: &[Figure]) -> Result<()> {
        match self {
            Self::Table => print!("{}", table(figures)),
            Self::Json => println!("{}", serde_json::to_string_pretty(figures)?),
        }
        Ok(())
    }
}

/// A table in Markdown.
fn table(figures: &[Figure]) -> String {
    let mut text = "| what | goal | measured |\n|---|---|---|\n".to_owned();
    for figure in figures {
        let goal = figure
            .goal
            .map_or_else(String::new, |goal| said(goal, figure.unit));
        let mut value = said(figure.value, figure.unit);
        if figure.met == Some(false) {
            value = format!("**{value}: missed**");
        }
        writeln!(text, "| {} | {goal} | {value} |", figure.what).expect("strings take everything");
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
        let figures = [
            Figure::new("slow", 12_345.6, "ms", Some(10_000.0)),
            Figure::new("quick", 0.25, "ms", Some(50.0)),
            Figure::new("count", 17.0, "", None),
        ];
        let rows =
            "| slow | 10 s | **12.3 s: missed** |\n| quick | 50 ms | 250 µs |\n| count |  | 17 |\n";
        assert!(table(&figures).ends_with(rows), "{}", table(&figures));
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
        let line = Figure::new("memory", 512.0, "MiB", Some(1024.0));
        let expected = r#"{"what":"memory","value":512.0,"unit":"MiB","goal":1024.0,"met":true}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
    }
}
