//! `docs/troubleshooting.md` has an entry for every reason that our code can give.

use std::collections::BTreeSet;
use std::fs;

use super::{files, read};

/// Where reasons end up in a status, an event or a metric.
const CRATES: [&str; 3] = ["enforcer/src", "operator/src", "policy/src"];
/// Files in which reasons are words among others.
const WHOLE: [&str; 3] = [
    "operator/src/cluster/status.rs",
    "operator/src/cluster/holding.rs",
    "enforcer/src/node/notices.rs",
];
/// Words of these files that are none.
const OTHERS: [&str; 3] = ["True", "False", "Pod"];
/// Files whose `reason` reaches no status and no metric.
const INSIDE: [&str; 3] = [
    "policy/src/pattern/error.rs",
    "policy/src/evaluate/check.rs",
    "enforcer/src/nri/session.rs",
];

/// The words in quotation marks that could be a reason: one word of letters.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let quoted = code.lines().flat_map(|line| {
        let line = line.trim_start();
        let is_comment = line.starts_with("//");
        let parts = line.split('"').skip(1).step_by(2);
        parts.filter(move |_| !is_comment)
    });
    quoted.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()))
}

/// The reasons that a file's code gives: those of `fn reason`, of a field `reason`, and of
/// counted errors.
fn reasons(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for body in code.split("fn reason(&self)").skip(1) {
        let end = body.find("\n    }").unwrap_or(body.len());
        found.extend(words(&body[..end]));
    }
    for line in code.lines() {
        let after = ["reason: ", "count_error("].iter().find_map(|start| {
            let (_, after) = line.split_once(start)?;
            after.starts_with('"').then_some(after)
        });
        found.extend(after.and_then(|after| words(after).next()));
    }
    found
}

/// What comes before the tests.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or(code)
}

#[test]
fn every_reason_has_an_entry() {
    let page = read("docs/troubleshooting.md");
    let mut checked = BTreeSet::new();
    for file in CRATES.iter().flat_map(|crate_| files(crate_, "rs")) {
        let place = file.strip_prefix(crate::paths::root()).unwrap();
        let place = place.to_str().unwrap();
        if INSIDE.contains(&place) || place.ends_with("tests.rs") || place.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = without_tests(&text);
        let mut found = reasons(code);
        if WHOLE.contains(&place) {
            let camel = words(code).filter(|word| word.starts_with(|c: char| c.is_uppercase()));
            found.extend(camel.filter(|word| !OTHERS.contains(word)));
        }
        for reason in found {
            let entry = format!("`{reason}`");
            assert!(page.contains(&entry), "{place}: no entry for {reason}");
            checked.insert(reason.to_owned());
        }
    }
    for known in [
        "Behind",
        "NodeCannotEnforce",
        "TableTooLarge",
        "PolicyDenied",
        "watch",
    ] {
        assert!(checked.contains(known), "{known} was not found in the code");
    }
}

#[test]
fn reasons_are_found_in_code() {
    let code = "fn reason(&self) -> &'static str {\n    match self {\n        Self::A => \"One\",\n\
                \x20   }\n    }\n// \"Comment\"\nreason: \"Two\",\nfacts.count_error(\"three\");\n\
                let x = \"Four\";\n";
    let found: Vec<_> = reasons(code).into_iter().collect();
    assert_eq!(found, ["One", "Two", "three"]);
}
