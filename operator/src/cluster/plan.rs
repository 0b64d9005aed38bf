//! What should be for a pod.
//!
//! A pure function of what is known. Two things are never done silently: enforcing less
//! than was enforced, and leaving a policy out.
//!
//! - A policy that is refused keeps its last accepted generation, if it is known. If it
//!   isn't (the operator has started since), containers that have its rules keep their
//!   rule map.
//! - Policies that don't fit together change nothing for containers that have a rule map.
//!   New containers get as many of them as fit: those that block first, then the
//!   cluster's before the namespace's. One that a policy with `startup: Hold` doesn't
//!   fit into is not started.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bartizan_crds::{ContainerEnforcement, PodEnforcementSpec, Startup};
use bartizan_policy::link;
use bartizan_policy::rule_map::Mode;

use super::keys::{PodKey, PolicyKey};
use super::links::{Accepted, Link, Links};
use super::objects::PublishedRuleMap;
use super::refusal::Refusal;
use super::{Cluster, RuleMapRecord};

/// Policies that a `PodEnforcement` names as withheld from a container.
const MAX_WITHHELD: usize = 16;

/// What should be for a pod.
#[derive(Clone, Debug, Default)]
pub struct PodPlan {
    /// UID of the pod, which owns the `PodEnforcement`.
    pub owner: String,
    /// The spec of its `PodEnforcement`; `None`: there should be none.
    pub spec: Option<PodEnforcementSpec>,
    /// The rule maps that `spec` names, apart from those that are kept.
    pub links: Vec<Arc<Link>>,
    /// What is said of each container about the policies that select it.
    pub containers: Vec<PlannedContainer>,
}

/// What should be for a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannedContainer {
    /// Its name.
    pub name: String,
    /// The name of its rule map.
    pub rule_map: Option<String>,
    /// What is in it, if it was linked for this plan.
    pub link: Option<Arc<Link>>,
    /// Policies that select it and are not in its rule map as they are now.
    pub withheld: Vec<Arc<PolicyKey>>,
    /// Why.
    pub why: Option<Withheld>,
}

/// Why a policy is not in the rule map of a container that it selects.
#[derive(Clone, Debug, PartialEq)]
pub enum Withheld {
    /// It doesn't fit together with the others.
    Refused(Arc<Refusal>),
    /// The container keeps the rules of a policy that can't be read now.
    Kept(Arc<PolicyKey>),
}

impl Withheld {
    /// The kind, as conditions name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Kept(_) => "OtherPolicyRefused",
        }
    }

    /// The same as a sentence.
    pub fn message(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Kept(policy) => format!(
                "the container keeps its rules until policy {policy}, which is among them, is \
                 valid or deleted"
            ),
        }
    }
}

type Selecting<'a> = Vec<(&'a Arc<PolicyKey>, &'a Accepted)>;

impl Cluster {
    /// What should be for a pod; remembered for the statuses of the policies that select it.
    pub fn plan(&mut self, key: &PodKey) -> PodPlan {
        let plan = self.planned(key);
        if let Some(record) = self.pods.get_mut(key) {
            record.planned.clone_from(&plan.containers);
        }
        plan
    }

    fn planned(&mut self, key: &PodKey) -> PodPlan {
        let Self {
            pods,
            policies,
            enforcements,
            rule_maps,
            unreadable,
            links,
            ..
        } = self;
        let Some(record) = pods.get(key).filter(|record| !record.pod.ended) else {
            return PodPlan::default();
        };
        let pod = &record.pod;
        let enforcement = enforcements.get(key);
        let current = enforcement
            .filter(|enforcement| enforcement.owner.as_ref() == Some(&pod.uid))
            .and_then(|enforcement| enforcement.spec.as_ref());
        let mut plan = PodPlan {
            owner: pod.uid.clone(),
            ..PodPlan::default()
        };
        let mut spec = PodEnforcementSpec {
            node: pod.node.clone(),
            pod_uid: pod.cgroup_uid.clone(),
            containers: Vec::new(),
        };
        for container in &pod.containers {
            let selecting: Selecting<'_> = record
                .policies
                .iter()
                .filter_map(|key| Some((key, policies.get(key)?.accepted.as_ref()?)))
                .filter(|(_, accepted)| accepted.policy.selects_container(&container.name))
                .collect();
            let before = current.and_then(|spec| {
                let mut all = spec.containers.iter();
                all.find(|one| one.name == container.name)
            });
            let current = before.and_then(|before| before.rule_map.as_deref());
            let policies = selecting.iter().map(|(_, accepted)| &*accepted.policy);
            let mut startup = link::startup(policies);
            let mut planned = PlannedContainer {
                name: container.name.clone(),
                ..PlannedContainer::default()
            };
            // Of these policies no generation is known that could be enforced.
            let kept = current.and_then(|name| {
                let mut inside = rule_maps.get(name)?.map.policies.iter();
                Some((name, inside.find_map(|key| unreadable.get(key).cloned())?))
            });
            let holding = selecting
                .iter()
                .filter(|(_, it)| it.policy.holds_containers());
            let holding: Vec<Arc<PolicyKey>> = holding.map(|(key, _)| Arc::clone(key)).collect();
            if let Some((name, unreadable)) = kept {
                // The policy that can't be read may be the one that said so.
                if let Some(before) = before.filter(|before| before.startup == Startup::Hold) {
                    startup = before.startup;
                }
                planned.rule_map = Some(name.to_owned());
                planned.withheld = keys(&selecting);
                planned.why = Some(Withheld::Kept(unreadable));
            } else if !selecting.is_empty() {
                match links.get(&selecting) {
                    Ok(link) => {
                        planned.rule_map = Some(link.name.to_string());
                        planned.link = Some(Arc::clone(&link));
                        add(&mut plan.links, link);
                    }
                    Err(refusal) => {
                        let why = Some(Withheld::Refused(refusal));
                        planned.why = why;
                        if let Some(name) = current {
                            planned.rule_map = Some(name.to_owned());
                            let map = rule_maps.get(name).map(|record| &record.map);
                            planned.withheld = missing(links, &selecting, name, map);
                        } else {
                            let (link, withheld) = fitting(links, selecting);
                            planned.withheld = withheld;
                            planned.rule_map = link.as_ref().map(|link| link.name.to_string());
                            planned.link.clone_from(&link);
                            if let Some(link) = link {
                                add(&mut plan.links, link);
                            }
                        }
                    }
                }
            }
            spec.containers.push(ContainerEnforcement {
                name: container.name.clone(),
                kind: container.kind,
                image: container.image.clone(),
                rule_map: planned.rule_map.clone(),
                startup,
                withheld: absent(&holding, &planned, rule_maps),
            });
            plan.containers.push(planned);
        }
        let mut containers = spec.containers.iter();
        let selected = containers.any(|one| one.rule_map.is_some() || !one.withheld.is_empty());
        plan.spec = selected.then_some(spec);
        plan
    }
}

fn keys(selecting: &Selecting<'_>) -> Vec<Arc<PolicyKey>> {
    selecting.iter().map(|(key, _)| Arc::clone(key)).collect()
}

/// The policies that a rule map that is kept doesn't have as they are now.
fn missing(
    links: &mut Links,
    selecting: &Selecting<'_>,
    name: &str,
    map: Option<&PublishedRuleMap>,
) -> Vec<Arc<PolicyKey>> {
    let inside = |key: &PolicyKey| map.is_some_and(|map| map.policies.contains(key));
    let (inside, outside): (Selecting<'_>, Selecting<'_>) =
        selecting.iter().partition(|(key, _)| inside(key));
    match links.get(&inside) {
        Ok(link) if *link.name == *name => keys(&outside),
        _ => keys(selecting),
    }
}

/// Those of some policies that a container has no rules of, in no generation.
fn absent(
    policies: &[Arc<PolicyKey>],
    planned: &PlannedContainer,
    rule_maps: &HashMap<String, RuleMapRecord>,
) -> Vec<String> {
    // What was linked for this plan has all that isn't withheld.
    let kept = planned.rule_map.as_ref().filter(|_| planned.link.is_none());
    let kept = kept.and_then(|name| rule_maps.get(name));
    let is_inside = |key: &PolicyKey| kept.is_some_and(|it| it.map.policies.contains(key));
    let absent = policies
        .iter()
        .filter(|key| planned.withheld.contains(key) && !is_inside(key));
    let names = absent.map(ToString::to_string);
    names.take(MAX_WITHHELD).collect()
}

fn add(links: &mut Vec<Arc<Link>>, link: Arc<Link>) {
    if links.iter().all(|known| known.name != link.name) {
        links.push(link);
    }
}

/// As many policies as fit together, and those that don't.
fn fitting(
    links: &mut Links,
    selecting: Selecting<'_>,
) -> (Option<Arc<Link>>, Vec<Arc<PolicyKey>>) {
    let mut candidates = selecting;
    candidates.sort_by_key(|(key, accepted)| {
        let blocks = accepted.policy.info.mode == Mode::Enforce;
        (Reverse(blocks), key.namespace.is_some(), Arc::clone(key))
    });
    let (mut fitting, mut withheld, mut best) = (Selecting::new(), Vec::new(), None);
    for candidate in candidates {
        let mut tried = fitting.clone();
        tried.push(candidate);
        tried.sort_by_key(|(key, _)| Arc::clone(key));
        match links.get(&tried) {
            Ok(link) => (fitting, best) = (tried, Some(link)),
            Err(_) => withheld.push(Arc::clone(candidate.0)),
        }
    }
    (best, withheld)
}
