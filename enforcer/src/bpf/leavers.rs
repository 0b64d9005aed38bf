//! Processes that have left their container's cgroup. The kernel keeps the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapError as AyaError};
use bartizan_abi::containers::PodKey;
use bartizan_abi::handover::{ContainerName, Owner};
use bartizan_abi::limits::MAX_LEAVERS;
use bartizan_abi::maps::{GONE, Process};

use super::error::{MapError, failed, removed};
use super::labels::Labels;
use super::pins::map_of;
use super::values::{KernelOwner, KernelProcess};
use crate::cgroup::Hierarchy;

/// `BPF_NOEXIST`
const NEW: u64 = 1;
/// `BPF_EXIST`
const EXISTING: u64 = 2;
/// How often a list is read again because meanwhile some have come: those that are known here
/// already are followed here, so that only a child made just before its parent was is new.
const ROUNDS: usize = 100;

/// Whose the rules are that a process has taken along.
type Key = (PodKey, ContainerName);

pub(super) struct Leavers(HashMap<MapData, KernelProcess, u32>);

impl Leavers {
    pub(super) fn new(map: HashMap<MapData, KernelProcess, u32>) -> Self {
        Self(map)
    }

    /// Those of a workload that ends are denied everything from now on: its number will be
    /// another's.
    pub(super) fn outlive(&mut self, workload: u32) -> Result<(), MapError> {
        let read = failed("reading which processes have left their container");
        let all: Vec<_> = self.0.iter().collect::<Result<_, _>>().map_err(&read)?;
        for (process, _) in all.into_iter().filter(|(_, of)| *of == workload) {
            match self.0.insert(process, GONE, EXISTING) {
                // It has ended.
                Err(AyaError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result.map_err(failed("marking a process that has left"))?,
            }
        }
        Ok(())
    }

    /// Takes over from enforcers of other versions, by the directories of their pins, which
    /// processes have left: each gets the rules of the same owner here, and is denied
    /// everything if it has none any more. The others have to judge until that is done.
    pub(super) fn adopt(
        &mut self,
        others: &[PathBuf],
        owners: &[(u32, Owner)],
        labels: &mut Labels,
    ) -> Result<(), MapError> {
        let own = owners.iter().map(|(number, owner)| (key(owner), *number));
        let own: BTreeMap<Key, u32> = own.filter(|((pod, _), _)| *pod != NOBODY).collect();
        let mut taken = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut found = BTreeMap::new();
            for other in others {
                found.extend(read(other).map_err(failed("reading who has left"))?);
            }
            found.retain(|process, _| !taken.contains(process));
            if found.is_empty() {
                return self.settle(&taken, labels);
            }
            labels.some_have_left()?;
            for (process, owner) in found {
                let number = owner.and_then(|owner| own.get(&owner)).unwrap_or(&GONE);
                self.take(process, *number)?;
                taken.insert(process);
            }
        }
        Err(MapError::Restless)
    }

    fn take(&mut self, process: Process, workload: u32) -> Result<(), MapError> {
        let errno = |error: &AyaError| match error {
            AyaError::SyscallError(error) => error.io_error.raw_os_error(),
            _ => None,
        };
        match self.0.insert(KernelProcess(process), workload, NEW) {
            // It has left here, too.
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
            Err(error) if errno(&error) == Some(libc::E2BIG) => Err(MapError::Full {
                what: "process that has left its container",
                limit: MAX_LEAVERS,
            }),
            result => result.map_err(failed("marking a process that has left")),
        }
    }

    /// Has lookups in the cgroups of these processes find them. Whoever changes its cgroup
    /// from now on is followed by the kernel.
    fn settle(&mut self, taken: &BTreeSet<Process>, labels: &mut Labels) -> Result<(), MapError> {
        let mut threads = BTreeSet::new();
        for process in taken {
            let tasks = numbers_in(&PathBuf::from(format!("/proc/{}/task", process.number)));
            if tasks.is_empty() {
                // It ended before it was taken over, so that nobody else will remove it.
                let ended = self.0.remove(&KernelProcess(*process));
                removed(ended, "removing a process that has ended")?;
            }
            threads.extend(tasks);
        }
        if threads.is_empty() {
            return Ok(());
        }
        let root = Hierarchy::find().and_then(|hierarchy| hierarchy.open(Path::new("/")));
        for cgroup in root.map_err(MapError::Cgroups)?.tree() {
            if cgroup.threads().iter().any(|id| threads.contains(id)) {
                labels.uncache(cgroup.id().0)?;
            }
        }
        tracing::info!(processes = taken.len(), "left their containers before");
        Ok(())
    }
}

const NOBODY: PodKey = [0; size_of::<PodKey>()];

fn key(owner: &Owner) -> Key {
    (owner.pod, owner.container)
}

/// Who has left under another version, and whose rules they have.
fn read(version: &Path) -> Result<BTreeMap<Process, Option<Key>>, AyaError> {
    let map = |name| MapData::from_pin(map_of(version, name)).and_then(Map::from_map_data);
    let leavers: HashMap<_, KernelProcess, u32> = map("LEAVERS")?.try_into()?;
    let owners: HashMap<_, u32, KernelOwner> = map("OWNERS")?.try_into()?;
    let with_owner = |(process, workload): (KernelProcess, u32)| {
        let owner = owners.get(&workload, 0).ok();
        (process.0, owner.map(|owner| key(&owner.0)))
    };
    leavers.iter().map(|entry| entry.map(with_owner)).collect()
}

/// The names in a directory that are numbers; none if it isn't there.
fn numbers_in(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
