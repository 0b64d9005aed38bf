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

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bartizan_crds::{ContainerEnforcement, PodEnforcementSpec};
use bartizan_policy::enforceable::Gaps;
use bartizan_policy::link;
use bartizan_policy::rule_map::RuleMap;
use bartizan_policy::strictest::strictest;
use k8s_openapi::jiff::Timestamp;

use super::containers::Containers;
use super::enforce::Enforce;
use super::hold::Holds;
use super::keys::PodKey;
use super::rule_maps::{RuleMapError, RuleMaps};
use crate::agent::chain;
use crate::engine::{Arming, EngineError, Identity, Owner, WorkloadId};
use crate::kubepods::PodUid;

/// When what the engine refused is tried again.
const RETRY: Duration = Duration::from_secs(5);

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

    /// Makes the kernel what the marked pods mean.
    pub fn settle(&mut self, engine: &mut impl Enforce, now: Instant) {
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
            self.marked.extend(self.by_uid.keys());
        }
        let marked = std::mem::take(&mut self.marked);
        if marked.is_empty() {
            return;
        }
        let mut refused = false;
        for uid in marked {
            refused |= self.settle_pod(uid, engine, now).is_err();
            self.changed.insert(uid);
        }
        if let Err(error) = self.compare(engine) {
            tracing::error!(
                error = chain(&error),
                "the kernel's containers can't be read"
            );
            refused = true;
        }
        if refused {
            self.retry.get_or_insert(now + RETRY);
        }
        let plans = self.by_uid.values().flat_map(|pod| &pod.plan);
        let used = plans.filter_map(|plan| plan.rule_map.clone()).collect();
        self.rule_maps.keep(&used);
    }

    fn settle_pod(
        &mut self,
        uid: PodUid,
        engine: &mut impl Enforce,
        now: Instant,
    ) -> Result<(), Refused> {
        let Some(pod) = self.by_uid.get_mut(&uid) else {
            return Ok(());
        };
        if !pod.is_selected() {
            return self.release(uid, engine);
        }
        pod.troubles.clear();
        let roles = settle_roles(pod, uid, &mut self.rule_maps, engine);
        let whole = settle_whole(pod, uid, engine);
        let mut containers = Ok(());
        for (id, container) in self.containers.of_mut(uid) {
            let name = container.name.as_ref();
            let Some(role) = name.and_then(|name| pod.roles.get(name)) else {
                continue;
            };
            if let Err(error) = container.expect(id, role.workload, engine, now) {
                tracing::error!(container = %id, error = chain(&error), "not labelled");
                container.trouble = Some(Trouble::from(&error));
                containers = Err(Refused);
            }
        }
        roles.and(whole).and(containers)
    }

    /// Takes everything of a pod out of the kernel.
    fn release(&mut self, uid: PodUid, engine: &mut impl Enforce) -> Result<(), Refused> {
        let Some(pod) = self.by_uid.get_mut(&uid) else {
            return Ok(());
        };
        // What was expected under a workload is forgotten with it.
        let whole = pod.whole.take().map(|(role, _)| role);
        let roles = std::mem::take(&mut pod.roles).into_values();
        let mut result = Ok(());
        for role in roles.chain(whole) {
            if let Err(error) = engine.remove(role.workload) {
                tracing::error!(pod = %uid, error = chain(&error), "not taken out of the kernel");
                result = Err(Refused);
            }
        }
        for (_, container) in self.containers.of_mut(uid) {
            container.release();
        }
        if !self.uids.values().any(|known| *known == uid) {
            self.by_uid.remove(&uid);
        }
        result
    }
}

/// The engine refused something, which has been said.
struct Refused;

/// A workload for each container whose rules are known.
fn settle_roles(
    pod: &mut Pod,
    uid: PodUid,
    rule_maps: &mut RuleMaps,
    engine: &mut impl Enforce,
) -> Result<(), Refused> {
    let mut result = Ok(());
    for plan in pod.plan.clone() {
        let rules = match &plan.rule_map {
            None => Rc::new(RuleMap::default()),
            Some(name) => match rule_maps.get(name) {
                Some(rules) => rules,
                None => continue,
            },
        };
        let outcome = match pod.roles.get_mut(&plan.name) {
            Some(role) if role.rule_map == plan.rule_map => Ok(()),
            Some(role) => replace(engine, role, rules, plan.rule_map.clone()),
            None => {
                let identity = pod.identity(uid, Some(&plan));
                add(engine, identity, rules, plan.rule_map.clone())
                    .map(|role| pod.roles.insert(plan.name.clone(), role))
                    .map(|_| ())
            }
        };
        if let Err(error) = outcome {
            tracing::error!(pod = %pod.key, container = plan.name, error = chain(&error), "rules not loaded");
            pod.troubles
                .insert(plan.name.clone(), Trouble::from(&error));
            result = Err(Refused);
        }
    }
    result
}

/// The workload of containers without a name, with the strictest of the pod's rules.
fn settle_whole(pod: &mut Pod, uid: PodUid, engine: &mut impl Enforce) -> Result<(), Refused> {
    let names: BTreeSet<_> = pod
        .roles
        .values()
        .map(|role| role.rule_map.clone())
        .collect();
    if names.iter().all(Option::is_none) || pod.whole.as_ref().is_some_and(|(_, of)| *of == names) {
        return Ok(());
    }
    let maps: Vec<&RuleMap> = pod.roles.values().map(|role| &*role.rules).collect();
    let rules = match strictest(&maps) {
        Ok(rules) => Rc::new(rules),
        Err(error) => {
            // Containers get their own rules as soon as they have a name.
            tracing::error!(pod = %pod.key, %error, "the pod's rules make no common one");
            return Ok(());
        }
    };
    let outcome = if let Some((role, of)) = &mut pod.whole {
        replace(engine, role, rules, None).map(|()| *of = names)
    } else {
        let identity = pod.identity(uid, None);
        add(engine, identity, rules, None).and_then(|role| {
            let workload = role.workload;
            pod.whole = Some((role, names));
            engine.expect_pod(uid, workload)
        })
    };
    outcome.map_err(|error| {
        tracing::error!(pod = %pod.key, error = chain(&error), "the pod's common rules not loaded");
        Refused
    })
}

fn add(
    engine: &mut impl Enforce,
    identity: Identity,
    rules: Rc<RuleMap>,
    rule_map: Option<String>,
) -> Result<Role, EngineError> {
    let workload = engine.add_rules(identity, &rules)?;
    Ok(Role {
        workload,
        rules,
        rule_map,
        since: this_second(),
    })
}

fn replace(
    engine: &mut impl Enforce,
    role: &mut Role,
    rules: Rc<RuleMap>,
    rule_map: Option<String>,
) -> Result<(), EngineError> {
    engine.replace_rules(&[(role.workload, Rc::clone(&rules))])?;
    (role.rules, role.rule_map, role.since) = (rules, rule_map, this_second());
    Ok(())
}

/// Now, as precisely as the API keeps it.
fn this_second() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
