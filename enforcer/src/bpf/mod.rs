//! The kernel side of the enforcer: programs, links and maps.
//!
//! **Architecture invariant:** nothing outside this module knows aya, and nothing
//! but this module is `unsafe` towards the kernel's BPF.

mod bindings;
mod btf;
mod coverage;
mod environment;
mod error;
mod facts;
mod handover;
mod inner;
mod labels;
mod leavers;
mod load;
mod object;
mod pins;
mod pods;
mod programs;
mod tables;
mod values;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use bartizan_abi::handover::Owner;
use bartizan_abi::maps::{Binding, CounterKey, STATS, TASK_SETUP, TaskState};
use bartizan_abi::op::Ops;
use bartizan_policy::enforceable::Gaps;

use bindings::Bindings;
pub use btf::BtfError;
pub use coverage::unknown_hooks;
pub use error::{LoadError, MapError};
use facts::Facts;
pub use facts::kernel_features;
pub use handover::Predecessor;
use inner::Template;
use labels::Labels;
use leavers::Leavers;
use pins::{Directory, Pins};
pub use pins::{PinError, Removed};
use pods::Pods;
use programs::Programs;
pub use tables::NewTable;
use tables::Tables;
use values::KernelKey;

/// The attached kernel programs and their maps. Dropping it detaches everything that isn't
/// pinned.
pub struct Kernel {
    programs: Programs,
    events: RingBuf<MapData>,
    counters: PerCpuHashMap<MapData, KernelKey, u64>,
    statistics: PerCpuArray<MapData, u64>,
    labels: Labels,
    leavers: Leavers,
    /// What the kernel knows of pods.
    pub(crate) pods: Pods,
    bindings: Bindings,
    tables: Tables,
    tasks: MapData,
}

impl Kernel {
    /// Checks the machine, loads the programs and attaches those that keep labels and
    /// lineages.
    pub fn load() -> Result<Self, LoadError> {
        environment::check()?;
        Self::with(None)
    }

    /// The same with links and maps that outlive this process, in a directory on a bpf file
    /// system. What an enforcer with the same programs has left there is adopted as it is;
    /// what others have left stays in force until [`Kernel::retire_predecessors`]. Waits
    /// until no other enforcer uses the directory.
    pub fn pinned(directory: &Path) -> Result<Self, LoadError> {
        environment::check()?;
        let version = object::version(&object::read()?);
        let directory = Directory::lock(directory).map_err(LoadError::Pins)?;
        let pins = Pins::new(directory, &version).map_err(LoadError::Pins)?;
        Self::with(Some(pins))
    }

    fn with(pins: Option<Pins>) -> Result<Self, LoadError> {
        let facts = Facts::read()?;
        facts.warn();
        let mut programs = Programs::new(pins, facts)?;
        let maps = &mut programs;
        let events = typed(maps, "EVENTS")?;
        let counters = typed(maps, "COUNTERS")?;
        let statistics = typed(maps, "STATISTICS")?;
        let labels = Labels::new(
            typed(maps, "LABELS")?,
            typed(maps, "CGROUPS")?,
            typed(maps, "RARE")?,
        );
        let leavers = Leavers::new(typed(maps, "LEAVERS")?);
        let pods = Pods::new(maps)?;
        let sides = template(maps, "BINDING_TEMPLATE")?;
        let (outer, owners) = (data(maps, "BINDINGS")?, typed(maps, "OWNERS")?);
        let bindings = Bindings::new(outer, sides, owners).map_err(LoadError::Adopt)?;
        let table = template(maps, "TABLE_TEMPLATE")?;
        let (outer, digests) = (data(maps, "TABLES")?, typed(maps, "DIGESTS")?);
        let tables = Tables::new(outer, table, digests).map_err(LoadError::Adopt)?;
        let tasks = data(maps, "TASKS")?;
        programs.attach_always()?;
        Ok(Self {
            programs,
            events,
            counters,
            statistics,
            labels,
            leavers,
            pods,
            bindings,
            tables,
            tasks,
        })
    }

    /// What this kernel can't enforce.
    pub fn gaps(&self) -> &Gaps {
        &self.programs.facts.gaps
    }

    /// Attaches the hooks that judge `ops`, as far as this kernel has them: without the
    /// others, what [`Kernel::gaps`] says is not judged. Hooks stay attached once they are.
    pub fn require(&mut self, ops: Ops) -> Result<(), LoadError> {
        self.programs.require(ops)
    }

    /// Gives back the memory that only changes need. They take it again.
    pub fn release_memory(&mut self) {
        self.programs.release_memory();
        crate::sys::release_memory();
    }

    /// Attached programs with the instructions that the verifier processed for each
    /// (`None` before 5.16).
    pub fn attached(&self) -> Vec<(&'static str, Option<u32>)> {
        let all: Vec<_> = aya::programs::loaded_programs().flatten().collect();
        let processed = |number| {
            let mut all = all.iter();
            all.find(|program| Some(program.id()) == number)?
                .verified_instruction_count()
        };
        let numbers = self.programs.numbers();
        numbers
            .map(|(name, number)| (name, processed(number)))
            .collect()
    }

    /// The numbers of compiled tables (checked by `bartizan_policy`): those that a
    /// predecessor has left are taken as they are, others loaded, all or none. Numbers are
    /// reused as late as possible.
    pub fn add_tables(&mut self, tables: &[NewTable<'_>]) -> Result<Vec<u32>, MapError> {
        let (numbers, is_settled) = self.tables.add(tables)?;
        if is_settled {
            self.bindings.settled();
        }
        Ok(numbers)
    }

    /// Frees a table that no binding names any more.
    pub fn remove_table(&mut self, number: u32) -> Result<(), MapError> {
        self.tables.remove(number)
    }

    /// Swaps a workload's binding as a whole. Decisions that are under way may end by the
    /// old one.
    pub fn bind(&mut self, binding: &Binding) -> Result<(), MapError> {
        self.bindings.swap(binding)
    }

    /// Whose the workloads with bindings are: after [`Kernel::pinned`] a predecessor's.
    pub fn owners(&self) -> Result<Vec<(u32, Owner)>, MapError> {
        self.bindings.owners()
    }

    /// Says whose a workload is, for a successor. It must have a binding.
    pub fn own(&mut self, workload: u32, owner: Owner) -> Result<(), MapError> {
        self.bindings.own(workload, owner)
    }

    /// Removes a workload's binding; unlabel its cgroups first, or they are denied
    /// everything, as its processes in other cgroups are from then on.
    pub fn unbind(&mut self, workload: u32) -> Result<(), MapError> {
        self.leavers.outlive(workload)?;
        self.bindings.remove(workload)
    }

    /// Puts a cgroup (its directory's inode number) under a workload's rules; cgroups
    /// made below it from now on inherit.
    pub fn label(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError> {
        self.labels.insert(cgroup, workload)
    }

    /// Takes a cgroup out of enforcement.
    pub fn unlabel(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.labels.remove(cgroup)
    }

    /// All labelled cgroups, inherited labels included.
    pub fn labels(&self) -> Result<Vec<(u64, u32)>, MapError> {
        self.labels.all()
    }

    /// Whose label a cgroup has.
    pub fn label_of(&self, cgroup: u64) -> Result<Option<u32>, MapError> {
        self.labels.get(cgroup)
    }

    /// Tells the kernel that a task is setting its container up: its next exec is judged
    /// with the runtime as the caller, what it does before isn't.
    pub fn mark_runtime(&mut self, pidfd: BorrowedFd<'_>) -> Result<(), MapError> {
        let state = TaskState {
            state: TASK_SETUP,
            ..Default::default()
        };
        inner::update(
            self.tasks.fd().as_fd(),
            pidfd.as_raw_fd().cast_unsigned(),
            &state,
        )
        .map_err(|source| MapError::Call {
            operation: "marking the runtime's task",
            source,
        })
    }

    /// Denial counters since load, summed over CPUs.
    pub fn counters(&self) -> Result<Vec<(CounterKey, u64)>, MapError> {
        let read = error::failed("reading the counters");
        let mut all = Vec::new();
        for entry in &self.counters {
            let (key, values) = entry.map_err(&read)?;
            all.push((key.0, values.iter().sum()));
        }
        Ok(all)
    }

    /// Removes counters that have been read for the last time.
    pub fn remove_counters(&mut self, keys: &[CounterKey]) -> Result<(), MapError> {
        for key in keys {
            error::removed(self.counters.remove(&KernelKey(*key)), "removing a counter")?;
        }
        Ok(())
    }

    /// The kernel's other counts, by [`bartizan_abi::maps::Stat`].
    pub fn stats(&self) -> Result<[u64; STATS as usize], MapError> {
        let mut all = [0; STATS as usize];
        for (i, total) in all.iter_mut().enumerate() {
            let values = self
                .statistics
                .get(&(i as u32), 0)
                .map_err(error::failed("reading the statistics"))?;
            *total = values.iter().sum();
        }
        Ok(all)
    }

    /// Readable when there are events.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns its descriptor and lives as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.events.as_raw_fd()) }
    }

    /// Hands the next event's bytes to `read`; false if there is none.
    pub fn next_event(&mut self, read: impl FnOnce(&[u8])) -> bool {
        match self.events.next() {
            Some(item) => {
                read(&item);
                true
            }
            None => false,
        }
    }
}

/// Removes all that enforcers with [`Kernel::pinned`] have left in a directory, which ends
/// enforcement; `None` if it isn't there. Fails while one uses it.
pub fn remove_pinned(directory: &Path) -> Result<Option<Removed>, PinError> {
    pins::remove_all(directory)
}

fn data(maps: &mut Programs, name: &'static str) -> Result<MapData, LoadError> {
    match maps.map(name)? {
        Map::Array(data) | Map::ArrayOfMaps(data) | Map::Unsupported(data) => Ok(data),
        _ => Err(LoadError::Missing(name)),
    }
}

fn template(maps: &mut Programs, name: &'static str) -> Result<Template, LoadError> {
    let map = data(maps, name)?;
    Template::of(map.fd().as_fd()).map_err(|source| LoadError::Map {
        map: name,
        source: aya::maps::MapError::IoError(source),
    })
}

fn typed<M>(maps: &mut Programs, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = maps.map(name)?;
    M::try_from(map).map_err(|source| LoadError::Map { map: name, source })
}

/// Array of the label cache.
type LabelArray = Array<MapData, values::KernelLabel>;
