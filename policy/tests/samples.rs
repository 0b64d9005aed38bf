//! Every sample policy means what its table says, to the reference and compiled.
#![expect(
    clippy::unwrap_used,
    reason = "a test that can't read its files has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::evaluate;
use bartizan_policy::explain::outcome_name;
use bartizan_policy::link::{Workload, link};
use bartizan_policy::load::{Source, load};
use bartizan_policy::operation::{Request, Verdict};
use bartizan_policy::policy::Policy;
use bartizan_policy::reference;
use bartizan_policy::request::parse_request;
use bartizan_policy::rule_map::{Effect, RuleMap};
use bartizan_policy::selector::{Condition, Requirement};
use bartizan_samples::table::{self, Table};

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

fn policies(name: &str) -> Vec<Policy> {
    let source = fs::read(folder().join(format!("{name}.yaml"))).unwrap();
    load(&[Source::new(format!("{name}.yaml"), source)])
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn sample(name: &str) -> (RuleMap, Table) {
    let policies = policies(name);
    let text = fs::read_to_string(folder().join(format!("cases/{name}.txt"))).unwrap();
    let table = table::parse(&text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    (link(&policies, &workload(&table)).unwrap(), table)
}

fn workload(table: &Table) -> Workload {
    Workload {
        labels: table.labels.clone(),
        container: Some(table.container.clone()),
        ..Workload::default()
    }
}

#[track_caller]
fn check(name: &str, map: &RuleMap, table: &Table, judge: impl Fn(&Request) -> Verdict) {
    for case in &table.cases {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let request =
            parse_request(&words).unwrap_or_else(|error| panic!("{name}:{}: {error}", case.line));
        let verdict = judge(&request);
        let rule = verdict.rule.map(|rule| map.rules[rule].name.as_str());
        assert_eq!(
            (outcome_name(verdict.outcome), rule),
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
fn compiled_samples_mean_what_their_tables_say() {
    for name in names(&folder(), ".yaml") {
        let (map, table) = sample(&name);
        let compiled = compile(&map).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&name, &map, &table, |request| evaluate(&compiled, request));
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

#[test]
fn a_policy_for_other_pods_changes_no_byte_of_a_table() {
    for name in names(&folder(), ".yaml") {
        let (map, table) = sample(&name);
        let mut policies = policies(&name);
        // The same rules, under names that sort before, for pods that this one is none of.
        let mut others = policies.clone();
        for other in &mut others {
            other.info.name.insert(0, 'a');
            let key = "never".to_owned();
            other.selector.requirements.push(Requirement {
                key,
                condition: Condition::Exists,
            });
        }
        policies.extend(others);
        for _ in 0..2 {
            let both = link(&policies, &workload(&table)).unwrap();
            assert_eq!(both, map, "{name}");
            assert_eq!(compile(&both), compile(&map), "{name}");
            policies.reverse();
        }
    }
}
