//! Policies with `startup: Hold`.

use bartizan_crds::{HoldState, Startup};

use super::*;

const HOLD: &str = r#"{ "mode": "Enforce", "startup": "Hold", "containers": ["web"],
    "process": { "deny": [{ "paths": ["/a"] }] } }"#;

/// Startup and withheld policies of each container that is planned.
fn planned(cluster: &mut Cluster, pod: &str) -> Vec<(Startup, String)> {
    let spec = write(cluster, &key(pod));
    let of = |one: &ContainerEnforcement| (one.startup, one.withheld.join(" "));
    spec.containers.iter().map(of).collect()
}

/// As if the node's enforcer had said that of all containers that have to wait.
fn report_hold(cluster: &mut Cluster, pod: &str, hold: HoldState, reason: Option<&str>) {
    let mut enforcement = cluster.enforcement(&key(pod)).unwrap().clone();
    let spec = enforcement.spec.as_ref().unwrap();
    let waiting = spec
        .containers
        .iter()
        .filter(|it| it.startup == Startup::Hold);
    let reports = waiting.map(|container| ContainerReport {
        name: container.name.clone(),
        state: ContainerState::Pending,
        rule_map: None,
        since: None,
        unprotected_micros: None,
        hold: Some(hold),
        reason: reason.map(str::to_owned),
        message: None,
        unenforceable: Vec::new(),
    });
    enforcement.status.containers = reports.collect();
    cluster.apply(Change::Enforcement(key(pod), Some(enforcement)));
}

#[test]
fn a_policy_that_enforces_and_holds_has_the_containers_wait_that_it_selects() {
    let mut cluster = cluster(vec![
        policy("p", 1, "web", HOLD),
        policy("q", 1, "web", DENY),
        Change::Pod(key("one"), Some(pod("web", &["web", "log"]))),
    ]);
    let wait = |startup| (startup, String::new());
    assert_eq!(
        planned(&mut cluster, "one"),
        [wait(Startup::Hold), wait(Startup::Report)]
    );
    // A dry run holds nothing.
    let audit = HOLD.replace("Enforce", "Audit");
    cluster.apply(policy("p", 2, "web", &audit));
    let report = [wait(Startup::Report), wait(Startup::Report)];
    assert_eq!(planned(&mut cluster, "one"), report);
    let conditions = status(&cluster, "p").conditions;
    assert!(conditions.iter().all(|one| one.type_ != HOLDS));
}

#[test]
fn whether_containers_wait_is_said_by_their_nodes() {
    let mut cluster = cluster(vec![
        policy("p", 1, "web", HOLD),
        Change::Pod(key("one"), Some(pod("web", &["web"]))),
        Change::Pod(key("two"), Some(pod("web", &["web"]))),
    ]);
    write(&mut cluster, &key("one"));
    write(&mut cluster, &key("two"));
    report_hold(&mut cluster, "one", HoldState::Kept, None);
    let words = "1 of 2 containers start only with their rules";
    check_condition(&status(&cluster, "p"), HOLDS, ("False", "Behind", words));
    report_hold(&mut cluster, "two", HoldState::Waiting, Some("MapsFailed"));
    let words = "2 of 2 containers start only with their rules; web of pod shop/two (MapsFailed) \
                 waits for them";
    check_condition(&status(&cluster, "p"), HOLDS, ("True", "Kept", words));
    report_hold(&mut cluster, "two", HoldState::Impossible, None);
    let words = "1 of 2 containers, such as web of pod shop/two, may start without their rules, \
                 because the container runtime doesn't ask before it starts them (NRI) on node-a";
    let said = status(&cluster, "p");
    check_condition(&said, HOLDS, ("False", "Impossible", words));
    assert_eq!(said.enforced.as_deref(), Some("0/2"));
}

#[test]
fn a_container_waits_for_a_policy_that_is_withheld_from_it() {
    let mut cluster = cluster(vec![
        policy("a", 1, "web", &many('a', "Report")),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
    ]);
    write(&mut cluster, &key("one"));
    cluster.apply(policy("b", 1, "web", &many('b', "Hold")));
    // One that has rules and one that is new.
    cluster.apply(Change::Pod(key("two"), Some(pod("web", &["c"]))));
    let waits = [(Startup::Hold, "shop/b".to_owned())];
    assert_eq!(planned(&mut cluster, "one"), waits);
    assert_eq!(planned(&mut cluster, "two"), waits);
    // One of whose policies the older generation is there starts with that.
    cluster.apply(policy(
        "b",
        2,
        "web",
        HOLD.replace("\"web\"", "\"c\"").as_str(),
    ));
    let fits = [(Startup::Hold, String::new())];
    assert_eq!(planned(&mut cluster, "two"), fits);
    cluster.apply(policy("b", 3, "web", &many('b', "Hold")));
    assert_eq!(planned(&mut cluster, "two"), fits);
}

#[test]
fn after_a_restart_an_invalid_policy_still_has_containers_wait_that_have_its_rules() {
    let bad = r#"{ "startup": "Hold", "process": { "deny": [{ "paths": ["curl"] }] } }"#;
    let mut before = cluster(vec![
        policy("p", 1, "web", HOLD),
        Change::Pod(key("one"), Some(pod("web", &["web"]))),
    ]);
    let spec = write(&mut before, &key("one"));
    let map = PublishedRuleMap {
        policies: vec![PolicyKey::namespaced("shop", "p")],
    };
    let mut cluster = cluster(vec![
        Change::RuleMap(spec.containers[0].rule_map.clone().unwrap(), Some(map)),
        Change::Enforcement(key("one"), before.enforcement(&key("one")).cloned()),
        Change::Pod(key("one"), Some(pod("web", &["web"]))),
        policy("p", 2, "web", bad),
    ]);
    assert_eq!(cluster.plan(&key("one")).spec, Some(spec));
}
