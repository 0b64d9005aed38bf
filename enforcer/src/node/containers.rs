//! The containers of this node, by their runtime's id.
//!
//! ```text
//!   runtime: creates ID, its name ───────┐
//!   kubelet's cgroups: ID is there ──────┼─► Container ─► expected, mounts taken
//!   kernel: whose label, when, first exec┘
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::enforce::Enforce;
use super::kubelet::Scan;
use super::pods::{Pods, Trouble};
use crate::agent::chain;
use crate::cgroup::Cgroup;
use crate::engine::{Arming, EngineError, FirstExec, Found, How, WorkloadId};
use crate::kubepods::{ContainerId, PodUid};
use crate::mounts::{MountTable, Settle};

/// How often the kernel is asked for a container's first exec until it has been seen.
const LOOK: Duration = Duration::from_millis(500);
/// Between two readings of what the kernel has of all containers.
const COMPARE: Duration = Duration::from_millis(100);

/// What a runtime says of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: ContainerId,
    /// Its pod.
    pub pod: PodUid,
    /// Its name in the pod; `None`: the pod's sandbox.
    pub name: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
    /// How it counts as armed, if its cgroup is yet to be made.
    pub how: How,
}

/// A container that exists, is about to, or has ended.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) pod: PodUid,
    pub(super) name: Option<String>,
    pub(super) is_sandbox: bool,
    pub(super) ended: bool,
    /// How it counts as armed, if its cgroup is yet to be made.
    how: How,
    pub(super) cgroup: Option<Cgroup>,
    /// The workload of its own that it is in, or will be.
    expected: Option<WorkloadId>,
    /// What the kernel has of it.
    found: Option<Found>,
    pub(super) trouble: Option<Trouble>,
    mounts: Settle,
    /// When it is looked at again.
    look: Option<Instant>,
    /// Whether its arming was counted.
    counted: bool,
}

impl Container {
    fn new(pod: PodUid, how: How) -> Self {
        Self {
            pod,
            name: None,
            is_sandbox: false,
            ended: false,
            how,
            cgroup: None,
            expected: None,
            found: None,
            trouble: None,
            mounts: Settle::default(),
            look: None,
            counted: false,
        }
    }

    /// Whose rules the kernel has for it.
    pub(super) fn workload(&self) -> Option<WorkloadId> {
        self.found.and_then(|found| found.workload)
    }

    /// When it was armed.
    pub(super) fn arming(&self) -> Option<Arming> {
        self.found.and_then(|found| found.arming)
    }

    /// Whether it runs, or could, under a name that isn't known.
    pub(super) fn is_nameless(&self) -> bool {
        self.name.is_none() && !self.is_sandbox && self.cgroup.is_some()
    }

    /// Whether it is in that workload, or will be as soon as its cgroup is made.
    pub(super) fn is_expected_in(&self, workload: WorkloadId) -> bool {
        self.expected == Some(workload)
    }

    /// Puts it into its own workload, whether its cgroup is there or not.
    pub(super) fn expect(
        &mut self,
        id: ContainerId,
        workload: WorkloadId,
        engine: &mut impl Enforce,
        now: Instant,
    ) -> Result<(), EngineError> {
        self.trouble = None;
        let is_labelled = self.cgroup.is_none() || self.workload() == Some(workload);
        if self.expected == Some(workload) && is_labelled {
            return Ok(());
        }
        if let Some(cgroup) = &self.cgroup {
            // The mounts first: with a label and a provisional table, files on volumes
            // would have no name for a moment.
            let set = |table| engine.set_mounts(workload, table);
            let look = self.mounts.look(cgroup, now, set);
            self.look = Some(look.unwrap_or(now));
        }
        engine.expect_container(id, workload, self.how)?;
        self.expected = Some(workload);
        Ok(())
    }

    /// Forgets the workload that it was expected in.
    pub(super) fn release(&mut self) -> Option<WorkloadId> {
        self.found = None;
        self.trouble = None;
        self.look = None;
        self.mounts = Settle::default();
        self.expected.take()
    }

    /// Follows its mounts; when to look again.
    fn look(
        &mut self,
        engine: &mut impl Enforce,
        cgroup: &Cgroup,
        now: Instant,
    ) -> Option<Instant> {
        let workload = self.expected?;
        let set = |table| engine.set_mounts(workload, table);
        let mounts = self.mounts.look(cgroup, now, set);
        let knows_first_exec = self
            .arming()
            .is_some_and(|arming| arming.first_exec.is_some());
        let is_done = knows_first_exec && self.mounts == Settle::Settled;
        mounts.or((!is_done).then_some(now + LOOK))
    }
}

/// The containers of this node, found by their ids and by their pods: a pod is looked at
/// while a runtime waits, and shouldn't cost more for the pods beside it.
#[derive(Debug, Default)]
pub(super) struct Containers {
    by_pod: BTreeMap<PodUid, BTreeMap<ContainerId, Container>>,
    pods: BTreeMap<ContainerId, PodUid>,
}

impl Containers {
    /// The container of that id; one that is new is of that pod.
    fn entry(&mut self, id: ContainerId, pod: PodUid, how: How) -> &mut Container {
        let pod = *self.pods.entry(id).or_insert(pod);
        let of_pod = self.by_pod.entry(pod).or_default();
        of_pod.entry(id).or_insert_with(|| Container::new(pod, how))
    }

    pub(super) fn get(&self, id: ContainerId) -> Option<&Container> {
        self.by_pod.get(self.pods.get(&id)?)?.get(&id)
    }

    fn get_mut(&mut self, id: ContainerId) -> Option<&mut Container> {
        self.by_pod.get_mut(self.pods.get(&id)?)?.get_mut(&id)
    }

    fn remove(&mut self, id: ContainerId) -> Option<Container> {
        let pod = self.pods.remove(&id)?;
        let of_pod = self.by_pod.get_mut(&pod)?;
        let container = of_pod.remove(&id);
        if of_pod.is_empty() {
            self.by_pod.remove(&pod);
        }
        container
    }

    fn iter(&self) -> impl Iterator<Item = (ContainerId, &Container)> {
        let all = self.by_pod.values().flatten();
        all.map(|(id, container)| (*id, container))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (ContainerId, &mut Container)> {
        let all = self.by_pod.values_mut().flatten();
        all.map(|(id, container)| (*id, container))
    }

    /// Those of a pod, its sandbox included.
    pub(super) fn of(&self, pod: PodUid) -> impl DoubleEndedIterator<Item = &Container> + Clone {
        let of_pod = self.by_pod.get(&pod).into_iter();
        of_pod.flat_map(BTreeMap::values)
    }

    /// The same with their ids, to be changed.
    pub(super) fn of_mut(
        &mut self,
        pod: PodUid,
    ) -> impl Iterator<Item = (ContainerId, &mut Container)> {
        let of_pod = self.by_pod.get_mut(&pod).into_iter().flatten();
        of_pod.map(|(id, container)| (*id, container))
    }
}

impl Pods {
    /// Takes what a runtime says of a container, before or after its cgroup is there.
    pub fn name(&mut self, named: Named) {
        let container = self.containers.entry(named.id, named.pod, named.how);
        let is_sandbox = named.name.is_none();
        let is_new = container.name != named.name || container.is_sandbox != is_sandbox;
        if !is_new && container.ended == named.ended {
            return;
        }
        (container.name, container.is_sandbox) = (named.name, is_sandbox);
        container.ended = named.ended;
        self.mark(named.pod);
    }

    /// Takes that a container won't come back.
    pub fn removed(&mut self, id: ContainerId, engine: &mut impl Enforce) {
        let Some(mut container) = self.containers.remove(id) else {
            return;
        };
        let was_there = container.cgroup.is_some();
        let workload = container.release();
        if workload.is_some()
            && let Err(error) = engine.forget_container(id)
        {
            tracing::error!(container = %id, error = chain(&error), "not forgotten by the kernel");
        }
        let pod = container.pod;
        self.changed.insert(pod);
        let Some(name) = container.name.filter(|_| was_there) else {
            return;
        };
        let mut others = self.containers.of(pod);
        if others.any(|other| other.name.as_ref() == Some(&name)) {
            return;
        }
        if let Some(workload) = workload
            && let Err(error) = engine.set_mounts(workload, MountTable::provisional())
        {
            tracing::error!(container = %id, error = chain(&error), "mount table not reset");
        }
        if let Some(pod) = self.by_uid.get_mut(&pod) {
            pod.ended.insert(name);
        }
    }

    /// Takes all pods' cgroups.
    pub fn observe(&mut self, scan: &Scan, engine: &mut impl Enforce) {
        let seen: BTreeMap<_, _> = scan
            .containers
            .iter()
            .map(|(uid, id, cgroup)| (*id, (*uid, cgroup)))
            .collect();
        let gone: Vec<_> = self
            .containers
            .iter()
            .filter(|(id, container)| container.cgroup.is_some() && !seen.contains_key(id))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.removed(id, engine);
        }
        for (id, (uid, cgroup)) in seen {
            self.made(uid, id, cgroup);
        }
    }

    /// Takes that a container's cgroup is there.
    pub fn made(&mut self, pod: PodUid, id: ContainerId, cgroup: &Cgroup) {
        let container = self.containers.entry(id, pod, How::Late);
        if container.cgroup.as_ref() == Some(cgroup) {
            return;
        }
        container.cgroup = Some(cgroup.clone());
        container.ended = false;
        if let (Some(name), Some(known)) = (&container.name, self.by_uid.get_mut(&pod)) {
            known.ended.remove(name);
            known.held.remove(name);
        }
        self.mark(pod);
    }

    /// Takes what the kernel has of the containers of pods that are enforced in.
    pub(super) fn compare(&mut self, engine: &impl Enforce) -> Result<(), EngineError> {
        let found: BTreeMap<_, _> = engine
            .containers()?
            .into_iter()
            .filter_map(|found| Some((found.id?, found)))
            .collect();
        for (id, container) in self.containers.iter_mut() {
            let found = found.get(&id).copied();
            if container.cgroup.is_none() || found == container.found {
                continue;
            }
            container.found = found;
            if container.name.is_none() {
                container.is_sandbox |= found.is_some_and(|found| found.is_sandbox);
            }
            self.changed.insert(container.pod);
        }
        Ok(())
    }

    /// Whether a runtime should be asked for names: a pod that is enforced in has a
    /// container without.
    pub fn lacks_names(&self) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|(_, container)| {
            container.is_nameless() && self.by_uid.contains_key(&container.pod)
        })
    }

    /// Follows mounts and first execs of containers; when to look again.
    pub fn look(&mut self, engine: &mut impl Enforce, now: Instant) -> Option<Instant> {
        let is_due = |container: &Container| container.look.is_some_and(|due| due <= now);
        let is_fresh = self.compared.is_some_and(|at| now < at + COMPARE);
        if !is_fresh && self.containers.iter().any(|(_, it)| is_due(it)) {
            self.compared = Some(now);
            if let Err(error) = self.compare(engine) {
                tracing::error!(
                    error = chain(&error),
                    "the kernel's containers can't be read"
                );
            }
        }
        let mut unlabelled = Vec::new();
        for (_, container) in self.containers.iter_mut().filter(|(_, it)| is_due(it)) {
            let cgroup = container.cgroup.clone();
            container.look = cgroup.and_then(|cgroup| container.look(engine, &cgroup, now));
            if let Some(arming) = container.arming()
                && arming.first_exec.is_some()
                && !container.counted
            {
                container.counted = true;
                self.armings.push(arming);
            }
            if container.expected.is_some() && container.workload() != container.expected {
                unlabelled.push(container.pod);
            }
        }
        // The next settling expects them again, which labels what is there.
        for pod in unlabelled {
            self.mark(pod);
        }
        self.containers.iter().filter_map(|(_, it)| it.look).min()
    }

    /// Armings whose first exec became known since the last call.
    pub fn take_armings(&mut self) -> Vec<Arming> {
        std::mem::take(&mut self.armings)
    }

    /// Takes a container's mounts once and for all, at the moment when the runtime has made
    /// them and waits for us before it starts the container.
    pub fn starting(&mut self, id: ContainerId, engine: &mut impl Enforce, now: Instant) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let (Some(workload), Some(cgroup)) = (container.expected, &container.cgroup) else {
            return;
        };
        let set = |table| engine.set_mounts(workload, table);
        container.mounts = Settle::of_existing(cgroup, set);
        container.look = Some(now + LOOK);
    }
}

/// Microseconds from the first exec to the label; `None` while one of them is not known.
pub(super) fn unprotected_micros(arming: &Arming) -> Option<i64> {
    let Some(FirstExec::At(first_exec)) = arming.first_exec else {
        return None;
    };
    let distance = i128::from(arming.armed) - i128::from(first_exec);
    i64::try_from(distance / 1_000).ok()
}

/// Whether its first exec was before the kernel could be asked for it.
pub(super) fn ran_before(arming: &Arming) -> bool {
    arming.first_exec == Some(FirstExec::Unknown)
}
