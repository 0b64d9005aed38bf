//! Expectations that come before a container, after it, and that change.

use std::path::Path;

use bartizan_abi::containers::{ARMED_BY_NRI, UNKNOWN_TIME};

use super::*;
use crate::cgroup::Hierarchy;
use crate::kubepods::{ContainerId, PodUid};

const UID: &str = "0a1b2c3d-0000-4111-8222-333344445555";

fn uid() -> PodUid {
    UID.parse().unwrap()
}

fn id(digit: &str) -> ContainerId {
    digit.repeat(64).parse().unwrap()
}

/// A node with a pod that has a sandbox and a container, and an engine that found them.
fn node() -> (tempfile::TempDir, Engine<Fake>, [WorkloadId; 3], [u64; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let pod = dir.path().join(format!("kubepods/burstable/pod{UID}"));
    let mut made = ["a", "b"].map(|digit| {
        let path = pod.join(digit.repeat(64));
        std::fs::create_dir_all(&path).unwrap();
        Cgroup::at(path).unwrap().id().0
    });
    // The file system of the test may give any numbers.
    made.sort_unstable();
    let (mut engine, ids, _) = shop();
    let found = engine.find_kubelets(&Hierarchy::at(dir.path())).unwrap();
    assert_eq!((found, engine.maps.parents.len()), (2, 2));
    (dir, engine, ids, made)
}

fn id_at(root: &Path, cgroup: u64) -> ContainerId {
    let pod = root.join(format!("kubepods/burstable/pod{UID}"));
    let same = |digit: &&str| {
        let path = pod.join(digit.repeat(64));
        Cgroup::at(path).unwrap().id().0 == cgroup
    };
    id(["a", "b"].iter().find(|digit| same(digit)).unwrap())
}

#[test]
fn a_pod_that_is_there_is_labelled_late() {
    let (_dir, mut engine, ids, [sandbox, container]) = node();
    assert_eq!(engine.arming(ids[0]).unwrap(), None);
    engine.expect_pod(uid(), ids[0]).unwrap();
    assert_eq!(engine.maps.labels, [(sandbox, 1), (container, 1)].into());
    let arming = engine.arming(ids[0]).unwrap().unwrap();
    assert_eq!(arming.how, How::Late);
    assert_eq!(arming.first_exec, Some(FirstExec::Unknown));
    assert_eq!(arming.unprotected(), None);
    let found = engine.containers().unwrap();
    assert_eq!((found[0].is_sandbox, found[1].is_sandbox), (true, false));
}

#[test]
fn an_expected_container_leaves_its_pods_rules() {
    let (dir, mut engine, ids, [sandbox, container]) = node();
    let exact = id_at(dir.path(), container);
    engine.expect_pod(uid(), ids[0]).unwrap();
    engine.expect_container(exact, ids[2], How::Nri).unwrap();
    assert_eq!(engine.maps.labels, [(sandbox, 1), (container, 3)].into());
    // Nor does another pod label change that.
    engine.expect_pod(uid(), ids[1]).unwrap();
    assert_eq!(engine.maps.labels, [(sandbox, 2), (container, 3)].into());
    // What the workloads hold is what is labelled.
    engine.remove(ids[0], Instant::now()).unwrap();
    assert_eq!(engine.maps.labels, [(sandbox, 2), (container, 3)].into());
}

#[test]
fn one_that_was_expected_first_is_no_sandbox() {
    let (dir, mut engine, ids, [first, _]) = node();
    let exact = id_at(dir.path(), first);
    engine.expect_container(exact, ids[0], How::Nri).unwrap();
    assert!(!engine.containers().unwrap()[0].is_sandbox);
    assert!(engine.arming(ids[0]).unwrap().is_some());
}

#[test]
fn nothing_is_left_of_a_container_that_goes_meanwhile() {
    let (_dir, mut engine, ids, [sandbox, container]) = node();
    engine.maps.vanishing = Some(container);
    engine.expect_pod(uid(), ids[0]).unwrap();
    assert_eq!(engine.maps.labels, [(sandbox, 1)].into());
    assert!(!engine.maps.armed.contains_key(&container));
}

#[test]
fn a_removed_workload_is_expected_no_more() {
    let (dir, mut engine, ids, [_, container]) = node();
    engine.expect_pod(uid(), ids[0]).unwrap();
    let exact = id_at(dir.path(), container);
    engine.expect_container(exact, ids[0], How::Nri).unwrap();
    engine.remove(ids[0], Instant::now()).unwrap();
    assert!(engine.maps.uids.is_empty() && engine.maps.ids.is_empty());
    assert!(engine.maps.labels.is_empty());
}

#[test]
fn time_without_rules_is_measured_from_the_first_instruction() {
    let (_dir, mut engine, ids, [_, container]) = node();
    let mut armed = |how, time, first_exec| {
        let seen = engine.maps.containers.get_mut(&container).unwrap();
        seen.first_exec = first_exec;
        engine.maps.labels.insert(container, ids[0].0);
        let armed = Armed { time, how, pad: 0 };
        engine.maps.armed.insert(container, armed);
        engine.arming(ids[0]).unwrap().unwrap()
    };
    let arming = armed(ARMED_BY_NRI, 70, 0);
    assert_eq!((arming.how, arming.first_exec), (How::Nri, None));
    assert_eq!(arming.unprotected(), Some(std::time::Duration::ZERO));
    let arming = armed(ARMED_BY_NRI, 70, 90);
    assert_eq!(arming.unprotected(), Some(std::time::Duration::ZERO));
    let arming = armed(ARMED_BY_NRI, 90, 70);
    assert_eq!(
        arming.unprotected(),
        Some(std::time::Duration::from_nanos(20))
    );
    assert_eq!(armed(ARMED_BY_NRI, 90, UNKNOWN_TIME).unprotected(), None);
}

#[test]
fn ready_rules_and_policies_go_the_same_way() {
    let (mut engine, ids, now) = shop();
    let rules = |path| {
        Rc::new(
            policies(path)
                .rules_for(&identity("x", "web").workload)
                .unwrap(),
        )
    };
    let id = engine
        .add_rules(identity("x", "web"), &rules("/bin/a"), now)
        .unwrap();
    assert_eq!(engine.maps.bindings[&id.0], engine.maps.bindings[&ids[0].0]);
    let applied = engine
        .replace_rules(&[(id, rules("/bin/b")), (ids[0], rules("/bin/a"))], now)
        .unwrap();
    assert_eq!(
        applied,
        Applied {
            loaded: 1,
            changed: 1
        }
    );
    assert_ne!(engine.maps.bindings[&id.0], engine.maps.bindings[&ids[0].0]);
}
