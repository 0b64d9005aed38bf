//! Policies that the kernels of nodes can't enforce in full.

use bartizan_crds::{MAX_UNENFORCEABLE, UnenforceablePolicy};

use super::*;

/// As if the kernel of the pod's node lacked a hook for these policies.
fn report_partial(cluster: &mut Cluster, pod: &str, policies: &[&str]) {
    let reason = Some("NotEnforceableHere");
    report(cluster, &key(pod), ContainerState::Partial, reason);
    let mut enforcement = cluster.enforcement(&key(pod)).unwrap().clone();
    let lacking = |policy: &&str| UnenforceablePolicy {
        policy: (*policy).to_owned(),
        rules: vec!["files.deny[0]".to_owned()],
        operations: vec!["Chmod".to_owned()],
        hooks: vec!["path_chmod".to_owned()],
    };
    for container in &mut enforcement.status.containers {
        container.unenforceable = policies.iter().map(lacking).collect();
    }
    cluster.apply(Change::Enforcement(key(pod), Some(enforcement)));
}

fn two_policies() -> Cluster {
    let mut cluster = cluster(vec![
        policy("p", 1, "web", DENY),
        policy("q", 1, "web", DENY),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
        Change::Pod(key("two"), Some(pod("web", &["c"]))),
    ]);
    for pod in ["one", "two"] {
        write(&mut cluster, &key(pod));
    }
    cluster
}

#[test]
fn only_a_policy_that_a_kernel_cannot_enforce_is_not_enforced() {
    let mut cluster = two_policies();
    report(&mut cluster, &key("two"), ContainerState::Armed, None);
    report_partial(&mut cluster, "one", &["shop/p"]);
    let said = status(&cluster, "p");
    assert_eq!(said.enforced.as_deref(), Some("1/2"));
    assert_eq!(said.behind[0].reason, "NotEnforceableHere");
    let words = "1 of 2 containers; 1 node behind, the longest waiting on node-a \
                 (NotEnforceableHere); not enforceable in full in c of pod shop/one by the kernel \
                 of node-a: it lacks path_chmod for Chmod of files.deny[0]";
    check_condition(&said, ENFORCED, ("False", "NotEnforceableHere", words));

    let said = status(&cluster, "q");
    assert_eq!(said.enforced.as_deref(), Some("2/2"));
    check_condition(&said, ENFORCED, ("True", "Armed", "2 of 2 containers"));
}

#[test]
fn what_is_behind_for_another_reason_as_well_is_behind() {
    let mut cluster = two_policies();
    report_partial(&mut cluster, "one", &["shop/p"]);
    report(
        &mut cluster,
        &key("two"),
        ContainerState::Pending,
        Some("NotStarted"),
    );
    let said = status(&cluster, "p");
    let enforced = said.conditions.iter().find(|it| it.type_ == ENFORCED);
    let enforced = enforced.unwrap();
    assert_eq!(enforced.reason, "Behind");
    let words = "not enforceable in full in c of pod shop/one";
    assert!(enforced.message.contains(words), "{}", enforced.message);
}

#[test]
fn a_full_list_may_have_left_a_policy_out() {
    let mut cluster = two_policies();
    let others: Vec<String> = (0..MAX_UNENFORCEABLE)
        .map(|number| format!("other-{number}"))
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    report_partial(&mut cluster, "one", &others[1..]);
    report_partial(&mut cluster, "two", &others);
    let said = status(&cluster, "p");
    assert_eq!(said.enforced.as_deref(), Some("1/2"));
    let words = "1 of 2 containers; 1 node behind, the longest waiting on node-a \
                 (NotEnforceableHere); not enforceable in full in c of pod shop/two by the kernel \
                 of node-a";
    check_condition(&said, ENFORCED, ("False", "NotEnforceableHere", words));
}

#[test]
fn of_rules_that_are_no_longer_planned_it_means_nothing() {
    let mut cluster = two_policies();
    report_partial(&mut cluster, "one", &["shop/p"]);
    report(&mut cluster, &key("two"), ContainerState::Armed, None);
    let other = r#"{ "process": { "deny": [{ "paths": ["/b"] }] } }"#;
    cluster.apply(policy("p", 2, "web", other));
    // The PodEnforcements are written, and the reports are about the rules before.
    for pod in ["one", "two"] {
        let status = cluster.enforcement(&key(pod)).unwrap().status.clone();
        write(&mut cluster, &key(pod));
        let mut enforcement = cluster.enforcement(&key(pod)).unwrap().clone();
        enforcement.status = status;
        cluster.apply(Change::Enforcement(key(pod), Some(enforcement)));
    }
    for name in ["p", "q"] {
        let said = status(&cluster, name);
        assert_eq!(said.enforced.as_deref(), Some("0/2"), "{name}");
        assert_eq!(said.behind[0].reason, "Pending", "{name}");
    }
}
