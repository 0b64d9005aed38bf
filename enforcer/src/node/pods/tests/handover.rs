//! When what a predecessor has in force is replaced.

use super::*;
use crate::engine::Inherited;

/// Rules of the pod's container `web` and of those without a name.
fn inherited() -> Inherited {
    let owner = |container: Option<&str>| Owner {
        pod: uid(),
        container: container.map(str::to_owned),
    };
    Inherited {
        owners: vec![owner(Some("web")), owner(None)],
        containers: Vec::new(),
        is_complete: true,
    }
}

#[test]
fn everything_known_is_in_force_first() {
    let map = rules(&["/a"]);
    let mut node = Node::new();
    assert!(!node.pods.replace(&inherited(), false));
    node.want(&[("web", Some(&map)), ("log", None)]);
    for said_all in [false, true] {
        assert!(!node.pods.replace(&inherited(), said_all), "{said_all}");
    }
    node.publish(&map);
    assert!(node.pods.replace(&inherited(), false));
}

#[test]
fn who_is_not_known_waits_for_the_api_server() {
    let map = rules(&["/a"]);
    let mut node = Node::new();
    node.want(&[("web", Some(&map))]);
    node.publish(&map);
    let mut other = inherited();
    other.owners[0].container = Some("other".to_owned());
    let unknown = Inherited {
        is_complete: false,
        ..inherited()
    };
    for inherited in [other, unknown] {
        assert!(!node.pods.replace(&inherited, false));
        assert!(node.pods.replace(&inherited, true));
    }
    // A pod that went has nothing in force, which is all there should be.
    node.pods.want(&key(), None);
    assert!(!node.pods.replace(&inherited(), true), "not settled");
    node.settle();
    assert!(!node.pods.replace(&inherited(), false));
    assert!(node.pods.replace(&inherited(), true));
}

#[test]
fn rules_that_can_not_be_had_keep_what_the_predecessor_has() {
    let map = rules(&["/a"]);
    for is_refused in [false, true] {
        let mut node = Node::new();
        node.engine.is_full = is_refused;
        node.want(&[("web", Some(&map))]);
        if is_refused {
            node.publish(&map);
        } else {
            let name = published::name(&map);
            node.pods.due_rule_maps(node.now);
            let missing = Err(RuleMapError::Missing(name.clone()));
            node.pods.put_rule_map(&name, missing, node.now);
            node.settle();
        }
        assert!(!node.pods.replace(&inherited(), true));
        // Nothing, if it had nothing there either.
        let nothing = Inherited {
            owners: Vec::new(),
            ..inherited()
        };
        assert!(!node.pods.replace(&nothing, false));
        assert!(node.pods.replace(&nothing, true));
    }
}
