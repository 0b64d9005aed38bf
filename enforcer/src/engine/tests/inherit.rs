//! What a successor finds, claims and ends.

use bartizan_abi::containers::ARMED_BY_POD;

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

fn owner(container: &str) -> Owner {
    Owner {
        pod: uid(),
        container: Some(container.to_owned()),
    }
}

/// A container of the pod, in the application of that name.
fn owned(container: &str) -> Identity {
    Identity {
        owner: Some(owner(container)),
        ..identity(container, "web")
    }
}

fn add(engine: &mut Engine<Fake>, container: &str, denied: &str) -> WorkloadId {
    let added = engine.add(owned(container), &policies(denied), Instant::now());
    added.unwrap()
}

/// A workload with a labelled cgroup, and a container that is expected; the enforcer died.
fn predecessor() -> Fake {
    let mut engine = Engine::new(Fake::default());
    let web = add(&mut engine, "web", "/bin/a");
    engine.expect_container(id("a"), web, How::Nri).unwrap();
    engine.maps.labels.insert(7, web.0);
    deny(&engine, web, 3);
    let mut maps = engine.maps;
    let digests = maps.digests.iter();
    maps.left = digests.map(|(number, digest)| (*digest, *number)).collect();
    maps.calls.clear();
    maps
}

fn successor() -> (Engine<Fake>, Inherited) {
    let mut engine = Engine::new(predecessor());
    let inherited = engine.inherit().unwrap().unwrap();
    (engine, inherited)
}

#[test]
fn without_a_predecessor_there_is_nothing() {
    let mut engine = Engine::new(Fake::default());
    assert_eq!(engine.inherit().unwrap(), None);
}

#[test]
fn the_same_rules_are_only_bound_again_and_counters_go_on() {
    let before = predecessor().generations;
    let (mut engine, inherited) = successor();
    let expected = Inherited {
        owners: vec![owner("web")],
        containers: vec![(id("a"), owner("web"))],
        is_complete: true,
    };
    assert_eq!(inherited, expected);
    assert!(
        engine.counts().unwrap().is_empty(),
        "nobody knows the names"
    );
    let web = add(&mut engine, "web", "/bin/a");
    assert_eq!(engine.maps.calls, ["bind 1 1"]);
    assert!(
        before
            .iter()
            .all(|old| old < engine.maps.generations.last().unwrap())
    );
    assert_eq!(denials(&engine), 3);
    engine.retire_predecessors(|_| false).unwrap();
    assert_eq!(engine.maps.calls, ["bind 1 1"]);
    assert_eq!(engine.maps.labels, [(7, web.0)].into());
    deny(&engine, web, 1);
    assert_eq!(denials(&engine), 4);
}

#[test]
fn other_rules_replace_the_predecessors_in_one_swap() {
    let (mut engine, _) = successor();
    let web = add(&mut engine, "web", "/bin/b");
    assert_eq!(engine.maps.calls, ["add [2]", "bind 1 2"]);
    engine.retire_predecessors(|_| false).unwrap();
    assert_eq!(engine.maps.calls[2..], ["remove 1"]);
    assert_eq!(engine.maps.labels, [(7, web.0)].into());
    assert_eq!(engine.counts().unwrap().values().sum::<u64>(), 0);
    assert!(engine.maps.counters.borrow().is_empty());
}

#[test]
fn what_is_not_claimed_stays_in_force_until_it_is_ended() {
    let (mut engine, _) = successor();
    let other = add(&mut engine, "log", "/bin/b");
    assert_ne!(other.0, 1, "the number is taken");
    assert_eq!(engine.maps.labels, [(7, 1)].into());
    assert_eq!(engine.maps.bindings.len(), 2);
    engine.retire_predecessors(|_| false).unwrap();
    assert!(engine.maps.labels.is_empty() && engine.maps.ids.is_empty());
    assert_eq!(engine.maps.bindings.len(), 1);
    assert_eq!(engine.maps.owners.len(), 1);
    assert_eq!(engine.maps.tables.len(), 1);
}

#[test]
fn labels_of_nobody_are_removed() {
    let mut maps = predecessor();
    maps.labels.insert(8, 5);
    let mut engine = Engine::new(maps);
    engine.inherit().unwrap();
    assert_eq!(engine.maps.labels, [(7, 1)].into());
}

#[test]
fn a_claim_that_fails_changes_nothing() {
    let (mut engine, _) = successor();
    engine.maps.failing_bind = Some(1);
    let failed = engine.add(owned("web"), &policies("/bin/a"), Instant::now());
    assert!(failed.is_err());
    assert_eq!(engine.maps.labels, [(7, 1)].into());
    let web = add(&mut engine, "web", "/bin/a");
    assert_eq!(web.0, 1);
}

#[test]
fn expected_containers_that_are_gone_are_forgotten() {
    for is_known in [false, true] {
        let (mut engine, _) = successor();
        add(&mut engine, "web", "/bin/a");
        engine.retire_predecessors(|_| is_known).unwrap();
        assert_eq!(engine.maps.ids.len(), usize::from(is_known));
    }
}

#[test]
fn other_versions_say_whose_their_containers_are() {
    let kernel = |container| owner(container).to_kernel().unwrap();
    let mut maps = Fake::default();
    let other = Predecessor {
        owners: vec![kernel("web"), kernel("")],
        containers: vec![(*id("b").key(), kernel("web"))],
        seen: Vec::new(),
    };
    maps.predecessors = vec![Some(other)];
    let inherited = Engine::new(maps).inherit().unwrap().unwrap();
    let whole = Owner {
        pod: uid(),
        container: None,
    };
    assert_eq!(inherited.owners, [owner("web"), whole]);
    assert_eq!(inherited.containers, [(id("b"), owner("web"))]);
    assert!(inherited.is_complete);
    let maps = Fake {
        predecessors: vec![None],
        ..Fake::default()
    };
    let inherited = Engine::new(maps).inherit().unwrap().unwrap();
    assert!(!inherited.is_complete);
}

#[test]
fn what_other_versions_knew_of_containers_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("kubepods/pod{UID}"));
    let path = path.join("b".repeat(64));
    std::fs::create_dir_all(&path).unwrap();
    let cgroup = Cgroup::at(path).unwrap().id().0;
    let container = ContainerCgroup {
        made: 5,
        first_exec: 9,
        pod: *uid().key(),
        flags: 0,
        id: *id("b").key(),
    };
    let armed = Armed {
        time: 6,
        how: ARMED_BY_POD,
        pad: 0,
    };
    let other = Predecessor {
        // One is gone.
        seen: vec![
            (cgroup, container, Some(armed)),
            (cgroup + 1, container, None),
        ],
        ..Predecessor::default()
    };
    let mut engine = Engine::new(Fake {
        predecessors: vec![Some(other)],
        ..Fake::default()
    });
    engine.inherit().unwrap();
    engine.find_kubelets(&Hierarchy::at(dir.path())).unwrap();
    assert_eq!(engine.maps.containers, [(cgroup, container)].into());
    let web = add(&mut engine, "web", "/bin/a");
    engine.expect_container(id("b"), web, How::Nri).unwrap();
    let arming = engine.arming(web).unwrap().unwrap();
    assert_eq!((arming.how, arming.armed), (How::Mkdir, 6));
    assert_eq!(arming.first_exec, Some(FirstExec::At(9)));
}

#[test]
fn names_that_no_container_can_have_are_not_handed_over() {
    assert_eq!(owner(&"x".repeat(65)).to_kernel(), None);
}
