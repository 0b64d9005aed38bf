//! The same in a cluster: what the alerts and the dashboard ask, of a Prometheus that
//! scrapes what runs there.
//!
//! What they ask exists in the written scrapes, by tests of its own; here it has to be there
//! in earnest. Something has to be denied, audited and edited meanwhile, or rates and
//! quantiles have nothing to show.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::dashboard::{Query, queries};
use super::scrape::{Program, mentioned};
use super::{Checks, are_evaluated, have_labels, is_scraped, series};
use crate::cluster::Running;
use crate::prometheus::Prometheus;
use crate::totals::Totals;

/// How long it may take until everything is there: rates are of a minute, and an emulated
/// node may have other things to do.
const PATIENCE: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(500);
/// Series that come into being with the first thing to count, and why a cluster that is
/// well has none of them.
const OF_FAILURES: [(&str, &str); 5] = [
    (
        "bartizan_undecodable_events_total",
        "kernel programs and enforcer fit together",
    ),
    (
        "bartizan_unenforceable_operations",
        "the node's kernel has every hook",
    ),
    (
        "bartizan_api_errors_total",
        "the API server and the runtime have answered the enforcer",
    ),
    (
        "bartizan_operator_errors_total",
        "no policy was refused, and no write has failed",
    ),
    (
        "bartizan_operator_watch_errors_total",
        "no watch has ended with an error",
    ),
];

/// Checks everything; prints a line for each check.
pub(crate) fn check_in(cluster: &Running) -> Result<Totals> {
    let prometheus = cluster.prometheus()?;
    let deadline = Instant::now() + PATIENCE;
    let rest = || deadline.saturating_duration_since(Instant::now());
    let mut checks = Checks::default();
    for program in Program::ALL {
        let check = format!("cluster/{}_is_scraped", program.name());
        checks.add(&check, is_scraped(&prometheus, program, rest()));
        for one in program.series()? {
            let check = format!("cluster/series/{one}");
            let found = || {
                let known = series(&prometheus, program)?.contains(&one);
                ensure!(known, "Prometheus knows no such series");
                Ok(())
            };
            checks.eventually(&check, &one, deadline, found);
        }
        // By now there are all series that could lose a label.
        let check = format!("cluster/labels_of_{}", program.name());
        checks.add(&check, have_labels(&prometheus, program));
    }
    let evaluated = are_evaluated(&prometheus, rest());
    checks.add("cluster/rules_are_evaluated", evaluated);
    for query in queries()? {
        let check = format!("cluster/dashboard/{}", query.panel);
        let asked = || has_numbers(&prometheus, &query);
        checks.eventually(&check, &query.expression, deadline, asked);
    }
    println!("{}", checks.0);
    Ok(checks.0)
}

impl Checks {
    /// Asks again and again, unless what is asked for may be missing.
    fn eventually(
        &mut self,
        name: &str,
        expression: &str,
        deadline: Instant,
        ask: impl Fn() -> Result<()>,
    ) {
        loop {
            let Err(error) = ask() else {
                return self.add(name, Ok(()));
            };
            if let Some(reason) = may_be_missing(expression) {
                return self.skip(name, reason);
            }
            if Instant::now() >= deadline {
                return self.add(name, Err(error));
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Why what an expression asks for may be missing.
fn may_be_missing(expression: &str) -> Option<&'static str> {
    let asks_for = |one: &str| mentioned(expression).any(|(series, _)| series == one);
    let mut failures = OF_FAILURES.iter();
    failures
        .find(|(series, _)| asks_for(series))
        .map(|(_, reason)| *reason)
}

/// Grafana draws nothing for what is no number, such as a quantile of nothing.
fn has_numbers(prometheus: &Prometheus, query: &Query) -> Result<()> {
    let samples = prometheus.query(&query.expression)?;
    let has_any = samples.iter().any(|sample| !sample.value().is_nan());
    ensure!(has_any, "{} is {samples:?}", query.expression);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_counts_failures_may_be_missing() {
        let failures = "sum by (reason) (rate(bartizan_operator_errors_total[1m]))";
        assert!(may_be_missing(failures).is_some());
        assert_eq!(may_be_missing("rate(bartizan_denials_total[1m])"), None);
    }

    #[test]
    fn what_may_be_missing_is_exported() {
        let exported: Vec<_> = Program::ALL
            .iter()
            .flat_map(|program| program.series().unwrap())
            .collect();
        for (series, _) in OF_FAILURES {
            assert!(exported.iter().any(|one| one == series), "{series}");
        }
    }
}
