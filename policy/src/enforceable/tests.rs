//! Which policies and rules need which hooks.

use super::*;
use crate::link::{Workload, link};
use crate::load::{Source, load};

fn rule_map(specs: &[&str]) -> RuleMap {
    let texts = specs.iter().enumerate().map(|(number, spec)| {
        format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: p{number} }}\nspec: {{ selector: {{}}, {spec} }}\n"
        )
    });
    let text = texts.collect::<Vec<_>>().join("---\n");
    link(
        &load(&[Source::new("p.yaml", text)]).unwrap(),
        &Workload::default(),
    )
    .unwrap()
}

fn without(missing: &[&str]) -> Gaps {
    Gaps::new(|hook| !missing.contains(&hook)).unwrap()
}

/// For each policy that isn't enforced in full: its number, rules, operations and hooks.
#[track_caller]
fn check(missing: &[&str], specs: &[&str], expected: &[&str]) {
    let map = rule_map(specs);
    let found = without(missing).by_policy(&map).into_iter().map(|it| {
        format!(
            "{}: {}: {}: {}",
            it.policy,
            it.rules.join(" "),
            it.gap.operations().collect::<Vec<_>>().join(" "),
            it.gap.hooks.join(" ")
        )
    });
    assert_eq!(found.collect::<Vec<_>>(), expected, "without {missing:?}");
}

const READ: &str = "files: { deny: [{ paths: [/a], operations: [Read] }] }";
const CHMOD: &str =
    "files: { deny: [{ paths: [/a], operations: [Read] }, { paths: [/b], operations: [Chmod] }] }";
const EVERYTHING: &str = "files: { default: Deny, allow: [{ paths: [/a] }] }";

#[test]
fn only_policies_and_rules_that_need_the_hook_are_named() {
    check(
        &["path_chmod"],
        &[READ, CHMOD, EVERYTHING],
        &[
            "1: files.deny[1]: Chmod: path_chmod",
            "2: files.default: Chmod: path_chmod",
        ],
    );
}

#[test]
fn a_kernel_with_all_hooks_enforces_everything() {
    check(&[], &[READ, CHMOD, EVERYTHING], &[]);
    assert!(without(&[]).is_empty());
}

#[test]
fn a_denied_name_needs_the_hooks_that_keep_the_object_in_its_place() {
    let exec = "process: { deny: [{ name: no-a, paths: [/a] }] }";
    check(
        &["path_rename", "path_link"],
        &[
            READ,
            exec,
            "files: { audit: [{ paths: [/a], operations: [Read] }] }",
        ],
        &[
            "0: files.deny[0]: Rename Link: path_link path_rename",
            "1: no-a: Rename Link: path_link path_rename",
        ],
    );
}

#[test]
fn a_default_needs_all_hooks_of_its_category_and_its_exceptions_none() {
    let network = "network: { default: Deny, allow: [{ ports: [\"443\"] }] }";
    let expected = ["0: network.default: Connect: unix_stream_connect"];
    check(&["unix_stream_connect"], &[network], &expected);
    check(&["path_chmod"], &[network], &[]);
}

#[test]
fn rules_on_addresses_and_on_unix_sockets_need_hooks_of_their_own() {
    let internet = "network: { deny: [{ addresses: [\"10.0.0.0/8\"] }] }";
    let unix = "network: { deny: [{ unix: [/a] }] }";
    let both = [internet, unix];
    let named = |policy: u8, operation: &str, hook: &str| {
        format!("{policy}: network.deny[0]: {operation}: {hook}")
    };
    for (policy, operation, hook) in [
        (0, "Connect", "socket_connect"),
        (0, "Connect Send", "socket_sendmsg"),
        (1, "Connect", "unix_stream_connect"),
        (1, "Send", "unix_may_send"),
        (1, "Bind", "path_mknod"),
    ] {
        check(&[hook], &both, &[&named(policy, operation, hook)]);
    }
    let of_both = [
        named(0, "Listen", "socket_listen"),
        named(1, "Listen", "socket_listen"),
    ];
    check(
        &["socket_listen"],
        &both,
        &of_both.each_ref().map(String::as_str),
    );
}

#[test]
fn an_abstract_name_needs_no_hooks_on_files() {
    let specs = [
        "network: { deny: [{ unix: [\"@a\"] }] }",
        "network: { deny: [{ unix: [/a] }] }",
    ];
    check(
        &["path_mknod", "path_rename"],
        &specs,
        &["1: network.deny[0]: Rename Bind: path_mknod path_rename"],
    );
}

#[test]
fn before_6_2_nothing_is_missing() {
    check(&["file_truncate"], &[EVERYTHING], &[]);
    let both = ["file_truncate", "path_truncate"];
    let expected = ["0: files.default: Truncate: path_truncate"];
    check(&both, &[EVERYTHING], &expected);
}

#[test]
fn what_every_node_must_have_is_named_with_the_reason() {
    let unfit = Gaps::new(|hook| hook != "file_open").unwrap_err();
    assert_eq!(
        unfit.to_string(),
        "the kernel has no LSM hook `file_open`, without which nothing can be enforced: no \
         opening of a file would be judged"
    );
}

#[test]
fn operations_of_a_node_are_named_with_each_hook() {
    let found = without(&["path_rename", "path_chmod"]).pairs();
    let found: Vec<_> = found
        .iter()
        .map(|(operation, hook)| format!("{} {hook}", operation.name()))
        .collect();
    let expected = [
        "Create path_rename",
        "Delete path_rename",
        "Rename path_rename",
        "Chmod path_chmod",
    ];
    assert_eq!(found, expected);
}

#[test]
fn of_many_rules_the_first_are_named_and_all_operations() {
    let rule = |number| format!("{{ paths: [/a{number}], operations: [Chmod] }}");
    let mut rules: Vec<String> = (0..40).map(rule).collect();
    rules.push("{ paths: [/z], operations: [Chown] }".to_owned());
    let map = rule_map(&[&format!("files: {{ deny: [{}] }}", rules.join(", "))]);
    let found = without(&["path_chmod", "path_chown"]).by_policy(&map);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rules.len(), MAX_NAMED);
    let operations: Vec<_> = found[0].gap.operations().collect();
    assert_eq!(operations, ["Chmod", "Chown"]);
}
