//! Labels of cgroups: the hash map is the truth, the array a direct-mapped cache.
//!
//! The protocol is in [`bartizan_abi::maps::Label`]; user space alone fills ids in.

use aya::maps::{Array, HashMap, MapData, MapError as AyaError};
use bartizan_abi::limits::{LABEL_SLOTS, MAX_CGROUPS};
use bartizan_abi::maps::{Label, RARE_INCOMPLETE, RARE_LEAVERS};

use crate::bpf::error::{MapError, errno, failed, removed};
use crate::bpf::values::KernelLabel;

pub(super) struct Labels {
    cache: super::LabelArray,
    truth: HashMap<MapData, u64, u32>,
    rare: Array<MapData, u64>,
}

impl Labels {
    pub(super) fn new(
        cache: super::LabelArray,
        truth: HashMap<MapData, u64, u32>,
        rare: Array<MapData, u64>,
    ) -> Self {
        Self { cache, truth, rare }
    }

    pub(super) fn insert(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError> {
        let result = self.write(cgroup, workload);
        self.uncache_for_leavers(cgroup)?;
        result
    }

    /// Once a process has left its container, lookups must not end at a cached label: it
    /// could be in that cgroup. Looked at after each write, because the kernel may have
    /// emptied the slot just before it.
    fn uncache_for_leavers(&mut self, cgroup: u64) -> Result<(), MapError> {
        let failed = failed("reading whether a process has left its container");
        if self.rare.get(&RARE_LEAVERS, 0).map_err(failed)? != 0 {
            self.uncache(cgroup)?;
        }
        Ok(())
    }

    /// Some process has left its container: from now on its cgroup alone doesn't tell whose
    /// rules a task has.
    pub(super) fn some_have_left(&mut self) -> Result<(), MapError> {
        self.rare
            .set(RARE_LEAVERS, 1, 0)
            .map_err(failed("marking that a process has left its container"))
    }

    /// Makes lookups of a cgroup go on behind the cache.
    pub(super) fn uncache(&mut self, cgroup: u64) -> Result<(), MapError> {
        let (at, slot) = self.make_busy(cgroup)?;
        self.cache
            .set(at, KernelLabel(Label { id: 0, ..slot }), 0)
            .map_err(failed("writing the label cache"))
    }

    fn write(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError> {
        match self.truth.insert(cgroup, workload, 0) {
            Ok(()) => {}
            Err(error) if errno(&error) == Some(libc::E2BIG) => {
                // The labels above it hold for it, as for one that was made just now.
                self.rare
                    .set(RARE_INCOMPLETE, 1, 0)
                    .map_err(failed("marking the labels as incomplete"))?;
                self.make_busy(cgroup)?;
                return Err(MapError::Full {
                    what: "labelled cgroup",
                    limit: MAX_CGROUPS,
                });
            }
            Err(error) => return Err(failed("labelling a cgroup")(error)),
        }
        let (at, slot) = self.make_busy(cgroup)?;
        let write = failed("writing the label cache");
        let taken = slot.id != 0 && slot.id != cgroup && self.truth.get(&slot.id, 0).is_ok();
        if taken {
            return Ok(());
        }
        // One field at a time, so that no reader pairs an id with another's workload.
        for step in [
            Label { id: 0, ..slot },
            Label {
                id: 0,
                workload: u64::from(workload),
                ..slot
            },
            Label {
                id: cgroup,
                workload: u64::from(workload),
                ..slot
            },
        ] {
            self.cache.set(at, KernelLabel(step), 0).map_err(&write)?;
        }
        Ok(())
    }

    /// Makes lookups of a cgroup go on where the cache ends; its slot.
    fn make_busy(&mut self, cgroup: u64) -> Result<(u32, Label), MapError> {
        let at = (cgroup % u64::from(LABEL_SLOTS)) as u32;
        let KernelLabel(mut slot) = self
            .cache
            .get(&at, 0)
            .map_err(failed("reading the label cache"))?;
        slot.busy = 1;
        self.cache
            .set(at, KernelLabel(slot), 0)
            .map_err(failed("writing the label cache"))?;
        Ok((at, slot))
    }

    pub(super) fn remove(&mut self, cgroup: u64) -> Result<(), MapError> {
        let at = (cgroup % u64::from(LABEL_SLOTS)) as u32;
        let KernelLabel(slot) = self
            .cache
            .get(&at, 0)
            .map_err(failed("reading the label cache"))?;
        if slot.id == cgroup {
            self.cache
                .set(at, KernelLabel(Label { id: 0, ..slot }), 0)
                .map_err(failed("writing the label cache"))?;
        }
        // The kernel removes the labels of cgroups that are gone.
        removed(self.truth.remove(&cgroup), "unlabelling a cgroup")
    }

    pub(super) fn get(&self, cgroup: u64) -> Result<Option<u32>, MapError> {
        match self.truth.get(&cgroup, 0) {
            Ok(workload) => Ok(Some(workload)),
            Err(AyaError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("reading a label")(error)),
        }
    }

    pub(super) fn all(&self) -> Result<Vec<(u64, u32)>, MapError> {
        self.truth
            .iter()
            .collect::<Result<_, _>>()
            .map_err(failed("reading the labels"))
    }
}
