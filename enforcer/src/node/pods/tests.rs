//! What is in the kernel after whatever came in, in whatever order.

mod handover;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bartizan_crds::{
    ContainerKind, ContainerReport, ContainerState, PodEnforcementStatus, RuleMapSpec, Startup,
};
use bartizan_policy::load::{Source, load};
use bartizan_policy::published;

use super::super::containers::Named;
use super::super::enforce::Enforce;
use super::super::kubelet::{Scan, scan};
use super::*;
use crate::cgroup::{CgroupId, Hierarchy};
use crate::engine::{FirstExec, Found, How};
use crate::kubepods::ContainerId;
use crate::mounts::MountTable;

mod fake;
mod hold;
mod partial;

use fake::Fake;

const UID: &str = "0d8a4a2c-5d7e-4c1b-9b8e-6f1f0a9d3c11";

/// A node with one pod, whose cgroups are directories.
struct Node {
    dir: tempfile::TempDir,
    pods: Pods,
    engine: Fake,
    now: Instant,
    /// Rule maps that were asked for.
    due: BTreeSet<String>,
    /// What a `PodEnforcement` says of all containers.
    startup: Startup,
    withheld: Vec<String>,
}

fn rules(deny: &[&str]) -> RuleMapSpec {
    let rules: Vec<String> = deny
        .iter()
        .map(|path| format!("{{ paths: [{path}] }}"))
        .collect();
    let text = format!(
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
         metadata: {{ name: web, namespace: shop }}\n\
         spec: {{ selector: {{}}, mode: Enforce, process: {{ deny: [{}] }} }}\n",
        rules.join(", ")
    );
    let policies = load(&[Source::new("p.yaml", text)]).unwrap();
    published::publish(&link::alone(&policies[0]).unwrap())
}

fn key() -> PodKey {
    PodKey {
        namespace: "shop".into(),
        name: "web-1".into(),
    }
}

fn id(digit: &str) -> ContainerId {
    digit.repeat(64).parse().unwrap()
}

fn uid() -> PodUid {
    UID.parse().unwrap()
}

impl Node {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            pods: Pods::default(),
            engine: Fake::default(),
            now: Instant::now(),
            due: BTreeSet::new(),
            startup: Startup::Report,
            withheld: Vec::new(),
        }
    }

    /// A `PodEnforcement` with these containers and rules.
    fn want(&mut self, containers: &[(&str, Option<&RuleMapSpec>)]) {
        let plan = |(name, rules): &(&str, Option<&RuleMapSpec>)| ContainerEnforcement {
            name: (*name).to_owned(),
            kind: ContainerKind::Regular,
            image: None,
            rule_map: rules.map(published::name),
            startup: self.startup,
            withheld: self.withheld.clone(),
        };
        let spec = PodEnforcementSpec {
            node: Some("node".into()),
            pod_uid: UID.into(),
            containers: containers.iter().map(plan).collect(),
        };
        let wanted = Wanted { owner: None, spec };
        self.pods.want(&key(), Some(wanted));
        self.settle();
    }

    fn publish(&mut self, spec: &RuleMapSpec) {
        let name = published::name(spec);
        self.due.extend(self.pods.due_rule_maps(self.now));
        assert!(self.due.remove(&name), "{name}");
        let map = published::parse(spec).unwrap();
        self.pods.put_rule_map(&name, Ok(map), self.now);
        self.settle();
    }

    fn path(&self, id: ContainerId) -> std::path::PathBuf {
        self.dir.path().join(format!("kubepods/pod{UID}/{id}"))
    }

    fn make(&mut self, id: ContainerId) {
        fs::create_dir_all(self.path(id)).unwrap();
        self.observe();
    }

    fn end(&mut self, id: ContainerId) {
        fs::remove_dir(self.path(id)).unwrap();
        self.observe();
    }

    fn observe(&mut self) {
        let scan = scan(&Hierarchy::at(self.dir.path()));
        self.engine.made(&scan);
        self.pods.observe(&scan, &mut self.engine);
        self.settle();
    }

    fn name(&mut self, id: ContainerId, name: Option<&str>) {
        self.told(How::Nri, id, name);
    }

    fn told(&mut self, how: How, id: ContainerId, name: Option<&str>) {
        self.pods.name(Named {
            id,
            pod: uid(),
            name: name.map(str::to_owned),
            ended: false,
            how,
        });
        self.settle();
    }

    fn settle(&mut self) {
        self.pods.settle(&mut self.engine, self.now);
    }

    /// The container, as its workload knows it, and the number of rules, that hold in a
    /// container's cgroup.
    fn holds(&self, id: ContainerId) -> Option<(Option<&str>, usize)> {
        let (_, workload) = self.engine.containers[&id];
        let workload = workload?.number();
        let (name, rules) = &self.engine.workloads[&workload];
        Some((name.as_deref(), *rules))
    }

    fn status(&mut self) -> PodEnforcementStatus {
        self.pods.changed.insert(uid());
        let statuses = self.pods.changed_statuses(None);
        statuses.into_iter().next().expect("the pod has a status").1
    }

    #[track_caller]
    fn check(&mut self, armed: &str, state: ContainerState, reason: Option<&str>) {
        let status = self.status();
        let first = &status.containers[0];
        assert_eq!(
            (
                status.armed.as_deref(),
                first.state,
                first.reason.as_deref()
            ),
            (Some(armed), state, reason)
        );
    }
}

#[test]
fn a_container_gets_its_rules_in_whatever_order_things_are_known() {
    let (map, id) = (rules(&["/a"]), id("a"));
    let steps: [fn(&mut Node, &RuleMapSpec, ContainerId); 3] = [
        |node, map, _| {
            node.want(&[("web", Some(map))]);
            node.publish(map);
        },
        |node, _, id| node.make(id),
        |node, _, id| node.name(id, Some("web")),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut node = Node::new();
        for step in order {
            steps[step](&mut node, &map, id);
        }
        assert_eq!(node.holds(id), Some((Some("web"), 1)), "{order:?}");
        node.check("1/1", ContainerState::Armed, None);
    }
}

#[test]
fn until_it_has_a_name_the_strictest_of_the_pods_rules_hold() {
    let (web, proxy, one) = (rules(&["/a"]), rules(&["/a", "/b"]), id("a"));
    let mut node = Node::new();
    node.want(&[("web", Some(&web)), ("proxy", Some(&proxy)), ("log", None)]);
    node.publish(&web);
    node.publish(&proxy);
    node.make(one);
    assert_eq!(node.holds(one), Some((None, 2)));
    assert!(node.pods.lacks_names());
    node.check("0/2", ContainerState::Pending, Some("NameUnknown"));
    node.name(one, Some("log"));
    assert_eq!(
        node.holds(one),
        Some((Some("log"), 0)),
        "no policy selects it"
    );
    assert!(!node.pods.lacks_names());
    node.check("0/2", ContainerState::Pending, Some("NotStarted"));
}

#[test]
fn the_sandbox_is_no_container_without_a_name() {
    let (map, pause) = (rules(&["/a"]), id("0"));
    for told in [false, true] {
        let mut node = Node::new();
        node.want(&[("web", Some(&map))]);
        node.publish(&map);
        if told {
            node.name(pause, None);
        } else {
            node.engine.sandbox = Some(pause);
        }
        node.make(pause);
        assert!(node.engine.ids.is_empty() && !node.pods.lacks_names());
        node.check("0/1", ContainerState::Pending, Some("NotStarted"));
    }
}

#[test]
fn rules_are_expected_before_the_container_is_there_and_outlive_it() {
    let (map, one, two) = (rules(&["/a"]), id("a"), id("b"));
    let mut node = Node::new();
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    assert_eq!(node.engine.pods.len(), 1);
    node.name(one, Some("web"));
    assert_eq!(node.engine.ids.len(), 1);
    node.make(one);
    node.end(one);
    assert!(node.engine.ids.is_empty());
    node.check("0/0", ContainerState::Ended, None);
    node.make(two);
    node.name(two, Some("web"));
    assert_eq!(node.holds(two), Some((Some("web"), 1)));
    node.check("1/1", ContainerState::Armed, None);
    assert_eq!(
        node.engine.workloads.len(),
        2,
        "the container's and the pod's"
    );
}

#[test]
fn a_container_counts_as_armed_by_whom_it_was_told_by() {
    let (map, announced, listed, seen) = (rules(&["/a"]), id("a"), id("b"), id("c"));
    let mut node = Node::new();
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.told(How::Nri, announced, Some("web"));
    node.told(How::Cri, listed, Some("web"));
    node.make(seen);
    node.told(How::Cri, seen, Some("web"));
    let hows = node.engine.ids.values().map(|(_, how)| *how);
    assert_eq!(hows.collect::<Vec<_>>(), [How::Nri, How::Cri, How::Late]);
}

#[test]
fn other_rules_are_swapped_in_and_the_old_hold_until_they_are_there() {
    let (old, new, one) = (rules(&["/a"]), rules(&["/a", "/b"]), id("a"));
    let mut node = Node::new();
    node.want(&[("web", Some(&old))]);
    node.publish(&old);
    node.name(one, Some("web"));
    node.make(one);
    node.want(&[("web", Some(&new))]);
    assert_eq!(node.holds(one), Some((Some("web"), 1)));
    node.check("0/1", ContainerState::Armed, None);
    let name = published::name(&new);
    node.pods.due_rule_maps(node.now);
    let missing = Err(RuleMapError::Missing(name));
    node.pods
        .put_rule_map(&published::name(&new), missing, node.now);
    node.settle();
    node.check("0/1", ContainerState::Armed, Some("NoSuchRuleMap"));
    node.now = node.pods.deadline().unwrap();
    node.publish(&new);
    assert_eq!(node.holds(one), Some((Some("web"), 2)));
    node.check("1/1", ContainerState::Armed, None);
}

#[test]
fn a_pod_without_policies_has_nothing_in_the_kernel() {
    let (map, one) = (rules(&["/a"]), id("a"));
    for gone in [false, true] {
        let mut node = Node::new();
        node.want(&[("web", Some(&map))]);
        node.publish(&map);
        node.name(one, Some("web"));
        node.make(one);
        if gone {
            node.pods.want(&key(), None);
            node.settle();
            assert!(node.pods.by_uid.is_empty());
        } else {
            node.want(&[("web", None)]);
            assert_eq!(node.status(), PodEnforcementStatus::default());
        }
        let engine = &node.engine;
        assert!(engine.workloads.is_empty() && engine.pods.is_empty());
        assert!(engine.ids.is_empty());
        assert_eq!(node.holds(one), None);
        // And back.
        node.want(&[("web", Some(&map))]);
        node.publish(&map);
        assert_eq!(node.holds(one), Some((Some("web"), 1)));
    }
}

#[test]
fn a_pod_of_the_same_name_is_another_one() {
    let map = rules(&["/a"]);
    let mut node = Node::new();
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    let spec = PodEnforcementSpec {
        pod_uid: UID.replace("0d8a", "ffff"),
        ..PodEnforcementSpec::default()
    };
    node.pods.want(&key(), Some(Wanted { owner: None, spec }));
    node.settle();
    assert!(node.engine.workloads.is_empty());
    assert_eq!(node.pods.by_uid.len(), 1);
}

#[test]
fn what_the_engine_refuses_is_said_and_tried_again() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.engine.is_full = true;
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.name(one, Some("web"));
    node.make(one);
    node.check("0/1", ContainerState::Failed, Some("TooManyWorkloads"));
    node.engine.is_full = false;
    node.now = node.pods.deadline().unwrap();
    node.settle();
    node.check("1/1", ContainerState::Armed, None);
}

/// What the status says of a container that ran its first program at this time.
fn report_of_first_exec(first_exec: FirstExec) -> ContainerReport {
    report_with(Gaps::default(), first_exec)
}

/// The same on a node whose kernel has these gaps.
fn report_with(gaps: Gaps, first_exec: FirstExec) -> ContainerReport {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.pods = Pods::new(gaps);
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.name(one, Some("web"));
    node.make(one);
    node.engine.arming = Some(Arming {
        how: How::Nri,
        armed: 2_000_000,
        first_exec: Some(first_exec),
    });
    let mut due = Some(node.now);
    while let Some(at) = due.filter(|at| *at <= node.now + Duration::from_secs(5)) {
        due = node.pods.look(&mut node.engine, at);
    }
    let (_, mut status) = node.pods.changed_statuses(None).remove(0);
    status.containers.remove(0)
}

#[test]
fn how_long_a_container_ran_without_rules_is_said_once_it_is_known() {
    let report = report_of_first_exec(FirstExec::At(7_500_000));
    assert_eq!(report.unprotected_micros, Some(-5_500));
    assert_eq!(report.reason, None);
}

#[test]
fn what_ran_before_the_enforcer_did_is_said_to_have() {
    let report = report_of_first_exec(FirstExec::Unknown);
    assert_eq!(report.state, ContainerState::Armed);
    assert_eq!(report.unprotected_micros, None);
    assert_eq!(report.reason.as_deref(), Some("RanBefore"));
}

#[test]
fn a_node_that_cannot_enforce_says_so_of_every_selected_container() {
    let map = rules(&["/a"]);
    let mut node = Node::new();
    node.want(&[("web", Some(&map)), ("log", None)]);
    let trouble = Trouble {
        reason: "NodeCannotEnforce",
        message: "x".repeat(5_000),
    };
    node.pods.changed.insert(uid());
    let (_, status) = node.pods.changed_statuses(Some(&trouble)).remove(0);
    assert_eq!(status.armed.as_deref(), Some("0/1"));
    let report = &status.containers[0];
    assert_eq!(report.state, ContainerState::Failed);
    assert_eq!(report.reason.as_deref(), Some("NodeCannotEnforce"));
    assert!(report.message.as_ref().unwrap().len() <= 1_024);
}

#[test]
fn what_had_ended_before_is_not_waited_for() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.want(&[("init", Some(&map))]);
    node.publish(&map);
    node.pods.name(Named {
        id: one,
        pod: uid(),
        name: Some("init".to_owned()),
        ended: true,
        how: How::Nri,
    });
    node.settle();
    node.check("0/0", ContainerState::Ended, None);
}

#[test]
fn a_label_that_is_missing_is_put_there_by_the_next_look() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.name(one, Some("web"));
    node.make(one);
    // As where the kernel had no room for it.
    node.engine.containers.get_mut(&one).unwrap().1 = None;
    let mut due = Some(node.now);
    while let Some(at) = due.filter(|at| *at <= node.now + Duration::from_secs(2)) {
        due = node.pods.look(&mut node.engine, at);
        node.pods.settle(&mut node.engine, at);
    }
    assert_eq!(node.holds(one), Some((Some("web"), 1)));
    node.check("1/1", ContainerState::Armed, None);
}
