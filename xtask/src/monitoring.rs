//! `cargo xtask monitoring`: alerts and dashboards, tried with a real Prometheus.
//!
//! ```text
//!   tests of the crates ─► scrapes/ ─┬─► docs/metrics.md
//!                                    └─► Prometheus ◄─ rules.yaml, queries of dashboard.json
//! ```

mod dashboard;
mod page;
pub(crate) mod reference;
mod rules;
pub(crate) mod scrape;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::run_quietly;
use crate::paths;
use crate::prometheus::{Prometheus, program};
use crate::totals::Totals;
use dashboard::{Query, queries};
use scrape::{Program, families};

/// How long scrapes and evaluations may take, of which there is one a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the rules.
const PAUSE: Duration = Duration::from_millis(100);

/// Checks everything; prints a line for each check.
pub(crate) fn check() -> Result<Totals> {
    let folder = paths::target().join("monitoring");
    paths::make(&folder)?;
    let rules = folder.join("rules.yaml");
    write(&rules, &rules::plain(&rules::object()?)?)?;
    let mut totals = Totals::default();
    let mut check = |name: &str, result: Result<()>| {
        match &result {
            Ok(()) => println!("ok   monitoring/{name}"),
            Err(error) => println!("FAIL monitoring/{name}: {error:#}"),
        }
        totals.add(Totals {
            passed: usize::from(result.is_ok()),
            failed: usize::from(result.is_err()),
            skipped: 0,
        });
    };
    let promtool = program("promtool")?;
    check(
        "rules_are_valid",
        run_quietly(Command::new(&promtool).args(["check", "rules"]).arg(&rules)),
    );
    for test in tests(&folder)? {
        let name = test.file_stem().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(&promtool);
        command.args(["test", "rules"]).arg(&test);
        check(&format!("alerts_fire/{name}"), run_quietly(&mut command));
    }
    let prometheus = start(&folder, &rules)?;
    check("scrapes_are_understood", are_scraped(&prometheus));
    check("rules_are_evaluated", are_evaluated(&prometheus));
    for query in queries()? {
        let name = format!("dashboard/{}", query.panel);
        check(&name, has_data(&prometheus, &query));
    }
    println!("{totals}");
    Ok(totals)
}

/// Puts the tests of alerts beside the rules, where they look for them.
fn tests(folder: &Path) -> Result<Vec<PathBuf>> {
    let source = paths::root().join("config/monitoring/tests");
    let list = fs::read_dir(&source).with_context(|| format!("can't list {}", source.display()))?;
    let mut tests = Vec::new();
    for entry in list {
        let entry = entry?;
        let test = folder.join(entry.file_name());
        fs::copy(entry.path(), &test).with_context(|| format!("can't copy {}", test.display()))?;
        tests.push(test);
    }
    tests.sort();
    ensure!(!tests.is_empty(), "no alert has a test");
    Ok(tests)
}

/// A Prometheus with our rules, which scrapes an enforcer and an operator once a second.
fn start(folder: &Path, rules: &Path) -> Result<Prometheus> {
    let enforcer = ("/enforcer", Program::Enforcer.scrape()?);
    let operator = ("/operator", Program::Operator.scrape()?);
    let address = page::serve(vec![enforcer, operator])?;
    Prometheus::start(&folder.join("prometheus"), &configuration(address, rules))
}

/// What the objects in `config/monitoring` have the Prometheus Operator make.
fn configuration(address: SocketAddr, rules: &Path) -> String {
    let jobs = Program::ALL.map(|program| {
        let name = program.name();
        format!(
            "  - job_name: bartizan-{name}\n    metrics_path: /{name}\n    honor_labels: true\n    \
             static_configs:\n      - targets: [\"{address}\"]\n        \
             labels: {{ node: node-a }}\n"
        )
    });
    format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{}]\nscrape_configs:\n{}",
        rules.display(),
        jobs.concat()
    )
}

/// Both pages are taken in full, and a few times so that there are rates.
fn are_scraped(prometheus: &Prometheus) -> Result<()> {
    for program in Program::ALL {
        let job = format!("job=\"bartizan-{}\"", program.name());
        let up = format!("sum_over_time(up{{{job}}}[1m])");
        let waited = prometheus.wait_for(&up, PATIENCE, |scrapes| scrapes >= 3.0);
        waited.with_context(|| match prometheus.api("targets") {
            Ok(targets) => format!("it is not scraped: {targets}"),
            Err(error) => format!("it is not scraped: {error}"),
        })?;
        let samples = prometheus.query(&format!("{{{job}}}"))?;
        let known: BTreeSet<_> = samples
            .iter()
            .filter_map(|sample| sample.metric.get("__name__"))
            .collect();
        for series in families(&program.scrape()?)
            .iter()
            .flat_map(|one| &one.series)
        {
            ensure!(known.contains(series), "Prometheus knows no {series}");
        }
    }
    Ok(())
}

/// No rule fails on real series.
fn are_evaluated(prometheus: &Prometheus) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let groups = prometheus.api("rules")?;
        let groups = groups["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        let rules: Vec<_> = rules.flatten().collect();
        ensure!(!rules.is_empty(), "there are no rules");
        if let Some(bad) = rules.iter().find(|rule| rule["health"] == "err") {
            bail!("{} fails: {}", bad["name"], bad["lastError"]);
        }
        if rules.iter().all(|rule| rule["health"] == "ok") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "rules are not evaluated");
        thread::sleep(PAUSE);
    }
}

fn has_data(prometheus: &Prometheus, query: &Query) -> Result<()> {
    let samples = prometheus.query(&query.expression)?;
    ensure!(!samples.is_empty(), "{} has no data", query.expression);
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}
