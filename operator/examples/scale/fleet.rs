//! A cluster that looks like one: namespaces of several sizes, applications with replicas,
//! and policies for everybody, for a namespace and for an application.
//!
//! ```text
//!   1 policy in 50 is the cluster's; 1 of the namespaced ones selects the whole of `edited`
//!   4 namespaces in 5 have policies, 6 each: half for everybody, half for applications
//! ```
//!
//! The fifth has the cluster's rules only, and its pods share rule maps with each other's.

use std::collections::BTreeMap;

use bartizan_crds::ContainerKind;
use bartizan_operator::cluster::{Change, Container, Pod, PodKey, PolicyKey};
use serde_json::json;

use crate::policies::{self, APPLICATION, EVERYBODY};
use crate::random::Random;

/// The namespace with a hundredth of the pods, and its policy that selects all of them.
pub(crate) const EDITED: &str = "edited";

const SEED: u64 = 0xba27_12a9;
/// Replicas of an application.
const REPLICAS: usize = 10;
/// Policies for each namespace, those without any included.
const POLICIES_PER_NAMESPACE: usize = 5;
/// Policies for each that is the cluster's.
const CLUSTER_POLICIES: usize = 50;
const TIERS: [&str; 4] = ["web", "api", "batch", "data"];
const TEAMS: [&str; 8] = ["red", "blue", "green", "ops", "pay", "shop", "data", "core"];

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
    pub(crate) policies: usize,
}

impl Size {
    /// Pods of the namespace [`EDITED`].
    pub(crate) fn edited_pods(self) -> usize {
        (self.pods / 100).max(1)
    }

    fn namespaces(self) -> usize {
        (self.policies / POLICIES_PER_NAMESPACE).max(1)
    }
}

/// All namespaces with their labels.
pub(crate) fn namespaces(size: Size) -> impl Iterator<Item = Change> {
    let named = (0..size.namespaces()).map(namespace);
    let labels = |number: usize| {
        let team = TEAMS[number % TEAMS.len()];
        let stage = if number.is_multiple_of(3) {
            "test"
        } else {
            "production"
        };
        let pairs = [("team", team), ("stage", stage)];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    std::iter::once(EDITED.to_owned())
        .chain(named)
        .enumerate()
        .map(move |(number, name)| {
            Change::Namespace(name, Some(labels(number).into_iter().collect()))
        })
}

/// All policies, none of them edited yet.
pub(crate) fn policies(size: Size) -> impl Iterator<Item = Change> {
    let mut random = Random::new(SEED);
    let cluster = size.policies.div_ceil(CLUSTER_POLICIES);
    (0..size.policies).map(move |number| {
        if number == 0 {
            return policies::change(edited_policy(), 1, policies::edited(1));
        }
        if number <= cluster {
            return cluster_policy(number, &mut random);
        }
        // Namespaces whose number ends in 4 or 9 have none.
        let place = number % (size.namespaces() * 4 / 5).max(1);
        let namespace = if number % 100 == 99 {
            EDITED.to_owned()
        } else {
            namespace(place + place / 4)
        };
        let spec = if random.below(2) == 0 {
            let mut spec = random.of(&EVERYBODY)(&mut random);
            spec["selector"] = match random.below(3) {
                0 => json!({ "matchExpressions": [
                    { "key": "tier", "operator": "In", "values": ["web", "api"] },
                ] }),
                1 => {
                    json!({ "matchExpressions": [{ "key": "debug", "operator": "DoesNotExist" }] })
                }
                _ => json!({}),
            };
            spec
        } else {
            let mut spec = random.of(&APPLICATION)(&mut random);
            let application = format!("app-{}", random.below(10));
            spec["selector"] = json!({ "matchLabels": { "app": application } });
            spec
        };
        let key = PolicyKey::namespaced(namespace, format!("policy-{number}"));
        policies::change(key, 1, spec)
    })
}

/// The pods whose numbers are in a range; those of a cluster begin with 0.
pub(crate) fn pods(size: Size, numbers: std::ops::Range<usize>) -> impl Iterator<Item = Change> {
    numbers.map(move |number| {
        let (key, pod) = pod(size, number);
        Change::Pod(key, Some(pod))
    })
}

/// The policy that selects every pod of [`EDITED`].
pub(crate) fn edited_policy() -> PolicyKey {
    PolicyKey::namespaced(EDITED, "edited")
}

/// The pod of that number, the same in every run.
pub(crate) fn pod(size: Size, number: usize) -> (PodKey, Pod) {
    // Replicas of an application follow each other and agree on everything but themselves.
    let group = number / REPLICAS;
    let mut random = Random::new(SEED ^ group as u64);
    let namespace = if number < size.edited_pods() {
        EDITED.to_owned()
    } else {
        // The smaller of two draws, so that some namespaces are large and some small.
        let draws = [(); 2].map(|()| random.below(size.namespaces()));
        namespace(draws[0].min(draws[1]))
    };
    let application = random.below(40);
    let mut labels = BTreeMap::from([
        ("app".to_owned(), format!("app-{application}")),
        ("tier".to_owned(), (*random.of(&TIERS)).to_owned()),
        (
            "pod-template-hash".to_owned(),
            format!("{:08x}", random.below(1 << 32)),
        ),
        ("version".to_owned(), format!("v{}", random.below(5))),
    ]);
    if random.below(10) == 0 {
        labels.insert("debug".to_owned(), "true".to_owned());
    }
    let mut containers = Vec::new();
    let mut add = |name: &str, kind, image: String| {
        containers.push(Container {
            name: name.to_owned(),
            kind,
            image: Some(image),
            programs: Vec::new(),
        });
    };
    if random.below(4) == 0 {
        add(
            "setup",
            ContainerKind::Init,
            "registry.example/setup:1".to_owned(),
        );
    }
    if random.below(3) == 0 {
        add(
            "sidecar-proxy",
            ContainerKind::Sidecar,
            "registry.example/proxy:2.1".to_owned(),
        );
    }
    let image = format!(
        "registry.example/shop/app-{application}:1.{}",
        random.below(20)
    );
    add("app", ContainerKind::Regular, image);
    let uid = format!("00000000-0000-4000-8000-{number:012x}");
    let pod = Pod {
        cgroup_uid: uid.clone(),
        uid,
        node: Some(format!(
            "node-{}",
            Random::new(number as u64).below(size.nodes)
        )),
        labels,
        containers,
        ended: false,
    };
    (
        PodKey::new(namespace, format!("app-{application}-{number}")),
        pod,
    )
}

fn namespace(number: usize) -> String {
    format!("namespace-{number}")
}

/// The first is for every pod, the others for a part of the namespaces.
fn cluster_policy(number: usize, random: &mut Random) -> Change {
    let mut spec = EVERYBODY[number % EVERYBODY.len()](random);
    spec["selector"] = json!({});
    if number > 1 {
        let team = TEAMS[number % TEAMS.len()];
        spec["namespaceSelector"] = json!({ "matchLabels": { "team": team } });
        spec["selector"] = json!({ "matchLabels": { "tier": random.of(&TIERS) } });
    }
    policies::change(PolicyKey::cluster(format!("cluster-{number}")), 1, spec)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bartizan_operator::cluster::Cluster;

    use super::*;

    const SMALL: Size = Size {
        nodes: 50,
        pods: 500,
        policies: 20,
    };

    #[test]
    fn every_run_makes_the_same_cluster() {
        let all = |size| {
            let changes = namespaces(size)
                .chain(policies(size))
                .chain(pods(size, 0..size.pods));
            format!("{:?}", changes.collect::<Vec<_>>())
        };
        assert_eq!(all(SMALL), all(SMALL));
    }

    #[test]
    fn a_cluster_has_what_was_asked_for_and_every_policy_is_accepted() {
        let size = Size {
            policies: 200,
            ..SMALL
        };
        let mut cluster = Cluster::default();
        let mut keys = HashSet::new();
        for change in namespaces(size)
            .chain(policies(size))
            .chain(pods(size, 0..size.pods))
        {
            if let Change::Policy(key, _) = &change {
                keys.insert(key.clone());
            }
            cluster.apply(change);
        }
        let sizes = cluster.sizes();
        assert_eq!((sizes.pods, sizes.policies), (size.pods, size.policies));
        for key in keys {
            let refusal = cluster.refusal(&key).map(ToString::to_string);
            assert_eq!(refusal, None, "{key}");
        }
    }

    #[test]
    fn replicas_have_the_same_labels_and_names_of_their_own() {
        let (first, second) = (pod(SMALL, 30), pod(SMALL, 31));
        assert_eq!(first.0.namespace, second.0.namespace);
        assert_eq!(first.1.labels, second.1.labels);
        assert_ne!(first.0, second.0);
    }

    #[test]
    fn a_hundredth_of_the_pods_is_in_the_namespace_whose_policy_is_edited() {
        let inside = (0..SMALL.pods).filter(|number| pod(SMALL, *number).0.namespace == EDITED);
        assert_eq!(inside.count(), 5);
    }
}
