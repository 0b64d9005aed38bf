//! What a predecessor has in force, until it is claimed or ended.
//!
//! ```text
//!   inherit ─► its numbers stay taken, labels and expectations in force
//!     ├─ add_rules of the same owner: the workload gets that number
//!     ├─ the same table:              is not loaded again
//!     └─ retire_predecessors:         what nobody has claimed ends
//! ```
//!
//! A workload that is claimed is bound again in one swap, with the mounts of its container
//! as they are now: the predecessor's are known to the kernel alone, as numbers.

use std::collections::BTreeMap;

use bartizan_abi::handover::{self, CONTAINER_NAME_BYTES, ContainerName, TableDigest};
use bartizan_policy::published;
use bartizan_policy::rule_map::RuleMap;
use sha2::{Digest as _, Sha256};

use super::{Engine, EngineError, Identity, Maps, WorkloadId};
use crate::bpf::Removed;
use crate::kubepods::{ContainerId, PodUid};
use crate::mounts::{self, MountTable};

/// Whose a workload is, for a successor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The pod.
    pub pod: PodUid,
    /// The container in it; `None`: all of the pod's containers without a name.
    pub container: Option<String>,
}

impl Owner {
    /// `None` of a name that is too long to be a container's.
    pub(super) fn to_kernel(&self) -> Option<handover::Owner> {
        let name = self.container.as_deref().unwrap_or_default().as_bytes();
        let mut container = [0; CONTAINER_NAME_BYTES];
        container.get_mut(..name.len())?.copy_from_slice(name);
        Some(handover::Owner {
            map: 0,
            pod: *self.pod.key(),
            container,
        })
    }

    /// `None` of nobody's.
    fn from_kernel(owner: &handover::Owner) -> Option<Self> {
        owner.is_somebody().then(|| Self {
            pod: PodUid::from_key(owner.pod),
            container: name(&owner.container),
        })
    }
}

fn name(container: &ContainerName) -> Option<String> {
    let end = container.iter().position(|byte| *byte == 0);
    let name = &container[..end.unwrap_or(container.len())];
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// What predecessors have in force, of this version and of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Who has rules.
    pub owners: Vec<Owner>,
    /// Containers that have rules of their own.
    pub containers: Vec<(ContainerId, Owner)>,
    /// Whether that is all: false after a version that can't be understood.
    pub is_complete: bool,
}

impl<M: Maps> Engine<M> {
    /// Takes over what a predecessor has in force; `None` if there was none. Call it first
    /// of all, and [`Engine::retire_predecessors`] when at least as much is in force by this
    /// engine's own workloads.
    pub fn inherit(&mut self) -> Result<Option<Inherited>, EngineError> {
        let failed = EngineError::Maps;
        let owners = self.maps.owners().map_err(failed)?.into_iter();
        self.inherited = owners
            .map(|(number, owner)| (number, Owner::from_kernel(&owner)))
            .collect();
        // A cgroup that was made just when its parent lost its label: without rules
        // everything would be denied there.
        for (cgroup, number) in self.maps.labels().map_err(failed)? {
            if !self.inherited.contains_key(&number) {
                self.maps.unlabel(cgroup).map_err(failed)?;
            }
        }
        for (pod, number) in self.maps.expected_pods().map_err(failed)? {
            let uid = PodUid::from_key(pod);
            self.pods.uids.insert(uid, WorkloadId(number));
        }
        for (id, number) in self.maps.expected_containers().map_err(failed)? {
            if let Some(id) = ContainerId::from_key(id) {
                self.pods.ids.insert(id, WorkloadId(number));
            }
        }
        let owner_of = |id: &WorkloadId| self.inherited.get(&id.0).cloned().flatten();
        let ids = self.pods.ids.iter();
        let mut inherited = Inherited {
            owners: self.inherited.values().flatten().cloned().collect(),
            containers: ids
                .filter_map(|(container, id)| Some((*container, owner_of(id)?)))
                .collect(),
            is_complete: true,
        };
        let others = self.maps.predecessors().map_err(failed)?;
        let has_any = !self.inherited.is_empty() || !others.is_empty();
        for other in others {
            let Some(other) = other else {
                inherited.is_complete = false;
                continue;
            };
            let owners = other.owners.iter().filter_map(Owner::from_kernel);
            inherited.owners.extend(owners);
            let named = other.containers.iter().filter_map(|(id, owner)| {
                Some((ContainerId::from_key(*id)?, Owner::from_kernel(owner)?))
            });
            inherited.containers.extend(named);
            let seen = other.seen.into_iter();
            let seen = seen.map(|(cgroup, container, armed)| (cgroup, (container, armed)));
            self.pods.seen.extend(seen);
        }
        Ok(has_any.then_some(inherited))
    }

    /// Ends what predecessors have in force and nobody has claimed, and forgets expected
    /// containers that neither exist nor are known to `is_known`. What of other versions
    /// was removed.
    pub fn retire_predecessors(
        &mut self,
        is_known: impl Fn(&ContainerId) -> bool,
    ) -> Result<Removed, EngineError> {
        let left: Vec<_> = self.inherited.keys().copied().map(WorkloadId).collect();
        for id in &left {
            self.forget_all_of(*id)?;
        }
        let seen = self.maps.containers().map_err(EngineError::Maps)?;
        let exists = |id: &ContainerId| seen.iter().any(|(_, seen)| seen.id == *id.key());
        let ids = self.pods.ids.keys().copied();
        for id in ids.collect::<Vec<_>>() {
            if !exists(&id) && !is_known(&id) {
                self.forget_container(id)?;
            }
        }
        // First those that have other rules now.
        self.label_late(|_| true)?;
        for id in left {
            self.unlabel(id)?;
            self.maps.unbind(id.0).map_err(EngineError::Maps)?;
            self.inherited.remove(&id.0);
        }
        let removed = self.maps.retire_predecessors().map_err(EngineError::Maps)?;
        let counters = self.maps.counters().map_err(EngineError::Maps)?;
        let keys = counters.into_iter().map(|(key, _)| key);
        let nameless: Vec<_> = keys.filter(|key| !self.has_names(*key)).collect();
        self.maps
            .remove_counters(&nameless)
            .map_err(EngineError::Maps)?;
        Ok(removed)
    }

    /// The number under which a predecessor has the rules of such a workload, with the
    /// mounts of its container.
    pub(super) fn claim(
        &self,
        identity: &Identity,
    ) -> Result<Option<(u32, MountTable)>, EngineError> {
        let Some(owner) = &identity.owner else {
            return Ok(None);
        };
        let mut inherited = self.inherited.iter();
        let found = inherited.find(|(_, other)| other.as_ref() == Some(owner));
        let Some((number, _)) = found else {
            return Ok(None);
        };
        let mut mounts = MountTable::provisional();
        if owner.container.is_some() {
            mounts = self.mounts_of(WorkloadId(*number))?.unwrap_or(mounts);
        }
        Ok(Some((*number, mounts)))
    }

    /// The mounts of the container that a workload has, if it has a process.
    fn mounts_of(&self, id: WorkloadId) -> Result<Option<MountTable>, EngineError> {
        let mut found = self.containers()?;
        found.retain(|found| found.workload == Some(id) && !found.is_sandbox);
        // The one made last, if it is starting again.
        found.sort_by_key(|found| found.cgroup);
        let cgroup = found
            .last()
            .and_then(|found| self.cgroup_of(found.pod, found.cgroup));
        let Some(pid) = cgroup.and_then(|cgroup| cgroup.processes().first().copied()) else {
            return Ok(None);
        };
        match mounts::of_process(pid).and_then(|mounts| MountTable::new(&mounts)) {
            Ok(table) => Ok(Some(table)),
            Err(error) => {
                tracing::error!(pid, error = crate::agent::chain(&error), "mounts not read");
                Ok(None)
            }
        }
    }
}

/// Numbers that are a predecessor's, with their owners.
pub(super) type Numbers = BTreeMap<u32, Option<Owner>>;

/// Of all that a table's number stands for: its bytes, and the names of its rules.
pub(super) fn digest(rules: &RuleMap, bytes: &[u8]) -> TableDigest {
    let mut digest = Sha256::new();
    digest.update(published::name(&published::publish(rules)));
    digest.update(bytes);
    digest.finalize().into()
}
