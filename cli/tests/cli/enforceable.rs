//! `bartizan check --kernel-features`.

use bartizan_abi::hooks::HOOKS;
use bartizan_policy::kernel_features::KernelFeatures;
use serde_json::{Value, json};

use super::*;

/// The file of a kernel without some hooks.
fn features(name: &str, without: &[&str], modules: &[&str]) -> String {
    let hooks = HOOKS.iter().map(|hook| hook.name.to_owned());
    let features = KernelFeatures::new(
        "6.9.0-rhel".to_owned(),
        "x86_64".to_owned(),
        Some(modules.iter().map(|one| (*one).to_owned()).collect()),
        hooks
            .filter(|hook| !without.contains(&hook.as_str()))
            .collect(),
    );
    let path = directory(name, &[("node.json", &features.to_json())]);
    path.join("node.json").display().to_string()
}

const CHMOD: &str = "apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: modes, namespace: shop }
spec:
  selector: {}
  files:
    deny:
      - { paths: [/a], operations: [Read] }
      - { name: fixed, paths: [/b], operations: [Chmod] }
";

#[test]
fn a_kernel_with_all_hooks_changes_nothing() {
    let file = features("enough", &["file_truncate"], &["capability", "bpf"]);
    let run = bartizan(&["check", "-", "--kernel-features", &file], CHMOD);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "1 policy in 1 file is valid\n")
    );
}

#[test]
fn rules_that_a_kernel_cannot_enforce_are_lines_with_their_place() {
    let enough = features("also-enough", &[], &["bpf"]);
    let file = features("no-chmod", &["path_chmod"], &["bpf"]);
    let options = ["--kernel-features", &enough, "--kernel-features", &file];
    let run = bartizan(&[&["check", "-"], &options[..]].concat(), CHMOD);
    assert_eq!(run.code, Some(3));
    let expected = format!(
        "<stdin>:9: not enforceable in full on the kernel 6.9.0-rhel ({file}): Chmod of rule \
         fixed of shop/modes: it has no hook path_chmod\n1 policy in 1 file is valid\n"
    );
    assert_eq!((run.stdout, run.stderr), (expected, String::new()));
}

#[test]
fn programs_get_operations_and_hooks() {
    let file = features("json", &["path_chmod"], &["bpf"]);
    let words = ["check", "-", "-o", "json", "--kernel-features", &file];
    let run = bartizan(&words, CHMOD);
    assert_eq!(run.code, Some(3));
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = json!([{
        "file": file,
        "kernel": "6.9.0-rhel",
        "unenforceable": [{
            "policy": "shop/modes",
            "rule": "fixed",
            "place": "<stdin>:9",
            "operations": ["Chmod"],
            "hooks": ["path_chmod"],
        }],
    }]);
    assert_eq!(
        (&value["valid"], &value["kernels"]),
        (&json!(true), &expected)
    );
}

#[test]
fn a_kernel_on_which_nothing_is_enforced_is_one_line() {
    for (name, without, modules, expected) in [
        (
            "no-open",
            &["file_open"][..],
            "bpf",
            "no LSM hook `file_open`",
        ),
        (
            "no-bpf",
            &[],
            "yama",
            "`bpf` is not among its active security modules (`yama`)",
        ),
    ] {
        let file = features(name, without, &[modules]);
        let run = bartizan(&["check", "-", "--kernel-features", &file], CHMOD);
        assert_eq!(run.code, Some(3));
        let start = format!("{file}: a node with the kernel 6.9.0-rhel enforces nothing: ");
        let first = run.stdout.lines().next().unwrap();
        assert!(
            first.starts_with(&start) && first.contains(expected),
            "{first}"
        );
        assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
    }
}

#[test]
fn a_file_that_says_nothing_of_a_kernel_is_a_problem() {
    let bad = directory(
        "bad-features",
        &[("node.json", "{ \"format\": \"other\" }")],
    );
    let bad = bad.join("node.json").display().to_string();
    for (file, expected) in [
        (bad.as_str(), "its format is `other`"),
        ("/nonexistent/node.json", "can't be read: No such file"),
        ("/", "can't be read: Is a directory"),
    ] {
        let run = bartizan(&["check", "-", "--kernel-features", file], CHMOD);
        assert_eq!(run.code, Some(1));
        let start = format!("{file}: ");
        assert!(run.stdout.starts_with(&start), "{}", run.stdout);
        assert!(run.stdout.contains(expected), "{}", run.stdout);
        assert_eq!(run.stderr, "1 problem\n");
    }
}

#[test]
fn an_invalid_policy_is_said_before_what_a_kernel_lacks() {
    let file = features("invalid", &["path_chmod"], &["bpf"]);
    let run = bartizan(&["check", "-", "--kernel-features", &file], "kind: Pod\n");
    assert_eq!(run.code, Some(1));
    assert!(!run.stdout.contains("not enforceable"), "{}", run.stdout);
}
