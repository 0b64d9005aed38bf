//! What is in the kernel after whatever came in, in whatever order.

use std::collections::BTreeMap;
use std::fs;

use bartizan_crds::{
    ContainerKind, ContainerReport, ContainerState, HoldState, PodEnforcementStatus, RuleMapSpec,
    Startup,
};
use bartizan_policy::load::{Source, load};
use bartizan_policy::published;

use super::super::containers::Named;
use super::super::hold::ANNOTATION;
use super::super::kubelet::{Scan, scan};
use super::*;
use crate::cgroup::{CgroupId, Hierarchy};
use crate::engine::{FirstExec, Found, How};
use crate::kubepods::ContainerId;
use crate::mounts::MountTable;
use crate::nri::messages;

const UID: &str = "0d8a4a2c-5d7e-4c1b-9b8e-6f1f0a9d3c11";

/// An engine that only remembers, and labels as the real one does.
#[derive(Default)]
struct Fake {
    last: u32,
    /// Name of the container, and number of rules, by workload.
    workloads: BTreeMap<u32, (Option<String>, usize)>,
    pods: BTreeMap<PodUid, WorkloadId>,
    ids: BTreeMap<ContainerId, WorkloadId>,
    /// Cgroups by container, and their labels.
    containers: BTreeMap<ContainerId, (CgroupId, Option<WorkloadId>)>,
    sandbox: Option<ContainerId>,
    arming: Option<Arming>,
    is_full: bool,
}

impl Fake {
    fn label(&mut self) {
        let pod = self.pods.values().next().copied();
        for (id, (_, label)) in &mut self.containers {
            *label = self.ids.get(id).copied().or(pod).or(*label);
        }
    }

    /// What the kubelet's cgroups are now.
    fn made(&mut self, scan: &Scan) {
        let before = std::mem::take(&mut self.containers);
        for (_, id, cgroup) in &scan.containers {
            let label = before.get(id).and_then(|(_, label)| *label);
            self.containers.insert(*id, (cgroup.id(), label));
        }
        self.label();
    }
}

impl Enforce for Fake {
    fn add_rules(&mut self, of: Identity, rules: &Rc<RuleMap>) -> Result<WorkloadId, EngineError> {
        if self.is_full {
            return Err(EngineError::TooManyWorkloads);
        }
        self.last += 1;
        let workload = (of.workload.container, rules.rules.len());
        self.workloads.insert(self.last, workload);
        Ok(WorkloadId::from_number(self.last))
    }

    fn replace_rules(&mut self, changes: &[(WorkloadId, Rc<RuleMap>)]) -> Result<(), EngineError> {
        for (id, rules) in changes {
            self.workloads.get_mut(&id.number()).unwrap().1 = rules.rules.len();
        }
        Ok(())
    }

    fn remove(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        self.workloads.remove(&id.number()).unwrap();
        self.pods.retain(|_, workload| *workload != id);
        self.ids.retain(|_, workload| *workload != id);
        for (_, label) in self.containers.values_mut() {
            *label = label.filter(|label| *label != id);
        }
        Ok(())
    }

    fn expect_pod(&mut self, uid: PodUid, id: WorkloadId) -> Result<(), EngineError> {
        self.pods.insert(uid, id);
        self.label();
        Ok(())
    }

    fn expect_container(&mut self, of: ContainerId, id: WorkloadId) -> Result<(), EngineError> {
        self.ids.insert(of, id);
        self.label();
        Ok(())
    }

    fn forget_container(&mut self, container: ContainerId) -> Result<(), EngineError> {
        self.ids.remove(&container).unwrap();
        Ok(())
    }

    fn set_mounts(&mut self, _: WorkloadId, _: MountTable) -> Result<(), EngineError> {
        Ok(())
    }

    fn containers(&self) -> Result<Vec<Found>, EngineError> {
        let found = |(id, (cgroup, workload)): (&ContainerId, &(CgroupId, Option<_>))| Found {
            cgroup: *cgroup,
            pod: uid(),
            id: Some(*id),
            is_sandbox: self.sandbox == Some(*id),
            workload: *workload,
            arming: self.arming,
        };
        Ok(self.containers.iter().map(found).collect())
    }
}

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
        self.pods.name(Named {
            id,
            pod: uid(),
            name: name.map(str::to_owned),
            ended: false,
        });
        self.settle();
    }

    /// A runtime asks to create a container, of a pod with that annotation.
    fn create(
        &mut self,
        id: ContainerId,
        name: &str,
        annotation: Option<&str>,
    ) -> Result<(), String> {
        let annotation = annotation.map(|value| (ANNOTATION.to_owned(), value.to_owned()));
        let pod = messages::Pod {
            uid: UID.into(),
            name: "web-1".into(),
            namespace: "shop".into(),
            annotations: annotation.into_iter().collect(),
            ..messages::Pod::default()
        };
        let container = messages::Container {
            id: id.to_string(),
            name: name.into(),
            ..messages::Container::default()
        };
        self.pods
            .create(&pod, &container, Ok(&mut self.engine), self.now)
    }

    #[track_caller]
    fn check_hold(&mut self, hold: Option<HoldState>) {
        assert_eq!(self.status().containers[0].hold, hold);
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
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
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

#[test]
fn a_container_that_must_wait_is_created_once_its_rules_are_there() {
    let (map, one, two) = (rules(&["/a"]), id("a"), id("b"));
    let mut node = Node::new();
    node.startup = Startup::Hold;
    node.want(&[("web", Some(&map))]);
    node.check_hold(Some(HoldState::Kept));
    let said = node.create(one, "web", None).unwrap_err();
    assert!(
        said.starts_with(
            "bartizan holds container web of pod shop/web-1: the rules are being fetched \
             (RulesOnTheirWay); it is tried again"
        ) && said.ends_with("without `startup: Hold` in its policies it starts without its rules"),
        "{said}"
    );
    node.check("0/1", ContainerState::Pending, Some("RulesOnTheirWay"));
    node.check_hold(Some(HoldState::Waiting));
    assert!(
        node.engine.ids.is_empty(),
        "the next attempt has another id"
    );
    node.publish(&map);
    assert_eq!(node.create(two, "web", None), Ok(()));
    node.check("0/1", ContainerState::Pending, Some("NotStarted"));
    node.make(two);
    assert_eq!(node.holds(two), Some((Some("web"), 1)));
    node.check("1/1", ContainerState::Armed, None);
    node.check_hold(Some(HoldState::Kept));
}

#[test]
fn what_keeps_rules_from_the_kernel_keeps_their_container_from_starting() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let reason = |node: &mut Node, expected: &str| {
        let said = node.create(one, "web", None).unwrap_err();
        assert!(said.contains(&format!("({expected}); ")), "{said}");
        node.check("0/1", ContainerState::Pending, Some(expected));
    };
    let mut node = Node::new();
    node.startup = Startup::Hold;
    node.want(&[("web", Some(&map))]);
    let name = published::name(&map);
    node.pods.due_rule_maps(node.now);
    let missing = Err(RuleMapError::Missing(name.clone()));
    node.pods.put_rule_map(&name, missing, node.now);
    reason(&mut node, "NoSuchRuleMap");
    node.engine.is_full = true;
    node.now = node.pods.deadline().unwrap();
    node.publish(&map);
    reason(&mut node, "TooManyWorkloads");
    node.engine.is_full = false;
    node.withheld = vec!["shop/strict".to_owned()];
    node.want(&[("web", Some(&map))]);
    let said = node.create(one, "web", None).unwrap_err();
    assert!(said.contains("together with shop/strict"), "{said}");
    node.withheld.clear();
    node.want(&[("web", Some(&map))]);
    assert_eq!(node.create(one, "web", None), Ok(()));
    // Older rules are not those that it waits for.
    node.want(&[("web", Some(&rules(&["/b"])))]);
    reason(&mut node, "RulesOnTheirWay");
}

#[test]
fn a_node_that_cannot_enforce_starts_nothing_that_must_wait() {
    let map = rules(&["/a"]);
    let mut node = Node::new();
    node.startup = Startup::Hold;
    node.want(&[("web", Some(&map))]);
    let trouble = Trouble {
        reason: "NodeCannotEnforce",
        message: "there is no BPF-LSM".to_owned(),
    };
    let pod = messages::Pod {
        uid: UID.into(),
        ..messages::Pod::default()
    };
    let container = messages::Container {
        id: id("a").to_string(),
        name: "web".into(),
        ..messages::Container::default()
    };
    let unable: Result<&mut Fake, &Trouble> = Err(&trouble);
    let said = node.pods.create(&pod, &container, unable, node.now);
    assert!(said.unwrap_err().contains("no BPF-LSM (NodeCannotEnforce)"));
    let (_, status) = node.pods.changed_statuses(Some(&trouble)).remove(0);
    assert_eq!(status.containers[0].state, ContainerState::Pending);
    assert_eq!(status.containers[0].hold, Some(HoldState::Waiting));
}

#[test]
fn a_pod_that_nobody_knows_waits_if_it_asks_for_it() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    assert_eq!(node.create(one, "web", None), Ok(()));
    let said = node.create(one, "web", Some("Hold")).unwrap_err();
    assert!(
        said.contains("(NoPodEnforcement); ")
            && said
                .contains("without the pod's annotation bartizan.dev/startup and `startup: Hold`"),
        "{said}"
    );
    assert_eq!(node.create(one, "web", Some("Report")), Ok(()));
    // Then for the rules of those of its containers that have some.
    node.want(&[("web", Some(&map)), ("log", None)]);
    assert!(node.create(one, "web", Some("Hold")).is_err());
    node.check_hold(Some(HoldState::Waiting));
    assert_eq!(node.create(id("b"), "log", Some("Hold")), Ok(()));
    assert!(node.create(id("c"), "debug", Some("Hold")).is_err());
    node.publish(&map);
    assert_eq!(node.create(one, "web", Some("Hold")), Ok(()));
    node.check_hold(None);
}

#[test]
fn that_a_runtime_does_not_ask_is_said_of_what_must_wait() {
    let (map, one) = (rules(&["/a"]), id("a"));
    let mut node = Node::new();
    node.startup = Startup::Hold;
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    node.name(one, Some("web"));
    node.make(one);
    node.pods.changed_statuses(None);
    for (asked, hold) in [(false, HoldState::Impossible), (true, HoldState::Kept)] {
        node.pods.set_asked(asked);
        node.pods.set_asked(asked);
        let (_, status) = node.pods.changed_statuses(None).remove(0);
        assert_eq!(status.containers[0].hold, Some(hold));
        assert!(node.pods.changed_statuses(None).is_empty());
    }
}
