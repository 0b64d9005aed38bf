//! Maps about the containers of pods: [`bartizan_abi::containers`] says what is in them.

use aya::maps::{HashMap, MapData, MapError as AyaError};
use bartizan_abi::containers::{Armed, ContainerCgroup, ContainerKey, Expected, PodKey, SANDBOX};
use bartizan_abi::limits::{MAX_CONTAINERS, MAX_KUBE_PARENTS, MAX_PODS};

use super::error::{self, LoadError, MapError, errno, failed};
use super::programs::Programs;
use super::values::{KernelArmed, KernelContainer, KernelExpected};

/// `BPF_NOEXIST`: what the kernel has put there stays.
const NOEXIST: u64 = 1;

/// `CTR_IDS`, of this version or another.
pub(super) type Ids = HashMap<MapData, ContainerKey, KernelExpected>;
/// `CONTAINERS`, likewise.
pub(super) type Containers = HashMap<MapData, u64, KernelContainer>;
/// `ARMED`, likewise.
pub(super) type ArmedTimes = HashMap<MapData, u64, KernelArmed>;

pub(crate) struct Pods {
    parents: HashMap<MapData, u64, u32>,
    uids: HashMap<MapData, PodKey, u32>,
    ids: Ids,
    containers: Containers,
    armed: ArmedTimes,
    sandboxes: HashMap<MapData, PodKey, u64>,
}

impl Pods {
    pub(super) fn new(programs: &mut Programs) -> Result<Self, LoadError> {
        Ok(Self {
            parents: super::typed(programs, "KUBE_PARENTS")?,
            uids: super::typed(programs, "POD_UIDS")?,
            ids: super::typed(programs, "CTR_IDS")?,
            containers: super::typed(programs, "CONTAINERS")?,
            armed: super::typed(programs, "ARMED")?,
            sandboxes: super::typed(programs, "SANDBOXES")?,
        })
    }

    /// Makes the kernel look at the names of cgroups two levels below this one.
    pub(crate) fn add_parent(&mut self, cgroup: u64) -> Result<(), MapError> {
        let result = self.parents.insert(cgroup, 1, 0);
        inserted(result, "cgroup of a kubelet", MAX_KUBE_PARENTS)
    }

    /// Makes the kernel label containers of a pod as their cgroups are made.
    pub(crate) fn expect_pod(&mut self, pod: &PodKey, workload: u32) -> Result<(), MapError> {
        let result = self.uids.insert(pod, workload, 0);
        inserted(result, "pod", MAX_PODS)
    }

    pub(crate) fn forget_pod(&mut self, pod: &PodKey) -> Result<(), MapError> {
        removed(self.uids.remove(pod))
    }

    /// Makes the kernel label a container as its cgroup is made.
    pub(crate) fn expect_container(
        &mut self,
        id: &ContainerKey,
        expected: Expected,
    ) -> Result<(), MapError> {
        let result = self.ids.insert(id, KernelExpected(expected), 0);
        inserted(result, "expected container", MAX_CONTAINERS)
    }

    pub(crate) fn forget_container(&mut self, id: &ContainerKey) -> Result<(), MapError> {
        removed(self.ids.remove(id))
    }

    /// Pods that are expected, by what they are expected under.
    pub(crate) fn expected_pods(&self) -> Result<Vec<(PodKey, u32)>, MapError> {
        let expected = self.uids.iter().collect::<Result<_, _>>();
        expected.map_err(failed("reading the expected pods"))
    }

    /// Containers that are expected, by what they are expected under.
    pub(crate) fn expected_containers(&self) -> Result<Vec<(ContainerKey, u32)>, MapError> {
        let entries = self.ids.iter();
        entries
            .map(|entry| entry.map(|(id, expected)| (id, expected.0.workload)))
            .collect::<Result<_, _>>()
            .map_err(failed("reading the expected containers"))
    }

    /// All containers that exist, by their cgroups.
    pub(crate) fn containers(&self) -> Result<Vec<(u64, ContainerCgroup)>, MapError> {
        let entries = self.containers.iter();
        entries
            .map(|entry| entry.map(|(cgroup, container)| (cgroup, container.0)))
            .collect::<Result<_, _>>()
            .map_err(failed("reading the containers"))
    }

    /// Adds a container that was there before; one that the kernel has seen stays.
    pub(crate) fn add_container(
        &mut self,
        cgroup: u64,
        container: &ContainerCgroup,
    ) -> Result<(), MapError> {
        let result = self
            .containers
            .insert(cgroup, KernelContainer(*container), NOEXIST);
        inserted(result, "container", MAX_CONTAINERS)?;
        if container.flags & SANDBOX == 0 {
            return Ok(());
        }
        // Or the pod's next container would be taken for the sandbox.
        let result = self.sandboxes.insert(container.pod, cgroup, NOEXIST);
        inserted(result, "sandbox", MAX_CONTAINERS)
    }

    /// Whether a container's cgroup exists.
    pub(crate) fn has_container(&self, cgroup: u64) -> Result<bool, MapError> {
        match self.containers.get(&cgroup, 0) {
            Ok(_) => Ok(true),
            Err(AyaError::KeyNotFound) => Ok(false),
            Err(error) => Err(failed("looking for a container")(error)),
        }
    }

    /// Forgets a container that went while it was added.
    pub(crate) fn remove_container(&mut self, cgroup: u64) -> Result<(), MapError> {
        removed(self.armed.remove(&cgroup))?;
        removed(self.containers.remove(&cgroup))
    }

    /// When a container's cgroup was armed.
    pub(crate) fn armed(&self, cgroup: u64) -> Result<Option<Armed>, MapError> {
        match self.armed.get(&cgroup, 0) {
            Ok(armed) => Ok(Some(armed.0)),
            Err(AyaError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("reading when a container was armed")(error)),
        }
    }

    /// Remembers when a container was armed; the first time counts.
    pub(crate) fn set_armed(&mut self, cgroup: u64, armed: Armed) -> Result<(), MapError> {
        let result = self.armed.insert(cgroup, KernelArmed(armed), NOEXIST);
        inserted(result, "container", MAX_CONTAINERS)
    }
}

fn inserted(result: Result<(), AyaError>, what: &'static str, limit: u32) -> Result<(), MapError> {
    match result {
        Err(error) if errno(&error) == Some(libc::E2BIG) => Err(MapError::Full { what, limit }),
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
        result => result.map_err(failed("telling the kernel of a pod")),
    }
}

fn removed(result: Result<(), AyaError>) -> Result<(), MapError> {
    error::removed(result, "making the kernel forget a pod")
}
