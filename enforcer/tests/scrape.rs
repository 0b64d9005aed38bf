//! `config/monitoring/scrapes/enforcer.txt`: what a node's `/metrics` looks like.
//!
//! The metrics reference is made from it, and alerts and dashboards are tried on it.

use std::path::Path;
use std::{env, fs};

use bartizan_abi::maps::STATS;
use bartizan_abi::op::Operation;
use bartizan_enforcer::engine::{Counted, Series};
use bartizan_enforcer::metrics::{NodeFacts, NriFacts, Snapshot};
use bartizan_policy::rule_map::Mode;

fn series(counted: Counted, policy: &str, rule: &str, operation: &'static str) -> Series {
    Series {
        counted,
        namespace: "shop".into(),
        policy: policy.into(),
        rule: rule.into(),
        operation,
    }
}

/// Every metric with every label.
fn busy() -> Snapshot {
    let enforce = Counted::Denial(Mode::Enforce);
    let audit = Counted::Denial(Mode::Audit);
    Snapshot {
        counts: [
            (
                series(enforce, "shop/web-lockdown", "no-downloaders", "Exec"),
                12,
            ),
            (
                series(audit, "shop/dry-run", "no-password-hashes", "Read"),
                3,
            ),
            (series(Counted::Audited, "etc-trail", "etc", "Write"), 5),
        ]
        .into(),
        stats: [1; STATS as usize],
        armed: 24,
        tables: 9,
        cgroups: 60,
        counters: 40,
        lines: (15, 1),
        undecodable: [("Size", 1)].into(),
        policies: 2,
        policy_errors: 1,
        edits: (3, 1),
        unenforceable: vec![(Operation::Chmod, "path_chmod")],
        partial: 1,
        node: Some(NodeFacts {
            can_enforce: true,
            synced: true,
            api_errors: [("watch", 1), ("CriUnreachable", 1)].into(),
            copy_errors: 1,
            nri: NriFacts {
                connected: true,
                sessions: 1,
                late: 1,
                refused: 1,
            },
            armings: [("nri", 20), ("cri", 2), ("mkdir", 3), ("late", 1)].into(),
            unprotected: 0.25,
            unprotected_unknown: 1,
        }),
    }
}

/// Compares, or with `BARTIZAN_GENERATE` in the environment writes.
#[test]
fn scrape_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("../config/monitoring/scrapes/enforcer.txt");
    let text = busy().encode().unwrap();
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
