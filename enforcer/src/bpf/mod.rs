//! The kernel side of the enforcer: programs, links and maps.
//!
//! **Architecture invariant:** nothing outside this module knows aya, and nothing
//! but this module is `unsafe` towards the kernel's BPF.

mod bindings;
mod btf;
mod environment;
mod error;
mod inner;
mod labels;
mod object;
mod pods;
mod programs;
mod tables;
mod values;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader};
use bartizan_abi::fields::{ABSENT, FIELDS};
use bartizan_abi::maps::{Binding, CounterKey, STATS, TASK_SETUP, TaskState};
use bartizan_abi::op::Ops;

use bindings::Bindings;
pub use btf::BtfError;
pub use error::{LoadError, MapError};
use inner::Template;
use labels::Labels;
use pods::Pods;
use tables::Tables;
use values::KernelKey;

/// The loaded kernel programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    types: KernelTypes,
    hooks: Vec<&'static str>,
    attached: Vec<&'static str>,
    events: RingBuf<MapData>,
    counters: PerCpuHashMap<MapData, KernelKey, u64>,
    statistics: PerCpuArray<MapData, u64>,
    labels: Labels,
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
        let kernel_btf = environment::check()?;
        let types = btf::Types::parse(&kernel_btf).map_err(LoadError::Structures)?;
        let offsets = offsets(&types)?;
        let hooks = available_hooks(&types)?;
        drop(types);
        let mut types = KernelTypes::default();
        let object = object::read()?;
        let mut loader = EbpfLoader::new();
        // Without types: the object has no relocation that needs them.
        loader.btf(None).allow_unsupported_maps();
        for (name, value) in &offsets {
            loader.override_global(name, value, true);
        }
        let mut ebpf = loader
            .load(&object)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        drop((loader, object));
        let events = typed(&mut ebpf, "EVENTS")?;
        let counters = typed(&mut ebpf, "COUNTERS")?;
        let statistics = typed(&mut ebpf, "STATISTICS")?;
        let labels = Labels::new(
            typed(&mut ebpf, "LABELS")?,
            typed(&mut ebpf, "CGROUPS")?,
            typed(&mut ebpf, "INCOMPLETE")?,
        );
        let pods = Pods::new(&mut ebpf)?;
        let sides = template(&mut ebpf, "BINDING_TEMPLATE")?;
        let bindings = Bindings::new(data(&mut ebpf, "BINDINGS")?, sides);
        let table = template(&mut ebpf, "TABLE_TEMPLATE")?;
        let tables = Tables::new(data(&mut ebpf, "TABLES")?, table);
        let tasks = data(&mut ebpf, "TASKS")?;
        programs::attach_always(&mut ebpf, types.get()?)?;
        Ok(Self {
            ebpf,
            types,
            hooks,
            attached: programs::always().collect(),
            events,
            counters,
            statistics,
            labels,
            pods,
            bindings,
            tables,
            tasks,
        })
    }

    /// Attaches the hooks that judge `ops`. Hooks stay attached once they are.
    pub fn require(&mut self, ops: Ops) -> Result<(), LoadError> {
        for hook in programs::HOOKS {
            if hook.ops & ops != 0
                && self.hooks.contains(&hook.name)
                && !self.attached.contains(&hook.name)
            {
                programs::attach(&mut self.ebpf, self.types.get()?, hook.name)?;
                self.attached.push(hook.name);
            }
        }
        Ok(())
    }

    /// Gives back the memory that only changes need. They take it again.
    pub fn release_memory(&mut self) {
        self.types = KernelTypes::default();
        crate::sys::release_memory();
    }

    /// Attached programs with the instructions that the verifier processed for each
    /// (`None` before 5.16).
    pub fn attached(&self) -> Vec<(&'static str, Option<u32>)> {
        let processed = |name| {
            self.ebpf
                .program(name)?
                .info()
                .ok()?
                .verified_instruction_count()
        };
        self.attached
            .iter()
            .map(|name| (*name, processed(name)))
            .collect()
    }

    /// Loads compiled tables (checked by `bartizan_policy`), all or none, and returns
    /// their numbers. Numbers are reused as late as possible.
    pub fn add_tables(&mut self, tables: &[&[u8]]) -> Result<Vec<u32>, MapError> {
        let numbers = self.tables.add(tables)?;
        self.bindings.settled();
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

    /// Removes a workload's binding; unlabel its cgroups first, or they are denied
    /// everything.
    pub fn unbind(&mut self, workload: u32) -> Result<(), MapError> {
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
        let read = |source| MapError::Aya {
            operation: "reading the counters",
            source,
        };
        let mut all = Vec::new();
        for entry in &self.counters {
            let (key, values) = entry.map_err(read)?;
            all.push((key.0, values.iter().sum()));
        }
        Ok(all)
    }

    /// Removes counters that have been read for the last time.
    pub fn remove_counters(&mut self, keys: &[CounterKey]) -> Result<(), MapError> {
        for key in keys {
            match self.counters.remove(&KernelKey(*key)) {
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => {}
                Err(source) => {
                    return Err(MapError::Aya {
                        operation: "removing a counter",
                        source,
                    });
                }
            }
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
                .map_err(|source| MapError::Aya {
                    operation: "reading the statistics",
                    source,
                })?;
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

/// The kernel's types, as long as programs are attached: 10 MiB.
#[derive(Default)]
struct KernelTypes(Option<Btf>);

impl KernelTypes {
    fn get(&mut self) -> Result<&Btf, LoadError> {
        if self.0.is_none() {
            let read = Btf::from_sys_fs()
                .map_err(|error| LoadError::Object(Box::new(aya::EbpfError::BtfError(error))))?;
            self.0 = Some(read);
        }
        Ok(self.0.as_ref().expect("it has just been read"))
    }
}

fn data(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, LoadError> {
    match ebpf.take_map(name) {
        Some(Map::Array(data) | Map::ArrayOfMaps(data) | Map::Unsupported(data)) => Ok(data),
        _ => Err(LoadError::Missing(name)),
    }
}

fn template(ebpf: &mut Ebpf, name: &'static str) -> Result<Template, LoadError> {
    let map = data(ebpf, name)?;
    Template::of(map.fd().as_fd()).map_err(|source| LoadError::Map {
        map: name,
        source: aya::maps::MapError::IoError(source),
    })
}

fn typed<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or(LoadError::Missing(name))?;
    M::try_from(map).map_err(|source| LoadError::Map { map: name, source })
}

/// Values for the object's offset globals.
fn offsets(types: &btf::Types<'_>) -> Result<Vec<(&'static str, u64)>, LoadError> {
    let mut all = Vec::new();
    for field in FIELDS {
        let value = match types.bit_offset(field.structure, field.member) {
            Ok(bits) if field.bits => bits,
            Ok(bits) => bits / 8,
            Err(_) if !field.required => ABSENT,
            Err(error) => return Err(LoadError::Structures(error)),
        };
        if let Some(expected) = field.fixed
            && value != expected
        {
            return Err(LoadError::Moved {
                structure: field.structure,
                member: field.member,
                found: value,
                expected,
            });
        }
        if field.fixed.is_none() {
            all.push((field.global, value));
        }
    }
    Ok(all)
}

fn available_hooks(types: &btf::Types<'_>) -> Result<Vec<&'static str>, LoadError> {
    let mut names = Vec::new();
    for hook in programs::HOOKS {
        if types.has_function(&format!("bpf_lsm_{}", hook.name)) {
            names.push(hook.name);
        } else if hook.mandatory {
            return Err(LoadError::NoHook(hook.name));
        }
    }
    Ok(names)
}

/// Array of the label cache.
type LabelArray = Array<MapData, values::KernelLabel>;
