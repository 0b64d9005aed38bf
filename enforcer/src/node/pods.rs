//! What should be in the kernel for this node's pods, and what is.
//!
//! ```text
//!   PodEnforcements ─┐                  ┌─► a workload per container name, with its rules
//!   rule maps ───────┼─► Pods ─ settle ─┼─► labels of cgroups that exist, or will
//!   containers ──────┘                  └─► status
//! ```
//!
//! Inputs may come in any order: a container before its pod's `PodEnforcement`, a name
//! after the container runs, rules last of all. Each marks its pod, and [`Pods::settle`]
//! makes the engine what the marked pods now mean.
//!
//! A container's workload exists as soon as its rules are known, before the container
//! does, and outlives its restarts. Containers that have no name yet get the pod's own
//! workload, with the strictest of its rule maps; a container that no policy selects has a
//! workload without rules, so that it can be told from one without a name.

mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use bartizan_crds::{ContainerEnforcement, PodEnforcementSpec};
use bartizan_policy::enforceable::Gaps;
use bartizan_policy::link;
use bartizan_policy::rule_map::RuleMap;
use k8s_openapi::jiff::Timestamp;

use super::containers::Containers;
use super::hold::Holds;
use super::keys::PodKey;
use super::rule_maps::{RuleMapError, RuleMaps};
use crate::agent::chain;
use crate::engine::{Arming, EngineError, Identity, Owner, WorkloadId};
use crate::kubepods::PodUid;

/// Something that keeps a container from its rules, for statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In one word.
    pub reason: &'static str,
    /// As a sentence.
    pub message: String,
}

impl Trouble {
    /// None yet, as far as anybody knows.
    pub(super) fn on_their_way() -> Self {
        Self {
            reason: "RulesOnTheirWay",
            message: "the rules are being fetched".to_owned(),
        }
    }
}

impl From<&EngineError> for Trouble {
    fn from(error: &EngineError) -> Self {
        Self {
            reason: error.reason(),
            message: chain(error),
        }
    }
}

impl From<&RuleMapError> for Trouble {
    fn from(error: &RuleMapError) -> Self {
        Self {
            reason: error.reason(),
            message: error.to_string(),
        }
    }
}

/// What a `PodEnforcement` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The pod's UID as the API knows it, for events.
    pub owner: Option<String>,
    /// What is to be enforced.
    pub spec: PodEnforcementSpec,
}

/// The rules of containers of one name, in the kernel.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) workload: WorkloadId,
    pub(super) rules: Rc<RuleMap>,
    /// Their name; `None`: no policy selects the container.
    pub(super) rule_map: Option<String>,
    /// Since when they are there.
    pub(super) since: Timestamp,
}

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) key: PodKey,
    pub(super) owner: Option<String>,
    pub(super) plan: Vec<ContainerEnforcement>,
    pub(super) roles: BTreeMap<String, Role>,
    /// The rules of containers without a name, and the rule maps they were made of.
    whole: Option<(Role, BTreeSet<Option<String>>)>,
    /// Names whose containers have ended.
    pub(super) ended: BTreeSet<String>,
    /// What the engine said, by container name.
    pub(super) troubles: BTreeMap<String, Trouble>,
    /// Names whose containers the runtime was told not to start, and why.
    pub(super) held: BTreeMap<String, Trouble>,
}

impl Pod {
    pub(super) fn is_selected(&self) -> bool {
        self.plan.iter().any(|plan| plan.rule_map.is_some())
    }

    /// Whether containers without a name have rules.
    pub(super) fn has_whole(&self) -> bool {
        self.whole.is_some()
    }

    fn uses(&self, rule_map: &str) -> bool {
        let mut names = self.plan.iter().map(|plan| plan.rule_map.as_deref());
        names.any(|name| name == Some(rule_map))
    }

    fn identity(&self, uid: PodUid, container: Option<&ContainerEnforcement>) -> Identity {
        let name = container.map(|plan| plan.name.clone());
        Identity {
            name: self.key.name.clone(),
            image: container.and_then(|plan| plan.image.clone()),
            workload: link::Workload {
                namespace: Some(self.key.namespace.clone()),
                container: name.clone(),
                ..link::Workload::default()
            },
            owner: Some(Owner {
                pod: uid,
                container: name,
            }),
        }
    }
}

/// The pods of this node, by the UID that their cgroups carry.
#[derive(Debug, Default)]
pub struct Pods {
    pub(super) by_uid: BTreeMap<PodUid, Pod>,
    uids: BTreeMap<PodKey, PodUid>,
    pub(super) containers: Containers,
    pub(super) rule_maps: RuleMaps,
    marked: BTreeSet<PodUid>,
    retry: Option<Instant>,
    /// Pods whose status may have changed.
    pub(super) changed: BTreeSet<PodUid>,
    pub(super) armings: Vec<Arming>,
    /// The containers that must not start without their rules.
    holds: Holds,
    /// The runtime starts containers without asking.
    pub(super) is_unasked: bool,
    /// When the kernel's containers were read last.
    pub(super) compared: Option<Instant>,
    /// What this node's kernel can't enforce.
    pub(super) gaps: Gaps,
}

impl Pods {
    /// None yet, on a node whose kernel has these gaps.
    pub fn new(gaps: Gaps) -> Self {
        Self {
            gaps,
            ..Self::default()
        }
    }

    /// Takes what the API says of a pod; `None`: nothing is to be enforced there. Whether
    /// that is something else than before.
    pub fn want(&mut self, key: &PodKey, wanted: Option<Wanted>) -> bool {
        let uid = wanted.as_ref().and_then(|wanted| {
            let uid = wanted.spec.pod_uid.parse();
            uid.inspect_err(|error| tracing::error!(pod = %key, %error, "not enforced"))
                .ok()
        });
        let before = self.uids.get(key).copied();
        if let Some(before) = before.filter(|before| Some(*before) != uid) {
            self.uids.remove(key);
            if let Some(pod) = self.by_uid.get_mut(&before) {
                pod.plan.clear();
            }
            self.holds.set(before, &[]);
            self.marked.insert(before);
        }
        let (Some(uid), Some(wanted)) = (uid, wanted) else {
            return before.is_some();
        };
        self.uids.insert(key.clone(), uid);
        let pod = self.by_uid.entry(uid).or_insert_with(|| Pod {
            key: key.clone(),
            owner: None,
            plan: Vec::new(),
            roles: BTreeMap::new(),
            whole: None,
            ended: BTreeSet::new(),
            troubles: BTreeMap::new(),
            held: BTreeMap::new(),
        });
        self.changed.insert(uid);
        let is_new = before != Some(uid) || pod.owner != wanted.owner;
        pod.owner = wanted.owner;
        if pod.plan == wanted.spec.containers {
            return is_new;
        }
        pod.plan = wanted.spec.containers;
        self.holds.set(uid, &pod.plan);
        self.marked.insert(uid);
        true
    }

    /// The containers that must not start without their rules, now and later.
    pub fn holds(&self) -> Holds {
        self.holds.clone()
    }

    /// The pod's UID as its cgroup carries it.
    pub fn uid(&self, key: &PodKey) -> Option<PodUid> {
        self.uids.get(key).copied()
    }

    /// Takes what came of fetching a rule map.
    pub fn put_rule_map(
        &mut self,
        name: &str,
        result: Result<RuleMap, RuleMapError>,
        now: Instant,
    ) {
        self.rule_maps.put(name, result, now);
        let counting = self.by_uid.iter().filter(|(_, pod)| pod.uses(name));
        self.marked.extend(counting.map(|(uid, _)| *uid));
    }

    /// Whether some pod counts on a rule map.
    pub fn uses_rule_map(&self, name: &str) -> bool {
        self.by_uid.values().any(|pod| pod.uses(name))
    }

    /// The pod's UID as the API knows it.
    pub fn owner(&self, key: &PodKey) -> Option<&String> {
        let pod = self.by_uid.get(self.uids.get(key)?)?;
        pod.owner.as_ref()
    }

    /// Names of rule maps to fetch now.
    pub fn due_rule_maps(&mut self, now: Instant) -> Vec<String> {
        self.rule_maps.due(now)
    }

    /// When [`Pods::settle`] or [`Pods::due_rule_maps`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let retry = self.retry.into_iter();
        retry.chain(self.rule_maps.deadline()).min()
    }

    /// Whether the kernel has what was known.
    pub(super) fn is_settled(&self) -> bool {
        self.marked.is_empty()
    }

    pub(super) fn mark(&mut self, uid: PodUid) {
        self.marked.insert(uid);
    }
}

#[cfg(test)]
mod tests;
