//! Containers that must not start without their rules.

use bartizan_crds::HoldState;

use super::super::super::hold::ANNOTATION;
use super::*;
use crate::nri::messages;

impl Node {
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
