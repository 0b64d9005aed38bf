//! What the engine needs of the kernel.

use bartizan_abi::containers::{Armed, ContainerCgroup, ContainerKey, Expected, PodKey};
use bartizan_abi::handover::Owner;
use bartizan_abi::maps::{Binding, CounterKey, STATS};
use bartizan_abi::op::Ops;

use crate::bpf::{Kernel, LoadError, MapError, NewTable, Predecessor, Removed};

/// The kernel's maps as the engine uses them; [`Kernel`] has the descriptions.
#[expect(
    missing_docs,
    reason = "each is the method of Kernel, or of its maps of pods, by the same name"
)]
pub trait Maps {
    fn require(&mut self, ops: Ops) -> Result<(), LoadError>;
    fn add_tables(&mut self, tables: &[NewTable<'_>]) -> Result<Vec<u32>, MapError>;
    fn remove_table(&mut self, table: u32) -> Result<(), MapError>;
    fn bind(&mut self, binding: &Binding) -> Result<(), MapError>;
    fn unbind(&mut self, workload: u32) -> Result<(), MapError>;
    fn own(&mut self, workload: u32, owner: Owner) -> Result<(), MapError>;
    fn owners(&self) -> Result<Vec<(u32, Owner)>, MapError>;
    fn predecessors(&self) -> Result<Vec<Option<Predecessor>>, MapError>;
    fn retire_predecessors(&mut self) -> Result<Removed, MapError>;
    fn label(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError>;
    fn unlabel(&mut self, cgroup: u64) -> Result<(), MapError>;
    fn labels(&self) -> Result<Vec<(u64, u32)>, MapError>;
    fn label_of(&self, cgroup: u64) -> Result<Option<u32>, MapError>;
    fn add_kube_parent(&mut self, cgroup: u64) -> Result<(), MapError>;
    fn expect_pod(&mut self, pod: &PodKey, workload: u32) -> Result<(), MapError>;
    fn forget_pod(&mut self, pod: &PodKey) -> Result<(), MapError>;
    fn expect_container(&mut self, id: &ContainerKey, under: Expected) -> Result<(), MapError>;
    fn forget_container(&mut self, id: &ContainerKey) -> Result<(), MapError>;
    fn expected_pods(&self) -> Result<Vec<(PodKey, u32)>, MapError>;
    fn expected_containers(&self) -> Result<Vec<(ContainerKey, u32)>, MapError>;
    fn containers(&self) -> Result<Vec<(u64, ContainerCgroup)>, MapError>;
    fn add_container(&mut self, cgroup: u64, container: &ContainerCgroup) -> Result<(), MapError>;
    fn has_container(&self, cgroup: u64) -> Result<bool, MapError>;
    fn remove_container(&mut self, cgroup: u64) -> Result<(), MapError>;
    fn armed(&self, cgroup: u64) -> Result<Option<Armed>, MapError>;
    fn set_armed(&mut self, cgroup: u64, armed: Armed) -> Result<(), MapError>;
    fn counters(&self) -> Result<Vec<(CounterKey, u64)>, MapError>;
    fn remove_counters(&mut self, keys: &[CounterKey]) -> Result<(), MapError>;
    fn stats(&self) -> Result<[u64; STATS as usize], MapError>;
}

impl Maps for Kernel {
    fn require(&mut self, ops: Ops) -> Result<(), LoadError> {
        Self::require(self, ops)
    }

    fn add_tables(&mut self, tables: &[NewTable<'_>]) -> Result<Vec<u32>, MapError> {
        Self::add_tables(self, tables)
    }

    fn remove_table(&mut self, table: u32) -> Result<(), MapError> {
        Self::remove_table(self, table)
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), MapError> {
        Self::bind(self, binding)
    }

    fn unbind(&mut self, workload: u32) -> Result<(), MapError> {
        Self::unbind(self, workload)
    }

    fn own(&mut self, workload: u32, owner: Owner) -> Result<(), MapError> {
        Self::own(self, workload, owner)
    }

    fn owners(&self) -> Result<Vec<(u32, Owner)>, MapError> {
        Self::owners(self)
    }

    fn predecessors(&self) -> Result<Vec<Option<Predecessor>>, MapError> {
        Self::predecessors(self)
    }

    fn retire_predecessors(&mut self) -> Result<Removed, MapError> {
        Self::retire_predecessors(self)
    }

    fn label(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError> {
        Self::label(self, cgroup, workload)
    }

    fn unlabel(&mut self, cgroup: u64) -> Result<(), MapError> {
        Self::unlabel(self, cgroup)
    }

    fn labels(&self) -> Result<Vec<(u64, u32)>, MapError> {
        Self::labels(self)
    }

    fn label_of(&self, cgroup: u64) -> Result<Option<u32>, MapError> {
        Self::label_of(self, cgroup)
    }

    fn add_kube_parent(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.pods.add_parent(cgroup)
    }

    fn expect_pod(&mut self, pod: &PodKey, workload: u32) -> Result<(), MapError> {
        self.pods.expect_pod(pod, workload)
    }

    fn forget_pod(&mut self, pod: &PodKey) -> Result<(), MapError> {
        self.pods.forget_pod(pod)
    }

    fn expect_container(&mut self, id: &ContainerKey, under: Expected) -> Result<(), MapError> {
        self.pods.expect_container(id, under)
    }

    fn forget_container(&mut self, id: &ContainerKey) -> Result<(), MapError> {
        self.pods.forget_container(id)
    }

    fn expected_pods(&self) -> Result<Vec<(PodKey, u32)>, MapError> {
        self.pods.expected_pods()
    }

    fn expected_containers(&self) -> Result<Vec<(ContainerKey, u32)>, MapError> {
        self.pods.expected_containers()
    }

    fn containers(&self) -> Result<Vec<(u64, ContainerCgroup)>, MapError> {
        self.pods.containers()
    }

    fn add_container(&mut self, cgroup: u64, container: &ContainerCgroup) -> Result<(), MapError> {
        self.pods.add_container(cgroup, container)
    }

    fn has_container(&self, cgroup: u64) -> Result<bool, MapError> {
        self.pods.has_container(cgroup)
    }

    fn remove_container(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.pods.remove_container(cgroup)
    }

    fn armed(&self, cgroup: u64) -> Result<Option<Armed>, MapError> {
        self.pods.armed(cgroup)
    }

    fn set_armed(&mut self, cgroup: u64, armed: Armed) -> Result<(), MapError> {
        self.pods.set_armed(cgroup, armed)
    }

    fn counters(&self) -> Result<Vec<(CounterKey, u64)>, MapError> {
        Self::counters(self)
    }

    fn remove_counters(&mut self, keys: &[CounterKey]) -> Result<(), MapError> {
        Self::remove_counters(self, keys)
    }

    fn stats(&self) -> Result<[u64; STATS as usize], MapError> {
        Self::stats(self)
    }
}
