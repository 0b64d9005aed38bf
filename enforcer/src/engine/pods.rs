//! Containers of pods: labelled as soon as anybody knows whose they are.
//!
//! ```text
//!   expect_pod(uid), expect_container(id)
//!     ├─ before its cgroup is made: the kernel labels it as it is made
//!     └─ after: found among the containers that the kernel has seen, labelled by id
//! ```
//!
//! An expectation is added first and then looked through what is there; the kernel adds a
//! new cgroup first and then looks for expectations. So none is missed.
//!
//! A container whose id is expected has its own rules, any other those of its pod: give a
//! pod the strictest of its containers'. The pod's sandbox has the pod's label as well, but
//! its entry point isn't judged.

use std::collections::BTreeMap;
use std::time::Duration;

use bartizan_abi::containers::{
    ARMED_BY_CRI, ARMED_BY_NRI, ARMED_BY_POD, ARMED_LATE, Armed, CONTAINER_ID_BYTES,
    ContainerCgroup, Expected, SANDBOX, UNKNOWN_TIME,
};

use super::{Engine, EngineError, Maps, Moment, WorkloadId};
use crate::cgroup::{Cgroup, CgroupId, Hierarchy};
use crate::kubepods::{self, ContainerId, PodUid};

/// What is expected, and where.
#[derive(Default)]
pub(super) struct Pods {
    kubelets: Vec<Cgroup>,
    pub(super) uids: BTreeMap<PodUid, WorkloadId>,
    pub(super) ids: BTreeMap<ContainerId, WorkloadId>,
    /// What predecessors of other versions knew, by cgroup.
    pub(super) seen: BTreeMap<u64, (ContainerCgroup, Option<Armed>)>,
}

impl Pods {
    /// Whose a container is.
    fn workload_of(&self, container: &ContainerCgroup) -> Option<WorkloadId> {
        let exact = ContainerId::from_key(container.id).and_then(|id| self.ids.get(&id).copied());
        exact.or_else(|| self.uids.get(&PodUid::from_key(container.pod)).copied())
    }
}

/// How a container got its first label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its id was expected as its cgroup was made: NRI announced it.
    Nri,
    /// Its id was expected as its cgroup was made: CRI listed it before.
    Cri,
    /// Its pod was expected as its cgroup was made.
    Mkdir,
    /// After its cgroup was made.
    Late,
}

impl How {
    fn to_kernel(self) -> u32 {
        match self {
            Self::Nri => ARMED_BY_NRI,
            Self::Cri => ARMED_BY_CRI,
            Self::Mkdir => ARMED_BY_POD,
            Self::Late => ARMED_LATE,
        }
    }

    fn from_kernel(how: u32) -> Self {
        match how {
            ARMED_BY_NRI => Self::Nri,
            ARMED_BY_CRI => Self::Cri,
            ARMED_BY_POD => Self::Mkdir,
            _ => Self::Late,
        }
    }
}

/// When a container was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arming {
    /// How.
    pub how: How,
    /// When, `CLOCK_MONOTONIC`, ns.
    pub armed: u64,
    /// When container code ran in it for the first time (the exec of its entry point);
    /// `None` if none has yet.
    pub first_exec: Option<FirstExec>,
}

/// When container code ran for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstExec {
    /// `CLOCK_MONOTONIC`, ns.
    At(u64),
    /// Perhaps before the kernel programs were there.
    Unknown,
}

impl Arming {
    /// How long container code ran without rules: zero if it was armed in time, `None` if
    /// nobody knows.
    pub fn unprotected(&self) -> Option<Duration> {
        match self.first_exec {
            None => Some(Duration::ZERO),
            Some(FirstExec::At(first)) => {
                Some(Duration::from_nanos(self.armed.saturating_sub(first)))
            }
            Some(FirstExec::Unknown) => None,
        }
    }
}

/// A container's cgroup that the kernel has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Its pod.
    pub pod: PodUid,
    /// Its id, if the cgroup's name has one.
    pub id: Option<ContainerId>,
    /// Whether it is the pod's sandbox.
    pub is_sandbox: bool,
    /// Whose rules it has; `None`: it is not managed.
    pub workload: Option<WorkloadId>,
    /// When it was armed, if it was.
    pub arming: Option<Arming>,
}

impl<M: Maps> Engine<M> {
    /// Looks for kubelets' cgroups and for containers that were there before the kernel
    /// watched; the number of cgroups in which kubelets make pods. Call it before pods and
    /// containers are expected, and again while there are none or a kubelet is new.
    pub fn find_kubelets(&mut self, hierarchy: &Hierarchy) -> Result<usize, EngineError> {
        let labels = self.maps.labels().map_err(EngineError::Maps)?;
        let labelled = |cgroup: &Cgroup| labels.iter().any(|(id, _)| *id == cgroup.id().0);
        let kubelets = kubepods::find(hierarchy, |cgroup| !labelled(cgroup));
        // First all parents: the kernel sees what is made from then on.
        for cgroup in &kubelets {
            self.maps
                .add_kube_parent(cgroup.id().0)
                .map_err(EngineError::Maps)?;
        }
        for (pod, cgroup) in kubelets.iter().flat_map(kubepods::pods) {
            for (at, (id, cgroup)) in kubepods::containers(&cgroup).into_iter().enumerate() {
                let container = ContainerCgroup {
                    made: 0,
                    first_exec: UNKNOWN_TIME,
                    pod: *pod.key(),
                    flags: if at == 0 { SANDBOX } else { 0 },
                    id: id.map_or([0; CONTAINER_ID_BYTES], |id| *id.key()),
                };
                let number = cgroup.id().0;
                let seen = self.pods.seen.remove(&number);
                let (container, armed) = seen.unwrap_or((container, None));
                self.maps
                    .add_container(number, &container)
                    .map_err(EngineError::Maps)?;
                if let Some(armed) = armed {
                    self.maps
                        .set_armed(number, armed)
                        .map_err(EngineError::Maps)?;
                }
                // The kernel forgets those that are removed from now on.
                if !cgroup.exists() {
                    self.maps
                        .remove_container(number)
                        .map_err(EngineError::Maps)?;
                }
            }
        }
        self.pods.kubelets = kubelets;
        Ok(self.pods.kubelets.len())
    }

    /// Puts the containers of a pod under a workload's rules, those that are there and
    /// those that come.
    pub fn expect_pod(&mut self, uid: PodUid, id: WorkloadId) -> Result<(), EngineError> {
        self.maps
            .expect_pod(uid.key(), id.0)
            .map_err(EngineError::Maps)?;
        self.pods.uids.insert(uid, id);
        self.label_late(|container| container.pod == *uid.key())
    }

    /// Expects no more containers of a pod. Those that are there stay labelled until
    /// [`Engine::remove`].
    pub fn forget_pod(&mut self, uid: PodUid) -> Result<(), EngineError> {
        self.pods.uids.remove(&uid);
        self.maps.forget_pod(uid.key()).map_err(EngineError::Maps)
    }

    /// Puts a container under a workload's rules instead of its pod's, whether it is there
    /// or comes. `how` is how one that comes counts as armed.
    pub fn expect_container(
        &mut self,
        container: ContainerId,
        id: WorkloadId,
        how: How,
    ) -> Result<(), EngineError> {
        let expected = Expected {
            workload: id.0,
            how: how.to_kernel(),
        };
        self.maps
            .expect_container(container.key(), expected)
            .map_err(EngineError::Maps)?;
        self.pods.ids.insert(container, id);
        self.label_late(|other| other.id == *container.key())
    }

    /// Expects a container no more. If it is there, it stays labelled until
    /// [`Engine::remove`].
    pub fn forget_container(&mut self, container: ContainerId) -> Result<(), EngineError> {
        self.pods.ids.remove(&container);
        self.maps
            .forget_container(container.key())
            .map_err(EngineError::Maps)
    }

    pub(super) fn forget_all_of(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        let pods = self.pods.uids.iter().filter(|(_, of)| **of == id);
        for uid in pods.map(|(uid, _)| *uid).collect::<Vec<_>>() {
            self.forget_pod(uid)?;
        }
        let containers = self.pods.ids.iter().filter(|(_, of)| **of == id);
        for container in containers.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget_container(container)?;
        }
        Ok(())
    }

    /// How the workload's container was armed: the one made last, if there are several, and
    /// not the sandbox. `None` if there is none yet.
    pub fn arming(&self, id: WorkloadId) -> Result<Option<Arming>, EngineError> {
        let mut found = self.containers()?;
        found.retain(|found| found.workload == Some(id) && !found.is_sandbox);
        let last = found.iter().max_by_key(|found| found.cgroup);
        Ok(last.and_then(|found| found.arming))
    }

    /// All containers of pods that the kernel has seen, sandboxes included.
    pub fn containers(&self) -> Result<Vec<Found>, EngineError> {
        let seen = self.maps.containers().map_err(EngineError::Maps)?;
        seen.iter()
            .map(|(cgroup, container)| self.found(*cgroup, container))
            .collect()
    }

    fn found(&self, cgroup: u64, container: &ContainerCgroup) -> Result<Found, EngineError> {
        let label = self.maps.label_of(cgroup).map_err(EngineError::Maps)?;
        let armed = self.maps.armed(cgroup).map_err(EngineError::Maps)?;
        let id = ContainerId::from_key(container.id);
        let expected = id.is_some_and(|id| self.pods.ids.contains_key(&id));
        Ok(Found {
            cgroup: CgroupId(cgroup),
            pod: PodUid::from_key(container.pod),
            id,
            is_sandbox: container.flags & SANDBOX != 0 && !expected,
            workload: label.map(WorkloadId),
            arming: armed.map(|armed| Arming {
                how: How::from_kernel(armed.how),
                armed: armed.time,
                first_exec: match container.first_exec {
                    0 => None,
                    UNKNOWN_TIME => Some(FirstExec::Unknown),
                    time => Some(FirstExec::At(time)),
                },
            }),
        })
    }

    /// Labels containers that are there and have no label, or another's.
    pub(super) fn label_late(
        &mut self,
        concerned: impl Fn(&ContainerCgroup) -> bool,
    ) -> Result<(), EngineError> {
        let seen = self.maps.containers().map_err(EngineError::Maps)?;
        for (number, container) in seen.iter().filter(|(_, container)| concerned(container)) {
            let Some(id) = self.pods.workload_of(container) else {
                continue;
            };
            let before = self.maps.label_of(*number).map_err(EngineError::Maps)?;
            if before != Some(id.0) {
                self.relabel(id, *number, container)?;
            }
            if before.is_none() {
                let armed = Armed {
                    time: Moment::now().monotonic,
                    how: How::Late.to_kernel(),
                    pad: 0,
                };
                self.maps
                    .set_armed(*number, armed)
                    .map_err(EngineError::Maps)?;
            }
            // The kernel forgets the labels of those that are removed from now on.
            if !self
                .maps
                .has_container(*number)
                .map_err(EngineError::Maps)?
            {
                self.maps.unlabel(*number).map_err(EngineError::Maps)?;
                self.maps
                    .remove_container(*number)
                    .map_err(EngineError::Maps)?;
            }
        }
        Ok(())
    }

    /// Puts a container's cgroup and those below it under a workload's rules.
    fn relabel(
        &mut self,
        id: WorkloadId,
        number: u64,
        container: &ContainerCgroup,
    ) -> Result<(), EngineError> {
        let cgroup = self.cgroup_of(PodUid::from_key(container.pod), CgroupId(number));
        // Not to be seen yet, so nothing is below it; or it is gone.
        let Some(cgroup) = cgroup else {
            return self.maps.label(number, id.0).map_err(EngineError::Maps);
        };
        // Twice: what was made in between has the old label, or none.
        for _ in 0..2 {
            for cgroup in cgroup.tree() {
                let number = cgroup.id().0;
                if self.maps.label_of(number).map_err(EngineError::Maps)? != Some(id.0) {
                    self.maps.label(number, id.0).map_err(EngineError::Maps)?;
                }
            }
        }
        Ok(())
    }

    /// A container's cgroup, if it can be seen.
    pub(super) fn cgroup_of(&self, pod: PodUid, number: CgroupId) -> Option<Cgroup> {
        let pods = self.pods.kubelets.iter().flat_map(kubepods::pods);
        pods.filter(|(uid, _)| *uid == pod)
            .flat_map(|(_, cgroup)| kubepods::containers(&cgroup))
            .map(|(_, cgroup)| cgroup)
            .find(|cgroup| cgroup.id() == number)
    }

    /// Makes decisions in the workload's containers as fast as they can be: the kernel,
    /// which labelled them, can't fill its cache of labels.
    pub(super) fn cache_labels(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        let seen = self.maps.containers().map_err(EngineError::Maps)?;
        for (number, _) in seen {
            if self.maps.label_of(number).map_err(EngineError::Maps)? == Some(id.0) {
                self.maps.label(number, id.0).map_err(EngineError::Maps)?;
            }
        }
        Ok(())
    }
}
