//! Containers whose rules the kernel can't enforce in full.

use super::*;

fn without(hook: &str) -> Gaps {
    Gaps::new(|there| there != hook).unwrap()
}

/// A node whose kernel lacks a hook, with an armed container.
fn armed_without(hook: &str) -> Node {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.pods = Pods::new(without(hook));
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.make(one);
    node.name(one, Some("web"));
    node
}

#[test]
fn rules_that_need_a_missing_hook_are_said_and_not_counted() {
    let mut node = armed_without("path_rename");
    node.check("0/1", ContainerState::Partial, Some("NotEnforceableHere"));
    let report = node.status().containers.remove(0);
    assert!(report.rule_map.is_some() && report.since.is_some());
    let lacking = &report.unenforceable;
    assert_eq!(lacking.len(), 1);
    assert_eq!(lacking[0].policy, "shop/web");
    assert_eq!(lacking[0].rules, ["process.deny[0]"]);
    assert_eq!(lacking[0].operations, ["Rename"]);
    assert_eq!(lacking[0].hooks, ["path_rename"]);
    let words =
        "Rename of shop/web (process.deny[0]) for lack of path_rename; all else is enforced";
    assert!(!report.enforces("shop/web") && report.enforces("shop/other"));
    let message = report.message.unwrap();
    assert!(message.ends_with(words), "{message}");
}

#[test]
fn a_hook_that_no_rule_needs_is_not_missed() {
    let mut node = armed_without("path_chmod");
    node.check("1/1", ContainerState::Armed, None);
    assert!(node.status().containers[0].unenforceable.is_empty());
}

#[test]
fn a_container_that_also_has_older_rules_says_what_it_waits_for() {
    let mut node = armed_without("path_rename");
    node.want(&[("web", Some(&rules(&["/b"])))]);
    let status = node.status();
    let report = &status.containers[0];
    assert_eq!(status.armed.as_deref(), Some("0/1"));
    assert_eq!(report.state, ContainerState::Partial);
    assert_eq!(report.reason, None);
    assert_eq!(report.unenforceable.len(), 1);
}

#[test]
fn one_that_ran_before_the_enforcer_did_says_both() {
    let report = report_with(without("path_link"), FirstExec::Unknown);
    assert_eq!(report.reason.as_deref(), Some("NotEnforceableHere"));
    let message = report.message.unwrap();
    assert!(message.contains("Link of shop/web"), "{message}");
    assert!(
        message.contains("it ran before the node's enforcer did"),
        "{message}"
    );
}
