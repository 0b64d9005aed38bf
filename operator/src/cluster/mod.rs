//! What is known of the cluster, and what has to be looked at again when it changes.
//!
//! ```text
//!   Change ─► Cluster::apply ─► records, indices ─► dirty pods ─► plan ─► writes
//!                                              └──► dirty policies ─► status ─► writes
//! ```
//!
//! Pure: no clock, no API server, no locks. One task owns it. A change of a pod costs work
//! for that pod, a change of a policy for the pods that it selects or selected, and matching
//! its selector once with the labels of the pods in its scope.

mod company;
mod holding;
mod index;
mod keys;
mod links;
mod objects;
mod plan;
mod refusal;
mod standing;
mod status;
#[cfg(test)]
mod tests;
mod unenforceable;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bartizan_crds::PolicyStatus;
use bartizan_policy::selector::Labels;

pub use keys::{PodKey, PolicyKey};
pub use links::{Accepted, Link};
pub(crate) use objects::version;
pub use objects::{
    Container, Enforcement, FIELD_MANAGER, Pod, PolicyObject, Program, PublishedRuleMap,
};
pub use plan::{PlannedContainer, PodPlan, Withheld};
pub use refusal::{MAX_PUBLISHED, Publication, Refusal, Unreachable, publish};
pub use standing::Standing;
pub use status::{ACCEPTED, CONFLICTED, ENFORCED, HOLDS, UNREACHABLE};

use links::Links;

/// Something that happened to an object; `None`: it is gone.
#[derive(Clone, Debug)]
pub enum Change {
    /// A namespace and its labels.
    Namespace(String, Option<Labels>),
    /// A pod.
    Pod(PodKey, Option<Pod>),
    /// A policy of either kind.
    Policy(PolicyKey, Option<PolicyObject>),
    /// A rule map.
    RuleMap(String, Option<PublishedRuleMap>),
    /// A `PodEnforcement`.
    Enforcement(PodKey, Option<Enforcement>),
}

/// A pod and what has been found out about it.
#[derive(Debug, Default)]
struct PodRecord {
    pod: Pod,
    /// Accepted policies that select it, by name.
    policies: Vec<Arc<PolicyKey>>,
    /// The last plan of its containers.
    planned: Vec<PlannedContainer>,
}

/// A policy and what has been found out about it.
#[derive(Debug, Default)]
struct PolicyRecord {
    uid: String,
    version: u64,
    generation: i64,
    /// Why its current generation is refused.
    refusal: Option<Refusal>,
    /// The last generation that was accepted.
    accepted: Option<Accepted>,
    /// The pods that `accepted` selects.
    pods: BTreeSet<PodKey>,
    /// What its object says.
    status: Option<PolicyStatus>,
}

/// A published rule map and who needs it.
#[derive(Debug, Default)]
struct RuleMapRecord {
    /// What is in it.
    map: PublishedRuleMap,
    /// It is there, as far as is known.
    exists: bool,
    /// `PodEnforcement`s that name it, each as often as it does.
    references: usize,
}

/// How much is known, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Pods.
    pub pods: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Policies of both kinds.
    pub policies: usize,
    /// `PodEnforcement`s.
    pub enforcements: usize,
    /// Rule maps.
    pub rule_maps: usize,
    /// Linked sets of policies.
    pub links: usize,
    /// Pods to plan.
    pub dirty_pods: usize,
    /// Policies whose status is to be written.
    pub dirty_policies: usize,
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    namespaces: HashMap<String, Labels>,
    pods: HashMap<PodKey, PodRecord>,
    /// Names of pods by namespace.
    pods_in: HashMap<String, BTreeSet<String>>,
    policies: BTreeMap<Arc<PolicyKey>, PolicyRecord>,
    /// Policies that are refused and of which no accepted generation is known.
    unreadable: BTreeSet<Arc<PolicyKey>>,
    enforcements: HashMap<PodKey, Enforcement>,
    rule_maps: HashMap<String, RuleMapRecord>,
    links: Links,
    revision: u64,
    dirty_pods: BTreeSet<PodKey>,
    dirty_policies: BTreeSet<Arc<PolicyKey>>,
}

impl Cluster {
    /// The next pod to plan.
    pub fn next_pod(&mut self) -> Option<PodKey> {
        self.dirty_pods.pop_first()
    }

    /// Policies whose status may have to change; they count as looked at.
    pub fn take_policies(&mut self) -> BTreeSet<Arc<PolicyKey>> {
        std::mem::take(&mut self.dirty_policies)
    }

    /// Has a pod planned again.
    pub fn touch_pod(&mut self, key: PodKey) {
        self.dirty_pods.insert(key);
    }

    /// Has a policy's status looked at again.
    pub fn touch_policy(&mut self, key: Arc<PolicyKey>) {
        self.dirty_policies.insert(key);
    }

    /// Has everything looked at again.
    pub fn touch_all(&mut self) {
        self.dirty_pods.extend(self.pods.keys().cloned());
        self.dirty_pods.extend(self.enforcements.keys().cloned());
        self.dirty_policies.extend(self.policies.keys().cloned());
    }

    /// Names of the namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.namespaces.keys()
    }

    /// Keys of the pods.
    pub fn pods(&self) -> impl Iterator<Item = &PodKey> {
        self.pods.keys()
    }

    /// Keys of the policies of both kinds.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyKey> {
        self.policies.keys().map(|key| &**key)
    }

    /// Keys of the `PodEnforcement`s.
    pub fn enforcements(&self) -> impl Iterator<Item = &PodKey> {
        self.enforcements.keys()
    }

    /// Names of the published rule maps.
    pub fn rule_maps(&self) -> impl Iterator<Item = &String> {
        let records = self.rule_maps.iter();
        let published = records.filter(|(_, record)| record.exists);
        published.map(|(name, _)| name)
    }

    /// The `PodEnforcement` of a pod.
    pub fn enforcement(&self, key: &PodKey) -> Option<&Enforcement> {
        self.enforcements.get(key)
    }

    /// Whether a pod of this name exists.
    pub fn has_pod(&self, key: &PodKey) -> bool {
        self.pods.contains_key(key)
    }

    /// Whether a rule map is published.
    pub fn is_published(&self, rule_map: &str) -> bool {
        self.rule_maps
            .get(rule_map)
            .is_some_and(|record| record.exists)
    }

    /// Published rule maps that no `PodEnforcement` names.
    pub fn unreferenced(&self) -> impl Iterator<Item = &str> {
        let records = self.rule_maps.iter();
        records
            .filter(|(_, record)| record.exists && record.references == 0)
            .map(|(name, _)| name.as_str())
    }

    /// UID and current generation of a policy.
    pub fn identity(&self, key: &PolicyKey) -> Option<(&str, i64)> {
        let record = self.policies.get(key)?;
        Some((&record.uid, record.generation))
    }

    /// Why a policy's current generation is refused.
    pub fn refusal(&self, key: &PolicyKey) -> Option<&Refusal> {
        self.policies.get(key)?.refusal.as_ref()
    }

    /// What a policy's object says of it.
    pub fn observed_status(&self, key: &PolicyKey) -> Option<&PolicyStatus> {
        self.policies.get(key)?.status.as_ref()
    }

    /// How much is known.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            pods: self.pods.len(),
            namespaces: self.namespaces.len(),
            policies: self.policies.len(),
            enforcements: self.enforcements.len(),
            rule_maps: self.rule_maps.len(),
            links: self.links.len(),
            dirty_pods: self.dirty_pods.len(),
            dirty_policies: self.dirty_policies.len(),
        }
    }
}
