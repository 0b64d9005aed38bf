//! `cargo xtask monitoring`: alerts and dashboards, tried with a real Prometheus.
//!
//! ```text
//!   tests of the crates ─► scrapes/ ─┬─► docs/metrics.md
//!                                    └─► Prometheus ◄─ rules.yaml, queries of dashboard.json,
//!                 a cluster (live) ────► Prometheus ◄─ enforcer.yaml, operator.yaml
//! ```

mod dashboard;
mod live;
pub(crate) mod monitor;
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
use serde_json::json;

use crate::command::run_quietly;
use crate::paths;
use crate::prometheus::{Prometheus, program};
use crate::totals::Totals;
use dashboard::{Query, queries};
pub(crate) use live::check_in;
use monitor::Monitor;
use scrape::Program;

/// How long scrapes and evaluations may take, of which there is one a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the rules.
const PAUSE: Duration = Duration::from_millis(100);

/// Checks that are printed and counted.
#[derive(Debug, Default)]
struct Checks(Totals);

impl Checks {
    /// Prints and counts one.
    fn add(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("ok   monitoring/{name}");
                self.0.passed += 1;
            }
            Err(error) => {
                println!("FAIL monitoring/{name}: {error:#}");
                self.0.failed += 1;
            }
        }
    }

    /// The same for one that has nothing to look at.
    fn skip(&mut self, name: &str, reason: &str) {
        println!("skip monitoring/{name}: {reason}");
        self.0.skipped += 1;
    }
}

/// Writes the rules as Prometheus reads them.
pub(crate) fn write_rules(file: &Path) -> Result<()> {
    write(file, &rules::plain(&rules::object()?)?)
}

/// Checks everything; prints a line for each check.
pub(crate) fn check() -> Result<Totals> {
    let folder = paths::target().join("monitoring");
    paths::make(&folder)?;
    let rules = folder.join("rules.yaml");
    write_rules(&rules)?;
    let mut checks = Checks::default();
    let promtool = program("promtool")?;
    checks.add(
        "rules_are_valid",
        run_quietly(Command::new(&promtool).args(["check", "rules"]).arg(&rules)),
    );
    for test in tests(&folder)? {
        let name = test.file_stem().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(&promtool);
        command.args(["test", "rules"]).arg(&test);
        checks.add(&format!("alerts_fire/{name}"), run_quietly(&mut command));
    }
    let prometheus = start(&folder, &rules)?;
    checks.add("scrapes_are_understood", are_scraped(&prometheus));
    for program in Program::ALL {
        let check = format!("labels_of_{}", program.name());
        checks.add(&check, have_labels(&prometheus, program));
    }
    checks.add("rules_are_evaluated", are_evaluated(&prometheus, PATIENCE));
    for query in queries()? {
        let name = format!("dashboard/{}", query.panel);
        checks.add(&name, has_data(&prometheus, &query));
    }
    println!("{}", checks.0);
    Ok(checks.0)
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
    let configuration = configuration(address, rules)?;
    Prometheus::start(&folder.join("prometheus"), &configuration)
}

/// What the objects in `config/monitoring` have the Prometheus Operator make, with a pod for
/// each page.
fn configuration(address: SocketAddr, rules: &Path) -> Result<String> {
    let mut jobs = Vec::new();
    for program in Program::ALL {
        let monitor = Monitor::of(program)?;
        let pod = monitor.pod("pod-a", "node-a");
        let (_, labels) = monitor.finds(&pod).context("its pod is not found")?;
        let mut job = monitor.scrape_config()?;
        job["metrics_path"] = json!(format!("/{}", program.name()));
        job["static_configs"] = json!([{ "targets": [address], "labels": labels }]);
        jobs.push(job);
    }
    // JSON is YAML.
    let configuration = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": jobs,
    });
    Ok(configuration.to_string())
}

/// Both pages are taken in full, and a few times so that there are rates.
fn are_scraped(prometheus: &Prometheus) -> Result<()> {
    for program in Program::ALL {
        is_scraped(prometheus, program, PATIENCE)?;
        let known = series(prometheus, program)?;
        for series in program.series()? {
            ensure!(known.contains(&series), "Prometheus knows no {series}");
        }
    }
    Ok(())
}

/// The selector of what comes from a program.
fn job(program: Program) -> String {
    format!("job=\"bartizan-{}\"", program.name())
}

/// Waits until there are rates of what a program exports.
fn is_scraped(prometheus: &Prometheus, program: Program, patience: Duration) -> Result<()> {
    let up = format!("sum_over_time(up{{{}}}[1m])", job(program));
    let waited = prometheus.wait_for(&up, patience, |scrapes| scrapes >= 3.0);
    waited.with_context(|| match prometheus.api("targets") {
        Ok(targets) => format!("it is not scraped: {targets}"),
        Err(error) => format!("it is not scraped: {error}"),
    })
}

/// Names of all series that Prometheus has of a program.
fn series(prometheus: &Prometheus, program: Program) -> Result<BTreeSet<String>> {
    let samples = prometheus.query(&format!("{{{}}}", job(program)))?;
    let names = samples
        .into_iter()
        .map(|mut sample| sample.metric.remove("__name__"));
    names
        .map(|name| name.context("a series without a name"))
        .collect()
}

/// What alerts and the dashboard take for granted: series keep the labels that the program
/// gives them, and the enforcer's have its node's name.
fn have_labels(prometheus: &Prometheus, program: Program) -> Result<()> {
    for sample in prometheus.query(&format!("{{{}}}", job(program)))? {
        let renamed = sample
            .metric
            .keys()
            .find(|label| label.starts_with("exported_"));
        if let Some(label) = renamed {
            bail!("{:?} lacks `honorLabels: true`: {label}", sample.metric);
        }
    }
    let targets = prometheus.api("targets?state=active")?;
    let targets = targets["activeTargets"].as_array().into_iter().flatten();
    let name = format!("bartizan-{}", program.name());
    let own: Vec<_> = targets
        .filter(|target| target["labels"]["job"] == name)
        .collect();
    ensure!(!own.is_empty(), "there is no target of {name}");
    for target in own.into_iter().filter(|_| program == Program::Enforcer) {
        let (node, known) = (&target["labels"]["node"], &target["discoveredLabels"]);
        let on = &known["__meta_kubernetes_pod_node_name"];
        ensure!(
            node.is_string() && node == on,
            "the label `node` is {node} on {on}"
        );
    }
    Ok(())
}

/// No rule fails on real series.
fn are_evaluated(prometheus: &Prometheus, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
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
