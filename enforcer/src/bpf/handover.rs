//! What enforcers of other versions have left, and its end.
//!
//! Their programs and maps stay in force until this one enforces as much. Of their maps
//! nothing is known but that a map of one of these names is one of the same layout, as long
//! as its sizes are the same: a layout that changes gets another name or another size.

use std::collections::BTreeMap;
use std::path::Path;

use aya::maps::HashMap;
use bartizan_abi::containers::{Armed, ContainerCgroup, ContainerKey};
use bartizan_abi::handover::Owner;

use super::error::MapError;
use super::pins::{map_of, open_map};
use super::pods::{ArmedTimes, Containers, Ids};
use super::values::{KernelContainer, KernelExpected, KernelOwner};
use super::{Kernel, Removed};

/// What an enforcer of another version has in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predecessor {
    /// Whose its workloads are.
    pub owners: Vec<Owner>,
    /// Its containers that have rules of their own.
    pub containers: Vec<(ContainerKey, Owner)>,
    /// All containers that it has seen, by their cgroups, with when they were armed.
    pub seen: Vec<(u64, ContainerCgroup, Option<Armed>)>,
}

impl Kernel {
    /// Enforcers of other versions that have left something; `None` of one that can't be
    /// understood.
    pub fn predecessors(&self) -> Result<Vec<Option<Predecessor>>, MapError> {
        let Some(pins) = &self.programs.pins else {
            return Ok(Vec::new());
        };
        let others = pins.others().map_err(MapError::Pins)?;
        Ok(others.iter().map(|other| read(other).ok()).collect())
    }

    /// Ends what predecessors have left and nobody has asked for since: tables, and all of
    /// other versions. Until then two versions judge, and both report and count.
    pub fn retire_predecessors(&mut self) -> Result<Removed, MapError> {
        self.tables.remove_left()?;
        let Some(pins) = &self.programs.pins else {
            return Ok(Removed::default());
        };
        let mut others = pins.others().map_err(MapError::Pins)?;
        // One may be older than the list.
        others.retain(|other| map_of(other, "LEAVERS").exists());
        let owners = self.bindings.owners()?;
        self.leavers.adopt(&others, &owners, &mut self.labels)?;
        pins.remove_others().map_err(MapError::Pins)
    }
}

fn read(version: &Path) -> Result<Predecessor, aya::maps::MapError> {
    let map = |name| open_map(version, name);
    let owners: HashMap<_, u32, KernelOwner> = map("OWNERS")?.try_into()?;
    let ids: Ids = map("CTR_IDS")?.try_into()?;
    let seen: Containers = map("CONTAINERS")?.try_into()?;
    let armed: ArmedTimes = map("ARMED")?.try_into()?;
    let owners: BTreeMap<u32, Owner> = owners
        .iter()
        .map(|entry| entry.map(|(workload, owner)| (workload, owner.0)))
        .collect::<Result<_, _>>()?;
    let ids: Vec<(ContainerKey, KernelExpected)> = ids.iter().collect::<Result<_, _>>()?;
    let named = |(id, expected): (ContainerKey, KernelExpected)| {
        Some((id, *owners.get(&expected.0.workload)?))
    };
    let with_armed = |(cgroup, container): (u64, KernelContainer)| {
        let armed = armed.get(&cgroup, 0).ok().map(|armed| armed.0);
        (cgroup, container.0, armed)
    };
    Ok(Predecessor {
        containers: ids.into_iter().filter_map(named).collect(),
        seen: seen
            .iter()
            .map(|entry| entry.map(with_armed))
            .collect::<Result<_, _>>()?,
        owners: owners.into_values().collect(),
    })
}
