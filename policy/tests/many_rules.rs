//! One rule map of the size the project promises: more than 1,000 rules with 200 globs.
//!
//! Made by arithmetic, so that it is the same everywhere; every rule is hit by paths
//! that match it and by paths that nearly do.

use std::collections::BTreeSet;

use bartizan_abi::op::{Category, FILE_OPS, Operation};
use bartizan_abi::verdict::Outcome;
use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::{check_table, evaluate};
use bartizan_policy::operation::{Caller, Name, Object, Request};
use bartizan_policy::pattern::Pattern;
use bartizan_policy::reference;
use bartizan_policy::rule_map::{Effect, Matcher, Mode, PolicyInfo, Rule, RuleMap};

const TOPS: [&str; 8] = ["etc", "usr", "var", "srv", "opt", "home", "app", "data"];

/// The pattern of a rule and a path that it matches.
fn pattern(number: usize) -> (String, String) {
    let top = TOPS[number % TOPS.len()];
    let group = format!("group-{}", number / 40);
    match number % 50 {
        // 20 of 50: one in five of these is a glob, four in a hundred at any depth.
        0 => (
            format!("**/tool{number}-*"),
            format!("/{top}/x/tool{number}-a"),
        ),
        1 => (
            format!("/{top}/{group}/*.ext{number}"),
            format!("/{top}/{group}/file.ext{number}"),
        ),
        2 => (
            format!("/{top}/{group}/n{number}?"),
            format!("/{top}/{group}/n{number}é"),
        ),
        3 => (
            format!("/{top}/*/key{number}"),
            format!("/{top}/anything/key{number}"),
        ),
        4 => (
            format!("/{top}/{group}/[a-f]{number}*"),
            format!("/{top}/{group}/c{number}-rest"),
        ),
        5 => (
            format!("/{top}/v[0-9]*/{number}/**"),
            format!("/{top}/v12/{number}/deep/er"),
        ),
        6 => (
            format!("/{top}/{group}/{{a,b}}-{number}"),
            format!("/{top}/{group}/b-{number}"),
        ),
        7 => (
            format!("/{top}/**/mid{number}/*.so"),
            format!("/{top}/q/r/mid{number}/lib.so"),
        ),
        8 => (
            format!("/{top}/{group}/x*y{number}"),
            format!("/{top}/{group}/x-and-y{number}"),
        ),
        9 => (
            format!("/{top}/[!.]*/cfg{number}"),
            format!("/{top}/visible/cfg{number}"),
        ),
        10..=14 => (
            format!("**/name{number}"),
            format!("/{top}/deep/er/name{number}"),
        ),
        15..=19 => (
            format!("/{top}/{group}/dir{number}/**"),
            format!("/{top}/{group}/dir{number}/f"),
        ),
        20 => {
            let long = "n".repeat(200);
            (
                format!("/{top}/{long}{number}"),
                format!("/{top}/{long}{number}"),
            )
        }
        _ => (
            format!("/{top}/{group}/file{number}"),
            format!("/{top}/{group}/file{number}"),
        ),
    }
}

fn big() -> (RuleMap, Vec<String>) {
    let mut map = RuleMap::default();
    let mut paths = Vec::new();
    for policy in 0..10 {
        map.policies.push(PolicyInfo {
            namespace: Some("big".to_owned()),
            name: format!("p{policy}"),
            mode: if policy % 3 == 0 {
                Mode::Audit
            } else {
                Mode::Enforce
            },
            severity: None,
            message: None,
            tags: Vec::new(),
        });
    }
    for number in 0..1100 {
        let (text, path) = pattern(number);
        let patterns = vec![Pattern::parse(&text).expect("made to be a pattern")];
        let effect = [Effect::Deny, Effect::Deny, Effect::Allow, Effect::Audit][number % 4];
        let matcher = if number % 3 == 0 {
            Matcher::Process { paths: patterns }
        } else {
            let listed = [FILE_OPS, Operation::Read.bit(), Operation::Write.bit()][number % 3];
            Matcher::Files {
                paths: patterns,
                operations: listed,
            }
        };
        let callers = |on: bool, text: &str| {
            on.then(|| Pattern::parse(text).expect("a pattern"))
                .into_iter()
                .collect()
        };
        map.rules.push(Rule {
            policy: number / 110,
            name: format!("r{number}"),
            effect,
            matcher,
            from: callers(number % 9 == 4, "/usr/bin/*"),
            except_from: callers(number % 7 == 3, "/usr/bin/a*"),
            unless_owner: false,
        });
        paths.push(path);
    }
    map.rules.push(Rule {
        policy: 9,
        name: "default".to_owned(),
        effect: Effect::DefaultDeny,
        matcher: Matcher::Default(Category::Process),
        from: Vec::new(),
        except_from: Vec::new(),
        unless_owner: false,
    });
    (map, paths)
}

/// The path, its directories, and paths that differ a little.
fn around(path: &str) -> Vec<String> {
    let (directory, leaf) = path.rsplit_once('/').expect("paths are absolute");
    let mut cut = path.to_owned();
    cut.pop();
    let mut paths = vec![
        path.to_owned(),
        format!("{path}x"),
        format!("{path}/x"),
        cut,
        path.to_uppercase(),
        format!("/other{path}"),
        format!("{directory}/z/{leaf}"),
        format!("{directory}/é{leaf}"),
        format!("/{leaf}"),
    ];
    let ends = path
        .match_indices('/')
        .skip(1)
        .map(|(end, _)| path[..end].to_owned());
    paths.extend(ends);
    paths.retain(|path| !path.ends_with('/'));
    paths
}

#[test]
fn a_thousand_rules_with_two_hundred_globs_mean_the_same_compiled() {
    let (map, matching) = big();
    let globs = (0..1100).filter(|number| number % 50 < 10).count();
    assert!(globs >= 200, "{globs}");
    let table = compile(&map).expect("the promised size fits");
    assert_eq!(check_table(&table), Ok(()));
    assert!(table.len() <= 1 << 20, "{} bytes", table.len());

    let callers = ["/usr/bin/app", "/usr/bin/cat", "/usr/sbin/other"]
        .map(|path| Caller::Executable(Name::Path(path.into())))
        .into_iter()
        .chain([Caller::Runtime, Caller::Executable(Name::Unresolved)]);
    let callers: Vec<Caller> = callers.collect();
    let operations = [
        Operation::Exec,
        Operation::Read,
        Operation::Write,
        Operation::Rename,
    ];
    let paths: BTreeSet<String> = matching.iter().flat_map(|path| around(path)).collect();
    assert!(paths.len() > 5_000, "{}", paths.len());
    let mut decided = BTreeSet::new();
    for (number, path) in paths.into_iter().enumerate() {
        let request = Request {
            operation: operations[number % operations.len()],
            object: Object::File {
                name: Name::Path(path.into_bytes()),
                owned: false,
            },
            caller: callers[number / operations.len() % callers.len()].clone(),
        };
        let verdict = evaluate(&table, &request);
        assert_eq!(verdict, reference::evaluate(&map, &request), "{request:?}");
        assert_ne!(verdict.outcome, Outcome::Unresolved);
        decided.extend(verdict.rule);
    }
    // Allow rules never decide, and each path is tried with one operation only.
    assert!(
        decided.len() > 300,
        "only {} rules decided anything",
        decided.len()
    );
}
