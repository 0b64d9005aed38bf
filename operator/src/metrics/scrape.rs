//! `config/monitoring/scrapes/operator.txt`: what a replica's `/metrics` looks like.
//!
//! The metrics reference is made from it, and alerts and dashboards are tried on it.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use super::{Call, Metrics};
use crate::cluster::{Sizes, Standing};
use crate::watch::Kind;

/// Every metric with every label.
fn busy() -> Metrics {
    let metrics = Metrics::default();
    for task in ["pod", "rulemap", "status"] {
        metrics.reconciled(task, Duration::from_millis(2));
    }
    metrics.failed("InvalidPolicy");
    metrics.failed("WriteStatus");
    for call in [
        Call::PublishRuleMap,
        Call::DeleteRuleMap,
        Call::ApplyEnforcement,
        Call::DeleteEnforcement,
        Call::WriteStatus,
        Call::PublishEvent,
        Call::Lease,
        Call::Certificate,
    ] {
        metrics.called(call, Ok(())).unwrap();
    }
    for kind in [
        Kind::Namespaces,
        Kind::Pods,
        Kind::SecurityPolicies,
        Kind::ClusterSecurityPolicies,
        Kind::RuleMaps,
        Kind::PodEnforcements,
    ] {
        metrics.watch_failed(kind);
    }
    metrics.published(Duration::from_millis(40));
    metrics.leading(true);
    metrics.reviewed("Accepted");
    metrics.reviewed("InvalidPolicy");
    metrics.sizes(Sizes {
        pods: 120,
        namespaces: 8,
        policies: 6,
        enforcements: 40,
        rule_maps: 9,
        links: 9,
        dirty_pods: 1,
        dirty_policies: 1,
    });
    let mut standings = Standing::ALL.map(|standing| (standing, 1));
    standings[0].1 = 2;
    metrics.standings(standings);
    metrics
}

/// The samples of each metric in the order of their labels: families are hash maps.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &&str| line.starts_with('#');
    for samples in lines.split_mut(is_comment) {
        samples.sort_by_key(|line| series(line));
    }
    lines.join("\n") + "\n"
}

/// The labels of a sample without the bound of its bucket, so that buckets keep their order.
fn series(line: &str) -> &str {
    let labels = line.split_once('{').map_or("", |(_, labels)| labels);
    let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
    match labels.strip_prefix("le=\"") {
        Some(bound) => bound.split_once("\",").map_or("", |(_, others)| others),
        None => labels,
    }
}

/// Compares, or with `BARTIZAN_GENERATE` in the environment writes.
#[test]
fn scrape_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("../config/monitoring/scrapes/operator.txt");
    let text = sorted(&busy().text());
    if env::var_os("BARTIZAN_GENERATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "{} is out of date: run `cargo xtask generate`",
        file.display()
    );
}
