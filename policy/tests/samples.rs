//! Every sample policy means what its table says, to the reference and compiled.
#![expect(clippy::unwrap_used, reason = "a test that can't read its files has failed")]

mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_abi::verdict::Outcome;
use bartizan_policy::link::{Workload, link};
use bartizan_policy::load::{Source, load};
use bartizan_policy::operation::{Request, Verdict};
use bartizan_policy::reference;
use bartizan_policy::request::parse_request;
use bartizan_policy::rule_map::{Effect, RuleMap};
use table::Table;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples")
}

/// Names of all samples, and of all tables.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(ending)?.to_owned())
        })
        .collect()
}

fn sample(name: &str) -> (RuleMap, Table) {
    let source = fs::read(folder().join(format!("{name}.yaml"))).unwrap();
    let policies = load(&[Source::new(format!("{name}.yaml"), source)])
        .unwrap_or_else(|problems| panic!("{problems}"));
    let table =
        table::parse(&fs::read_to_string(folder().join(format!("cases/{name}.txt"))).unwrap());
    let workload = Workload {
        labels: table.labels.clone(),
        container: Some(table.container.clone()),
        ..Workload::default()
    };
    (link(&policies, &workload).unwrap(), table)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::WouldDeny => "would-deny",
        Outcome::Audit => "audit",
        Outcome::Unresolved => "unresolved",
    }
}

#[track_caller]
fn check(name: &str, map: &RuleMap, table: &Table, evaluate: impl Fn(&Request) -> Verdict) {
    for case in &table.cases {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let request =
            parse_request(&words).unwrap_or_else(|error| panic!("{name}:{}: {error}", case.line));
        let verdict = evaluate(&request);
        let rule = verdict.rule.map(|rule| map.rules[rule].name.as_str());
        assert_eq!(
            (word(verdict.outcome), rule),
            (case.verdict.as_str(), case.rule.as_deref()),
            "{name}:{}: {}",
            case.line,
            case.operation()
        );
    }
}

#[test]
fn every_sample_has_a_table() {
    let samples = names(&folder(), ".yaml");
    assert!(samples.len() >= 10, "{samples:?}");
    assert_eq!(samples, names(&folder().join("cases"), ".txt"));
}

#[test]
fn samples_mean_to_the_reference_what_their_tables_say() {
    for name in names(&folder(), ".yaml") {
        let (map, table) = sample(&name);
        check(&name, &map, &table, |request| {
            reference::evaluate(&map, request)
        });
    }
}

#[test]
fn tables_name_every_denying_rule_of_their_sample() {
    for name in names(&folder(), ".yaml") {
        let (map, table) = sample(&name);
        let named: BTreeSet<&str> = table
            .cases
            .iter()
            .filter_map(|case| case.rule.as_deref())
            .collect();
        for rule in &map.rules {
            let decides = rule.effect != Effect::Allow;
            assert!(
                !decides || named.contains(rule.name.as_str()),
                "{name}: no case for {}",
                rule.name
            );
        }
    }
}
