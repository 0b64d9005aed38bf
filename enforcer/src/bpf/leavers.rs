//! Processes that have left their container's cgroup. The kernel keeps the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, MapData, MapError as AyaError};
use bartizan_abi::containers::PodKey;
use bartizan_abi::handover::{ContainerName, Owner};
use bartizan_abi::limits::MAX_LEAVERS;
use bartizan_abi::maps::{GONE, Process};

use super::error::{MapError, errno, failed, removed};
use super::labels::Labels;
use super::pins::open_map;
use super::values::{KernelOwner, KernelProcess};
use crate::cgroup::Hierarchy;

/// `BPF_NOEXIST`
const NEW: u64 = 1;
/// `BPF_EXIST`
const EXISTING: u64 = 2;
/// How often the lists are read again because something new was in them: what is known here
/// already is followed here, so that only a child made just before its parent was is new.
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
            self.change(process, GONE)?;
        }
        Ok(())
    }

    /// Gives a process that has left other rules. It may end at any time, and then stays out.
    fn change(&mut self, process: KernelProcess, workload: u32) -> Result<(), MapError> {
        let result = self.0.insert(process, workload, EXISTING);
        removed(result, "marking a process that has left")
    }

    /// Takes over from enforcers of other versions, by the directories of their pins, which
    /// processes have left: each gets the rules of the same owner here, and is denied
    /// everything if it has none any more. So do cgroups that containers made elsewhere. The
    /// others have to judge until that is done.
    pub(super) fn adopt(
        &mut self,
        others: &[PathBuf],
        owners: &[(u32, Owner)],
        labels: &mut Labels,
    ) -> Result<(), MapError> {
        let own = owners.iter().filter(|(_, owner)| owner.is_somebody());
        let own: BTreeMap<Key, u32> = own.map(|(number, owner)| (key(owner), *number)).collect();
        let number = |owner: Option<Key>| owner.and_then(|owner| own.get(&owner).copied());
        let mut taken = BTreeSet::new();
        let mut result = Err(MapError::Restless);
        for _ in 0..ROUNDS {
            let mut is_any_new = false;
            for other in others {
                let Some(left) = read(other)? else {
                    tracing::warn!(
                        version = %other.display(),
                        "who has left their containers can't be understood"
                    );
                    continue;
                };
                for (cgroup, owner) in left.cgroups {
                    if let Some(number) = number(owner)
                        && labels.get(cgroup)?.is_none()
                    {
                        labels.insert(cgroup, number)?;
                        is_any_new = true;
                    }
                }
                if !left.processes.is_empty() {
                    labels.some_have_left()?;
                }
                for (process, owner) in left.processes {
                    is_any_new |= self.take(process, number(owner).unwrap_or(GONE))?;
                    taken.insert(process);
                }
            }
            if !is_any_new {
                result = Ok(());
                break;
            }
        }
        self.settle(&taken, labels)?;
        result
    }

    /// Whether it is new here. If it isn't, the other version has known it for longer.
    fn take(&mut self, process: Process, workload: u32) -> Result<bool, MapError> {
        let failed = failed("marking a process that has left");
        let process = KernelProcess(process);
        let error = match self.0.insert(process, workload, NEW) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        match errno(&error) {
            Some(libc::E2BIG) => Err(MapError::Full {
                what: "process that has left its container",
                limit: MAX_LEAVERS,
            }),
            Some(libc::EEXIST) if self.0.get(&process, 0).is_ok_and(|it| it == workload) => {
                Ok(false)
            }
            Some(libc::EEXIST) => self.change(process, workload).map(|()| false),
            _ => Err(failed(error)),
        }
    }

    /// Has lookups in the cgroups of these processes find them. Whoever changes its cgroup
    /// from now on is followed by the kernel.
    fn settle(&mut self, taken: &BTreeSet<Process>, labels: &mut Labels) -> Result<(), MapError> {
        let mut tasks = BTreeSet::new();
        for process in taken {
            let directory = format!("/proc/{}/task", process.number);
            let threads = numbers_in(Path::new(&directory)).map_err(|source| MapError::Call {
                operation: "listing the threads of a process that has left",
                source,
            })?;
            if threads.is_empty() {
                // It ended before it was taken over, so that nobody else will remove it.
                let ended = self.0.remove(&KernelProcess(*process));
                removed(ended, "removing a process that has ended")?;
                continue;
            }
            tasks.extend(u32::try_from(process.number));
            tasks.extend(threads);
        }
        if tasks.is_empty() {
            return Ok(());
        }
        let root = Hierarchy::find().and_then(|hierarchy| hierarchy.open(Path::new("/")));
        for cgroup in root.map_err(MapError::Cgroups)?.tree() {
            if cgroup.tasks().iter().any(|id| tasks.contains(id)) {
                labels.uncache(cgroup.id().0)?;
            }
        }
        tracing::info!(processes = taken.len(), "left their containers before");
        Ok(())
    }
}

fn key(owner: &Owner) -> Key {
    (owner.pod, owner.container)
}

/// What is under a container's rules elsewhere, and whose they are.
struct Left {
    processes: Vec<(Process, Option<Key>)>,
    /// All that have a label, those of containers among them.
    cgroups: Vec<(u64, Option<Key>)>,
}

/// What another version has; `None` if its maps are others.
fn read(version: &Path) -> Result<Option<Left>, MapError> {
    match read_maps(version) {
        Ok(left) => Ok(Some(left)),
        Err(
            AyaError::InvalidMapType { .. }
            | AyaError::InvalidKeySize { .. }
            | AyaError::InvalidValueSize { .. },
        ) => Ok(None),
        Err(error) => Err(failed("reading who has left")(error)),
    }
}

fn read_maps(version: &Path) -> Result<Left, AyaError> {
    let map = |name| open_map(version, name);
    let leavers: HashMap<_, KernelProcess, u32> = map("LEAVERS")?.try_into()?;
    let cgroups: HashMap<_, u64, u32> = map("CGROUPS")?.try_into()?;
    let owners: HashMap<_, u32, KernelOwner> = map("OWNERS")?.try_into()?;
    let owner = |workload| owners.get(&workload, 0).ok().map(|owner| key(&owner.0));
    let processes = leavers.iter();
    let cgroups = cgroups.iter();
    Ok(Left {
        processes: processes
            .map(|entry| entry.map(|(process, of)| (process.0, owner(of))))
            .collect::<Result<_, _>>()?,
        cgroups: cgroups
            .map(|entry| entry.map(|(cgroup, of)| (cgroup, owner(of))))
            .collect::<Result<_, _>>()?,
    })
}

/// The names in a directory that are numbers; none if it isn't there.
fn numbers_in(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let is_gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if is_gone(&error) => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
        match entry {
            Err(error) if is_gone(&error) => break,
            entry => numbers.extend(
                entry?
                    .file_name()
                    .to_str()
                    .and_then(|it| it.parse::<u32>().ok()),
            ),
        }
    }
    Ok(numbers)
}
