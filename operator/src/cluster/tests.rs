//! Plans and statuses of small clusters, built by hand.

use bartizan_crds::{
    ContainerEnforcement, ContainerKind, ContainerReport, ContainerState, PodEnforcementSpec,
    PodEnforcementStatus, PolicyStatus,
};
use bartizan_policy::selector::Labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;

mod holds;
mod reviews;
mod unenforceable;

const DENY: &str = r#"{ "process": { "deny": [{ "paths": ["/a"] }] } }"#;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn key(name: &str) -> PodKey {
    PodKey::new("shop", name)
}

fn pod(app: &str, containers: &[&str]) -> Pod {
    Pod {
        uid: format!("uid-{app}"),
        cgroup_uid: format!("uid-{app}"),
        node: Some("node-a".to_owned()),
        labels: labels(&[("app", app)]),
        containers: containers
            .iter()
            .map(|name| Container {
                name: (*name).to_owned(),
                kind: ContainerKind::Regular,
                image: None,
                programs: Vec::new(),
            })
            .collect(),
        ended: false,
    }
}

/// A policy of namespace `shop` for pods `app: APP`, with more fields of `spec` as JSON.
fn policy(name: &str, generation: i64, app: &str, spec: &str) -> Change {
    let mut object = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": serde_json::from_str::<serde_json::Value>(spec).unwrap(),
    });
    object["spec"]["selector"] = json!({ "matchLabels": { "app": app } });
    let object = PolicyObject {
        uid: format!("uid-{name}"),
        generation,
        json: object,
        ..PolicyObject::default()
    };
    Change::Policy(PolicyKey::namespaced("shop", name), Some(object))
}

/// As if the operator had written the plan.
fn write(cluster: &mut Cluster, pod: &PodKey) -> PodEnforcementSpec {
    let plan = cluster.plan(pod);
    for link in &plan.links {
        let map = bartizan_crds::RuleMap::new(&link.name, link.spec.clone());
        cluster.apply(Change::RuleMap(link.name.to_string(), Some(map.into())));
    }
    let spec = plan.spec.expect("the pod is selected");
    let enforcement = Enforcement {
        uid: "e".to_owned(),
        owner: Some(plan.owner),
        spec: Some(spec.clone()),
        since: Some(time(100)),
        ..Enforcement::default()
    };
    cluster.apply(Change::Enforcement(pod.clone(), Some(enforcement)));
    spec
}

/// As if the node's enforcer had reported what was asked for.
fn report(cluster: &mut Cluster, pod: &PodKey, state: ContainerState, reason: Option<&str>) {
    let mut enforcement = cluster.enforcement(pod).expect("it was written").clone();
    let containers = &enforcement
        .spec
        .as_ref()
        .expect("it is readable")
        .containers;
    let reports = containers.iter().map(|container| ContainerReport {
        name: container.name.clone(),
        state,
        rule_map: container.rule_map.clone(),
        since: None,
        unprotected_micros: None,
        hold: None,
        reason: reason.map(str::to_owned),
        message: None,
        unenforceable: Vec::new(),
    });
    enforcement.status = PodEnforcementStatus {
        armed: None,
        containers: reports.collect(),
    };
    cluster.apply(Change::Enforcement(pod.clone(), Some(enforcement)));
}

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn status(cluster: &Cluster, name: &str) -> PolicyStatus {
    cluster
        .status(&PolicyKey::namespaced("shop", name), &time(1000))
        .expect("the policy is known")
}

#[track_caller]
fn check_condition(status: &PolicyStatus, type_: &str, expected: (&str, &str, &str)) {
    let condition = status.conditions.iter().find(|one| one.type_ == type_);
    let condition = condition.expect("it has the condition");
    let found = (
        condition.status.as_str(),
        condition.reason.as_str(),
        condition.message.as_str(),
    );
    assert_eq!(found, expected);
}

fn cluster(changes: Vec<Change>) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.apply(Change::Namespace("shop".to_owned(), Some(labels(&[]))));
    for change in changes {
        cluster.apply(change);
    }
    cluster
}

fn drain(cluster: &mut Cluster) -> Vec<String> {
    std::iter::from_fn(|| cluster.next_pod())
        .map(|key| key.to_string())
        .collect()
}

#[test]
fn a_selected_pod_is_planned_before_it_has_a_node() {
    let mut unbound = pod("web", &["web", "log"]);
    unbound.node = None;
    let globs = r#"{ "containers": ["web"], "process": { "deny": [{ "paths": ["/a"] }] } }"#;
    let mut cluster = cluster(vec![
        Change::Pod(key("one"), Some(unbound)),
        policy("p", 1, "web", globs),
    ]);
    let spec = write(&mut cluster, &key("one"));
    assert_eq!(spec.node, None);
    let maps: Vec<bool> = spec
        .containers
        .iter()
        .map(|c| c.rule_map.is_some())
        .collect();
    assert_eq!(maps, [true, false], "only `web` is selected");

    cluster.apply(Change::Pod(key("one"), Some(pod("web", &["web", "log"]))));
    assert_eq!(
        cluster.plan(&key("one")).spec.unwrap().node.as_deref(),
        Some("node-a")
    );
}

#[test]
fn containers_with_the_same_rules_share_a_rule_map_whatever_came_first() {
    let changes = [
        policy("p", 1, "web", DENY),
        policy(
            "q",
            1,
            "web",
            r#"{ "mode": "Enforce", "files": { "deny": [{ "paths": ["/b"] }] } }"#,
        ),
        Change::Pod(key("one"), Some(pod("web", &["web"]))),
        Change::Pod(key("two"), Some(pod("web", &["other"]))),
    ];
    let mut forwards = cluster(changes.to_vec());
    let mut backwards = cluster(changes.iter().rev().cloned().collect());
    let one = write(&mut forwards, &key("one"));
    let two = write(&mut forwards, &key("two"));
    assert_eq!(one.containers[0].rule_map, two.containers[0].rule_map);
    assert_eq!(write(&mut backwards, &key("one")), one);
    assert_eq!(forwards.sizes().links, 1);
}

#[test]
fn a_change_costs_work_for_those_it_is_about() {
    let mut cluster = cluster(vec![
        policy("p", 1, "web", DENY),
        policy("q", 1, "db", DENY),
        Change::Pod(key("web-1"), Some(pod("web", &["c"]))),
        Change::Pod(key("web-2"), Some(pod("web", &["c"]))),
        Change::Pod(key("db-1"), Some(pod("db", &["c"]))),
    ]);
    drain(&mut cluster);
    cluster.apply(policy("p", 2, "web", DENY));
    assert_eq!(drain(&mut cluster), ["shop/web-1", "shop/web-2"]);
    cluster.apply(Change::Pod(key("db-1"), Some(pod("db", &["c", "d"]))));
    assert_eq!(drain(&mut cluster), ["shop/db-1"]);
    cluster.apply(Change::Pod(key("db-1"), Some(pod("db", &["c", "d"]))));
    assert_eq!(
        drain(&mut cluster),
        [""; 0],
        "nothing that is used has changed"
    );
    // Selecting others concerns those it leaves and those it comes to.
    cluster.apply(policy("q", 2, "web", DENY));
    assert_eq!(
        drain(&mut cluster),
        ["shop/db-1", "shop/web-1", "shop/web-2"]
    );
    cluster.apply(Change::Policy(PolicyKey::namespaced("shop", "q"), None));
    assert_eq!(drain(&mut cluster), ["shop/web-1", "shop/web-2"]);
}

#[test]
fn labels_of_a_namespace_decide_about_cluster_policies() {
    let object = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "ClusterSecurityPolicy",
        "metadata": { "name": "all" },
        "spec": {
            "selector": {},
            "namespaceSelector": { "matchLabels": { "team": "shop" } },
            "process": { "deny": [{ "paths": ["/a"] }] },
        },
    });
    let object = PolicyObject {
        uid: "u".to_owned(),
        generation: 1,
        json: object,
        ..PolicyObject::default()
    };
    let mut cluster = cluster(vec![
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
        Change::Policy(PolicyKey::cluster("all"), Some(object)),
    ]);
    assert_eq!(cluster.plan(&key("one")).spec, None);
    drain(&mut cluster);
    let team = labels(&[("team", "shop")]);
    cluster.apply(Change::Namespace("shop".to_owned(), Some(team)));
    assert_eq!(drain(&mut cluster), ["shop/one"]);
    write(&mut cluster, &key("one"));
    cluster.apply(Change::Namespace("shop".to_owned(), Some(labels(&[]))));
    assert_eq!(cluster.plan(&key("one")).spec, None);
}

#[test]
fn a_policy_that_becomes_invalid_goes_on_with_its_last_accepted_generation() {
    let bad = r#"{ "process": { "deny": [{ "paths": ["curl"] }] } }"#;
    let mut cluster = cluster(vec![
        policy("p", 1, "web", DENY),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
    ]);
    let before = write(&mut cluster, &key("one"));
    cluster.apply(policy("p", 2, "web", bad));
    assert_eq!(write(&mut cluster, &key("one")), before);
    cluster.apply(Change::Pod(key("two"), Some(pod("web", &["c"]))));
    assert_eq!(
        write(&mut cluster, &key("two")).containers,
        before.containers
    );
    for pod in ["one", "two"] {
        report(&mut cluster, &key(pod), ContainerState::Armed, None);
    }
    let status = status(&cluster, "p");
    let words = "spec.process.deny[0].paths[0]: `curl` is not absolute: start with `/`, or with \
                 `**/` for any directory; generation 1 goes on being enforced until this is mended";
    check_condition(&status, ACCEPTED, ("False", "InvalidPolicy", words));
    let words = "2 of 2 containers, but with generation 1";
    check_condition(&status, ENFORCED, ("False", "OlderGeneration", words));
    assert_eq!(status.observed_generation, Some(2));
}

#[test]
fn after_a_restart_an_invalid_policy_leaves_containers_the_rules_they_have() {
    let bad = r#"{ "process": { "deny": [{ "paths": ["curl"] }] } }"#;
    let mut before = cluster(vec![
        policy("p", 1, "web", DENY),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
    ]);
    let spec = write(&mut before, &key("one"));
    let rule_map = spec.containers[0].rule_map.clone().unwrap();
    let map = PublishedRuleMap {
        policies: vec![PolicyKey::namespaced("shop", "p")],
    };
    let mut cluster = cluster(vec![
        Change::RuleMap(rule_map, Some(map)),
        Change::Enforcement(key("one"), before.enforcement(&key("one")).cloned()),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
        Change::Pod(key("two"), Some(pod("web", &["c"]))),
        policy("p", 2, "web", bad),
    ]);
    assert_eq!(cluster.plan(&key("one")).spec, Some(spec));
    assert_eq!(cluster.plan(&key("two")).spec, None);
    drain(&mut cluster);
    // Deleting it ends what was kept.
    cluster.apply(Change::Policy(PolicyKey::namespaced("shop", "p"), None));
    assert_eq!(drain(&mut cluster), ["shop/one"]);
    assert_eq!(cluster.plan(&key("one")).spec, None);
}

#[test]
fn a_count_is_what_enforcers_report_of_the_rules_that_hold_now() {
    let mut cluster = cluster(vec![
        policy("p", 1, "web", DENY),
        Change::Pod(key("one"), Some(pod("web", &["a", "b"]))),
    ]);
    write(&mut cluster, &key("one"));
    let said = status(&cluster, "p");
    assert_eq!(said.enforced.as_deref(), Some("0/2"));
    assert_eq!(said.behind[0].reason, "NoReport");
    assert_eq!(said.behind[0].since, Some(time(100)));
    let words = "0 of 2 containers; 1 node behind, the longest waiting on node-a (NoReport)";
    check_condition(&said, ENFORCED, ("False", "Behind", words));

    report(
        &mut cluster,
        &key("one"),
        ContainerState::Pending,
        Some("NotStarted"),
    );
    assert_eq!(status(&cluster, "p").behind[0].reason, "NotStarted");
    report(&mut cluster, &key("one"), ContainerState::Armed, None);
    let said = status(&cluster, "p");
    assert_eq!(said.enforced.as_deref(), Some("2/2"));
    check_condition(&said, ENFORCED, ("True", "Armed", "2 of 2 containers"));

    // Armed with the old rules is not armed with the new ones.
    let other = r#"{ "process": { "deny": [{ "paths": ["/b"] }] } }"#;
    cluster.apply(policy("p", 2, "web", other));
    write(&mut cluster, &key("one"));
    assert_eq!(status(&cluster, "p").enforced.as_deref(), Some("0/2"));

    report(&mut cluster, &key("one"), ContainerState::Ended, None);
    let said = status(&cluster, "p");
    let words = "the policy selects no container that runs or will run";
    check_condition(&said, ENFORCED, ("False", "SelectsNothing", words));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_flips() {
    let with_status = |status: &PolicyStatus| {
        let Change::Policy(key, Some(object)) = policy("p", 1, "web", DENY) else {
            unreachable!("it is a policy");
        };
        let object = PolicyObject {
            status: Some(status.clone()),
            ..object
        };
        Change::Policy(key, Some(object))
    };
    let mut cluster = cluster(vec![policy("p", 1, "web", DENY)]);
    let first = status(&cluster, "p");
    cluster.apply(with_status(&first));
    let later = |cluster: &Cluster| {
        let key = PolicyKey::namespaced("shop", "p");
        cluster.status(&key, &time(2000)).unwrap()
    };
    assert_eq!(later(&cluster), first, "nothing to write");
    cluster.apply(Change::Pod(key("one"), Some(pod("web", &["a"]))));
    write(&mut cluster, &key("one"));
    report(&mut cluster, &key("one"), ContainerState::Armed, None);
    let second = later(&cluster);
    let times: Vec<i64> = second
        .conditions
        .iter()
        .map(|condition| condition.last_transition_time.0.as_second())
        .collect();
    assert_eq!(times, [1000, 2000], "Accepted stays, Enforced flips");
}

/// More than half of the rules that a container may have.
fn many(letter: char, startup: &str) -> String {
    let paths: Vec<_> = (0..3000)
        .map(|number| json!({ "paths": [format!("/{letter}{number}")] }))
        .collect();
    let rules = json!({ "deny": paths });
    let chown: Vec<_> = (0..3000)
        .map(|_| json!({ "capabilities": ["CHOWN"] }))
        .collect();
    json!({
        "mode": "Enforce",
        "startup": startup,
        "process": rules,
        "files": rules,
        "capabilities": { "deny": chown },
    })
    .to_string()
}

#[test]
fn policies_that_do_not_fit_together_change_nothing_for_containers_that_have_rules() {
    let mut cluster = cluster(vec![
        policy("a", 1, "web", &many('a', "Report")),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
    ]);
    let before = write(&mut cluster, &key("one"));
    cluster.apply(policy("b", 1, "web", &many('b', "Report")));
    assert_eq!(write(&mut cluster, &key("one")), before);
    // A new pod gets what fits, and the rest is said.
    cluster.apply(Change::Pod(key("two"), Some(pod("web", &["c"]))));
    assert_eq!(
        write(&mut cluster, &key("two")).containers,
        before.containers
    );
    for pod in ["one", "two"] {
        report(&mut cluster, &key(pod), ContainerState::Armed, None);
    }
    let said = status(&cluster, "b");
    check_condition(&said, ACCEPTED, ("True", "Valid", "the policy is valid"));
    let words = "withheld from 2 containers, such as c of pod shop/one: 18000 rules hold for one \
                 container, but at most 16384 can: shop/b alone has 9000";
    check_condition(&said, CONFLICTED, ("True", "TooManyRules", words));
    assert_eq!(said.enforced.as_deref(), Some("0/2"));
    assert_eq!(status(&cluster, "a").enforced.as_deref(), Some("2/2"));
}

#[test]
fn rules_that_never_decide_are_named_and_those_that_others_override() {
    let spec = r#"{ "mode": "Enforce", "process": {
        "default": "Deny",
        "allow": [{ "paths": ["/bin/sh"] }],
        "deny": [{ "paths": ["/a"] }, { "paths": ["/a"] }]
    } }"#;
    let other = r#"{ "mode": "Enforce", "process": { "deny": [{ "paths": ["/bin/**"] }] } }"#;
    let mut cluster = cluster(vec![
        policy("p", 1, "web", spec),
        Change::Pod(key("one"), Some(pod("web", &["c"]))),
    ]);
    write(&mut cluster, &key("one"));
    let said = status(&cluster, "p");
    let words = "rule process.deny[1] changes nothing: rule process.deny[0] denies all of it";
    check_condition(&said, UNREACHABLE, ("True", "NeverDecides", words));
    assert!(said.conditions.iter().all(|one| one.type_ != CONFLICTED));

    cluster.apply(policy("q", 1, "web", other));
    write(&mut cluster, &key("one"));
    let words = "rule process.allow[0] never allows anything: rule process.deny[0] of policy \
                 shop/q denies it all";
    let said = status(&cluster, "p");
    check_condition(&said, CONFLICTED, ("True", "Overridden", words));
}
