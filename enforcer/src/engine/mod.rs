//! Which rules each workload has in the kernel, and what the kernel's numbers mean.
//!
//! ```text
//!   policies ─► link ─► RuleMap ─► compile ─► table ┐ shared by content
//!   mountinfo ─► MountTable ─────────────────────────┴─► Binding, swapped as one
//! ```
//!
//! A change is complete before it shows: everything is compiled first, then new tables
//! are loaded, then the workloads' bindings are swapped, and only when nothing can
//! count on a table any more are its counters folded into the totals and it is removed.
//! If a step fails, what was enforced before is enforced again.
//!
//! Everything here works on [`Maps`], so that the order of kernel calls is tested
//! without a kernel.

mod change;
mod describe;
mod error;
mod inherit;
mod maps;
mod pods;
mod series;
mod sweep;
mod tables;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use bartizan_abi::limits::WORKLOAD_NUMBERS;
use bartizan_abi::op::Ops;
use bartizan_policy::link;
use bartizan_policy::rule_map::{PolicyInfo, RuleMap};

use crate::cgroup::Cgroup;
use crate::mounts::{BindingHead, MountTable};
use crate::policies::Policies;

pub use change::Applied;
pub use describe::Moment;
pub use error::EngineError;
pub use inherit::{Inherited, Owner};
pub use maps::Maps;
use pods::Pods;
pub use pods::{Arming, FirstExec, Found, How};
use series::Tally;
pub use series::{Counted, Series};
use tables::Tables;

/// Who a workload is: what policies select by and reports name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name in reports.
    pub name: String,
    /// Its image, if that is known.
    pub image: Option<String>,
    /// Namespace, labels and container name.
    pub workload: link::Workload,
    /// Whose it is for a successor, if it can have one.
    pub owner: Option<Owner>,
}

impl Identity {
    /// Its namespace in reports about a policy. One that wasn't given is the policy's own,
    /// as it was when policies were selected.
    fn namespace(&self, policy: Option<&PolicyInfo>) -> Option<String> {
        let given = self.workload.namespace.clone();
        given.or_else(|| policy.and_then(|policy| policy.namespace.clone()))
    }
}

/// Number of a workload in the kernel's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(u32);

impl WorkloadId {
    #[cfg(test)]
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number in events and counters.
    pub fn number(self) -> u32 {
        self.0
    }
}

struct Workload {
    identity: Identity,
    table: u32,
    mounts: MountTable,
    cgroups: Vec<u64>,
    /// Since when it is no longer enforced; kept for a while for its last events.
    departed: Option<Instant>,
}

/// The engine over the kernel's maps.
pub struct Engine<M> {
    maps: M,
    tables: Tables,
    workloads: BTreeMap<u32, Workload>,
    generation: u64,
    tally: Tally,
    pods: Pods,
    /// What a predecessor has in force.
    inherited: inherit::Numbers,
}

impl<M: Maps> Engine<M> {
    /// Starts with nothing enforced.
    pub fn new(maps: M) -> Self {
        Self {
            maps,
            tables: Tables::default(),
            workloads: BTreeMap::new(),
            // Greater than any of a predecessor's, which are in the kernel's caches.
            generation: Moment::now().monotonic,
            tally: Tally::default(),
            pods: Pods::default(),
            inherited: inherit::Numbers::new(),
        }
    }

    /// The kernel's maps.
    pub fn maps(&mut self) -> &mut M {
        &mut self.maps
    }

    /// Workloads with rules in the kernel.
    pub fn armed(&self) -> usize {
        self.workloads
            .values()
            .filter(|workload| workload.departed.is_none())
            .count()
    }

    /// Operations that some workload's rules judge or report.
    pub fn judged(&self) -> Ops {
        self.tables.judged()
    }

    /// Tables in the kernel, those on their way out included.
    pub fn table_count(&self) -> usize {
        self.tables.len()
    }

    /// Gives a new workload the rules that `policies` mean for it, see
    /// [`Engine::add_rules`].
    pub fn add(
        &mut self,
        identity: Identity,
        policies: &Policies,
        now: Instant,
    ) -> Result<WorkloadId, EngineError> {
        let rules = change::linked(&identity, policies)?;
        self.add_rules(identity, &rules, now)
    }

    /// Gives a new workload its rules. Its mounts are provisional until
    /// [`Engine::set_mounts`], unless it is a predecessor's; nothing is enforced before [`Engine::label`],
    /// [`Engine::expect_pod`] or [`Engine::expect_container`].
    pub fn add_rules(
        &mut self,
        identity: Identity,
        rules: &Rc<RuleMap>,
        now: Instant,
    ) -> Result<WorkloadId, EngineError> {
        let claimed = self.claim(&identity)?;
        let is_claimed = claimed.is_some();
        let free = || {
            let is_free = |number: &u32| {
                !self.workloads.contains_key(number) && !self.inherited.contains_key(number)
            };
            (1..WORKLOAD_NUMBERS).find(is_free)
        };
        let (number, mounts) = claimed
            .or_else(|| Some((free()?, MountTable::provisional())))
            .ok_or(EngineError::TooManyWorkloads)?;
        let mut fresh = Vec::new();
        let source = self.find(&identity, rules, &mut fresh)?;
        let table = source.number(&self.load(fresh)?);
        let owner = identity.owner.as_ref().and_then(Owner::to_kernel);
        let bound = self.bind(number, &identity.name, &mounts, table);
        let bound = bound.and_then(|()| match owner {
            Some(owner) if !is_claimed => self.maps.own(number, owner).map_err(EngineError::Maps),
            _ => Ok(()),
        });
        if let Err(error) = bound {
            self.retire_unused(now);
            return Err(error);
        }
        self.inherited.remove(&number);
        let workload = Workload {
            identity,
            table,
            mounts,
            cgroups: Vec::new(),
            departed: None,
        };
        self.workloads.insert(number, workload);
        // Its table may have been on its way out.
        self.retire_unused(now);
        Ok(WorkloadId(number))
    }

    /// Replaces a workload's mount table: once its container has started.
    pub fn set_mounts(&mut self, id: WorkloadId, mounts: MountTable) -> Result<(), EngineError> {
        let Some(workload) = self.workloads.get(&id.0) else {
            return Ok(());
        };
        if workload.mounts == mounts {
            return Ok(());
        }
        let (name, table) = (workload.identity.name.clone(), workload.table);
        self.bind(id.0, &name, &mounts, table)?;
        if let Some(workload) = self.workloads.get_mut(&id.0) {
            workload.mounts = mounts;
        }
        self.cache_labels(id)
    }

    /// Whether the workload's mount table is still to be taken.
    pub fn is_provisional(&self, id: WorkloadId) -> bool {
        self.workloads
            .get(&id.0)
            .is_some_and(|workload| workload.mounts.is_provisional())
    }

    /// Puts a cgroup and those below it under the workload's rules.
    pub fn label(&mut self, id: WorkloadId, cgroup: &Cgroup) -> Result<(), EngineError> {
        // A child made between the first walk and its parent's label has none; one made
        // later inherits. So the second walk finds all that are left.
        for _ in 0..2 {
            for cgroup in cgroup.tree() {
                let number = cgroup.id().0;
                let Some(workload) = self.workloads.get_mut(&id.0) else {
                    return Ok(());
                };
                if !workload.cgroups.contains(&number) {
                    self.maps.label(number, id.0).map_err(EngineError::Maps)?;
                    workload.cgroups.push(number);
                }
            }
        }
        Ok(())
    }

    /// Takes the workload's cgroups out of enforcement; its rules stay for later ones.
    pub fn unlabel(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        // Cgroups made below inherited the label and are known to the kernel alone.
        let labels = self.maps.labels().map_err(EngineError::Maps)?;
        for (cgroup, _) in labels
            .iter()
            .filter(|(_, workload)| *workload == id.0)
            .rev()
        {
            self.maps.unlabel(*cgroup).map_err(EngineError::Maps)?;
        }
        if let Some(workload) = self.workloads.get_mut(&id.0) {
            workload.cgroups.clear();
        }
        Ok(())
    }

    /// Takes a workload out of enforcement; pods and containers that are expected under it
    /// are forgotten.
    pub fn remove(&mut self, id: WorkloadId, now: Instant) -> Result<(), EngineError> {
        self.forget_all_of(id)?;
        self.unlabel(id)?;
        self.maps.unbind(id.0).map_err(EngineError::Maps)?;
        if let Some(workload) = self.workloads.get_mut(&id.0) {
            workload.departed = Some(now);
        }
        self.retire_unused(now);
        Ok(())
    }

    /// Swaps a workload's binding.
    fn bind(
        &mut self,
        workload: u32,
        name: &str,
        mounts: &MountTable,
        table: u32,
    ) -> Result<(), EngineError> {
        self.generation += 1;
        let head = BindingHead {
            generation: self.generation,
            table,
            workload,
        };
        let bytes = self
            .tables
            .get(table)
            .map_or(&[][..], |loaded| &loaded.bytes);
        let binding = mounts
            .binding(bytes, head)
            .map_err(|source| EngineError::Mounts {
                workload: name.to_owned(),
                source,
            })?;
        self.maps.bind(&binding).map_err(EngineError::Maps)
    }

    fn retire_unused(&mut self, now: Instant) {
        let used: Vec<u32> = self
            .workloads
            .values()
            .filter(|workload| workload.departed.is_none())
            .map(|workload| workload.table)
            .collect();
        self.tables.retire_except(&used, now);
    }

    /// Rule maps in use, for whoever wants to show them.
    pub fn rule_maps(&self) -> impl Iterator<Item = (&Identity, &Rc<RuleMap>)> {
        self.workloads
            .values()
            .filter(|workload| workload.departed.is_none())
            .filter_map(|workload| {
                Some((&workload.identity, &self.tables.get(workload.table)?.rules))
            })
    }
}

/// Operations that a compiled table judges or reports.
pub(crate) fn judged(table: &[u8]) -> Ops {
    use bartizan_abi::table::{At, Bytes, Table, header};
    Bytes(table).header().u32(header::JUDGED) as Ops
}

#[cfg(test)]
mod tests;
