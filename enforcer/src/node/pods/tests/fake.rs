//! An engine without a kernel.

use super::*;

/// An engine that only remembers, and labels as the real one does.
#[derive(Default)]
pub(super) struct Fake {
    last: u32,
    /// Name of the container, and number of rules, by workload.
    pub(super) workloads: BTreeMap<u32, (Option<String>, usize)>,
    pub(super) pods: BTreeMap<PodUid, WorkloadId>,
    pub(super) ids: BTreeMap<ContainerId, (WorkloadId, How)>,
    /// Cgroups by container, and their labels.
    pub(super) containers: BTreeMap<ContainerId, (CgroupId, Option<WorkloadId>)>,
    pub(super) sandbox: Option<ContainerId>,
    pub(super) arming: Option<Arming>,
    pub(super) is_full: bool,
}

impl Fake {
    fn label(&mut self) {
        let pod = self.pods.values().next().copied();
        for (id, (_, label)) in &mut self.containers {
            let own = self.ids.get(id).map(|(workload, _)| *workload);
            *label = own.or(pod).or(*label);
        }
    }

    /// What the kubelet's cgroups are now.
    pub(super) fn made(&mut self, scan: &Scan) {
        let before = std::mem::take(&mut self.containers);
        for (_, id, cgroup) in &scan.containers {
            let label = before.get(id).and_then(|(_, label)| *label);
            self.containers.insert(*id, (cgroup.id(), label));
        }
        self.label();
    }
}

impl Enforce for Fake {
    fn add_rules(&mut self, of: Identity, rules: &Rc<RuleMap>) -> Result<WorkloadId, EngineError> {
        if self.is_full {
            return Err(EngineError::TooManyWorkloads);
        }
        self.last += 1;
        let workload = (of.workload.container, rules.rules.len());
        self.workloads.insert(self.last, workload);
        Ok(WorkloadId::from_number(self.last))
    }

    fn replace_rules(&mut self, changes: &[(WorkloadId, Rc<RuleMap>)]) -> Result<(), EngineError> {
        for (id, rules) in changes {
            self.workloads.get_mut(&id.number()).unwrap().1 = rules.rules.len();
        }
        Ok(())
    }

    fn remove(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        self.workloads.remove(&id.number()).unwrap();
        self.pods.retain(|_, workload| *workload != id);
        self.ids.retain(|_, (workload, _)| *workload != id);
        for (_, label) in self.containers.values_mut() {
            *label = label.filter(|label| *label != id);
        }
        Ok(())
    }

    fn expect_pod(&mut self, uid: PodUid, id: WorkloadId) -> Result<(), EngineError> {
        self.pods.insert(uid, id);
        self.label();
        Ok(())
    }

    fn expect_container(
        &mut self,
        of: ContainerId,
        id: WorkloadId,
        how: How,
    ) -> Result<(), EngineError> {
        self.ids.insert(of, (id, how));
        self.label();
        Ok(())
    }

    fn forget_container(&mut self, container: ContainerId) -> Result<(), EngineError> {
        self.ids.remove(&container).unwrap();
        Ok(())
    }

    fn set_mounts(&mut self, _: WorkloadId, _: MountTable) -> Result<(), EngineError> {
        Ok(())
    }

    fn containers(&self) -> Result<Vec<Found>, EngineError> {
        let found = |(id, (cgroup, workload)): (&ContainerId, &(CgroupId, Option<_>))| Found {
            cgroup: *cgroup,
            pod: uid(),
            id: Some(*id),
            is_sandbox: self.sandbox == Some(*id),
            workload: *workload,
            arming: self.arming,
        };
        Ok(self.containers.iter().map(found).collect())
    }
}
