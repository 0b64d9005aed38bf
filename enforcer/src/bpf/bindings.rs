//! Bindings by workload, swapped without waiting.
//!
//! ```text
//!   new workload: map with the binding on side 0 ─► BINDINGS         waits for readers
//!   later:        binding ─► idle side, then `current` ─► that side  waits for nothing
//! ```
//!
//! A program that runs during a swap may go on reading the side that was in use. So a
//! side is only written again when all programs that ran at the swap have ended, which
//! every change of an outer map waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap, MapData};
use bartizan_abi::containers::UID_BYTES;
use bartizan_abi::handover::{CONTAINER_NAME_BYTES, Owner};
use bartizan_abi::limits::MAX_WORKLOADS;
use bartizan_abi::maps::{Binding, Sides};

use super::error::{self, MapError};
use super::inner::{self, Template};
use super::values::{KernelOwner, bytes_of};

/// Never given to a workload.
const NOBODY: u32 = 0;

pub(super) struct Bindings {
    outer: MapData,
    template: Template,
    /// Whose they are, and numbers of the maps that are in `outer`, for a successor.
    owners: HashMap<MapData, u32, KernelOwner>,
    /// The numbers of those maps, by workload. Not descriptors: there may be more workloads
    /// than a process may have open files.
    held: BTreeMap<u32, u32>,
    /// Workloads whose idle side may still be read.
    read: BTreeSet<u32>,
}

impl Bindings {
    /// Takes over what a predecessor has left.
    pub(super) fn new(
        outer: MapData,
        template: Template,
        owners: HashMap<MapData, u32, KernelOwner>,
    ) -> Result<Self, MapError> {
        let mut bindings = Self {
            outer,
            template,
            owners,
            held: BTreeMap::new(),
            read: BTreeSet::new(),
        };
        let held = bindings.owners()?.into_iter();
        bindings.held = held
            .map(|(workload, owner)| (workload, owner.map))
            .collect();
        // Nobody knows when the predecessor swapped last.
        bindings.read = bindings.held.keys().copied().collect();
        Ok(bindings)
    }

    /// Whose the workloads are.
    pub(super) fn owners(&self) -> Result<Vec<(u32, Owner)>, MapError> {
        let owners = self.owners.iter();
        owners
            .map(|entry| entry.map(|(workload, owner)| (workload, owner.0)))
            .collect::<Result<_, _>>()
            .map_err(error::failed("reading the owners of workloads"))
    }

    /// Says whose a workload is.
    pub(super) fn own(&mut self, workload: u32, owner: Owner) -> Result<(), MapError> {
        let map = self.held.get(&workload).copied().unwrap_or(owner.map);
        let owner = KernelOwner(Owner { map, ..owner });
        self.owners
            .insert(workload, owner, 0)
            .map_err(error::failed("telling whose a workload is"))
    }

    /// Tells that all programs which ran at the last swap have ended.
    pub(super) fn settled(&mut self) {
        self.read.clear();
    }

    /// Swaps a workload's binding, or gives a workload its first.
    pub(super) fn swap(&mut self, binding: &Binding) -> Result<(), MapError> {
        let workload = binding.workload;
        if workload == NOBODY || workload > MAX_WORKLOADS {
            return Err(MapError::Full {
                what: "container",
                limit: MAX_WORKLOADS,
            });
        }
        if self.read.contains(&workload) {
            let nothing = self.template.fill(&[])?;
            self.publish(NOBODY, nothing)?;
        }
        if let Some(id) = self.held.get(&workload) {
            self.read.insert(workload);
            return inner::open(*id)
                .and_then(|map| write_idle(&map, binding))
                .map_err(failed("swapping a binding"));
        }
        let first = [&0_u64.to_ne_bytes(), bytes_of(binding)].concat();
        let map = self.template.fill(&first)?;
        let id = inner::id(map.as_fd()).map_err(failed("looking at a binding"))?;
        self.publish(workload, map)?;
        self.held.insert(workload, id);
        // Nobody's yet, but to be removed if this enforcer ends now.
        let nobody = Owner {
            map: id,
            pod: [0; UID_BYTES],
            container: [0; CONTAINER_NAME_BYTES],
        };
        self.own(workload, nobody)
    }

    pub(super) fn remove(&mut self, workload: u32) -> Result<(), MapError> {
        self.held.remove(&workload);
        error::removed(
            self.owners.remove(&workload),
            "forgetting whose a workload was",
        )?;
        inner::delete(self.outer.fd().as_fd(), workload).map_err(failed("removing a binding"))
    }

    fn publish(&mut self, key: u32, map: OwnedFd) -> Result<(), MapError> {
        inner::publish(self.outer.fd().as_fd(), &[(key, map)])
            .map_err(failed("publishing a binding"))?;
        self.settled();
        Ok(())
    }
}

/// Writes the side that is not in use, then makes it the one that is. Each call copies the
/// whole value; what is in use is written over with its own bytes.
fn write_idle(map: &OwnedFd, binding: &Binding) -> std::io::Result<()> {
    let mut value = vec![0; size_of::<Sides>()];
    inner::lookup(map.as_fd(), 0, &mut value)?;
    let (current, sides) = value.split_at_mut(size_of::<u64>());
    let idle = usize::from(current[0] == 0);
    let binding = bytes_of(binding);
    sides[idle * binding.len()..][..binding.len()].copy_from_slice(binding);
    inner::update(map.as_fd(), 0, value.as_slice())?;
    value[..size_of::<u64>()].copy_from_slice(&(idle as u64).to_ne_bytes());
    inner::update(map.as_fd(), 0, value.as_slice())
}

fn failed(operation: &'static str) -> impl Fn(std::io::Error) -> MapError {
    move |source| MapError::Call { operation, source }
}
