//! Long names and deep paths: the kernel reads these in other ways than short ones.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use bartizan_samples::Denial;

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};

const CALLER: &str = "/bin/probe";
const EACCES: i32 = 13;

/// The case about paths that are too long to be looked at.
pub(super) const FATHOMLESS: &str =
    "names/deeper_than_can_be_looked_at_are_covered_by_rules_for_all";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("names/of_every_length_are_judged", every_length),
        Case::new(FATHOMLESS, fathomless),
    ];
    for case in &mut cases {
        case.time_limit = Duration::from_mins(5);
    }
    cases
}

/// A name of `length` bytes that ends in `end`.
fn name(length: usize, end: &str) -> String {
    format!("{}{end}", "n".repeat(length - end.len()))
}

fn every_length(context: &Context) -> Result<()> {
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    // 24 bytes are in the table's entry; the kernel has up to 31 or 39 in the dentry.
    let lengths = [
        1, 7, 8, 9, 16, 17, 24, 25, 31, 32, 40, 41, 128, 248, 254, 255,
    ];
    let mut patterns = Vec::new();
    let mut expected = Vec::new();
    for length in lengths {
        let (literal, other) = (name(length, "x"), name(length, "y"));
        patterns.push(format!("/literal/{literal}"));
        expected.push((format!("/literal/{literal}"), EACCES));
        expected.push((format!("/literal/{other}"), 0));
        expected.push((format!("/glob/{}", name(length, "g")), EACCES));
        expected.push((format!("/glob/{}", name(length, "h")), 0));
        expected.push((format!("/{}/in/file", name(length, "d")), EACCES));
        expected.push((format!("/{}/in/file", name(length, "e")), 0));
    }
    patterns.push("/glob/*g".to_owned());
    patterns.push("/*d/in/**".to_owned());
    let deep = "/deep".repeat(60);
    patterns.push(format!("{deep}/*t"));
    expected.push((format!("{deep}/secret"), EACCES));
    expected.push((format!("{deep}/secrets"), 0));
    for (path, _) in &expected {
        root.file(path)?;
    }
    let rules = serde_json::json!({ "deny": [{ "paths": patterns, "operations": ["Read"] }] });
    let policy = policy(context, &rules)?;
    let mut container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    let mut mistakes = Vec::new();
    for (path, expected) in &expected {
        let answer = container.perform(CALLER, &["file", "read", path])?;
        if answer != *expected {
            mistakes.push(format!("{path}: {answer} instead of {expected}"));
        }
    }
    container.finish()?;
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(())
}

/// A policy about files.
fn policy(context: &Context, rules: &serde_json::Value) -> Result<PathBuf> {
    let policy = serde_json::json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": { "name": "names", "namespace": "test" },
        "spec": { "selector": {}, "mode": "Enforce", "files": rules },
    });
    let at = context.scratch.join("policy.yaml");
    fs::write(&at, policy.to_string())?;
    Ok(at)
}

/// Under a rule for what is below a directory, and under one for everything.
fn fathomless(context: &Context) -> Result<()> {
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    for (paths, expected) in [("/tmp/**", 0), ("/**", EACCES)] {
        let rules = serde_json::json!({ "deny": [{ "paths": [paths], "operations": ["Append"] }] });
        let policy = policy(context, &rules)?;
        let mut container =
            Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
        let answer = container.perform(CALLER, &["attempt", "append-fathomless"])?;
        let denials = container.finish()?;
        ensure!(
            answer == expected,
            "{paths}: {answer} instead of {expected}"
        );
        let verdict = if expected == 0 { "unresolved" } else { "deny" };
        let is_it = |denial: &Denial| denial.operation == "Append" && denial.verdict == verdict;
        ensure!(denials.iter().any(is_it), "{paths}: {denials:?}");
    }
    Ok(())
}
