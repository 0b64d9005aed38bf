//! The kernel side of the enforcer: programs, links and maps.
//!
//! **Architecture invariant:** nothing outside this module knows aya, and nothing
//! but this module is `unsafe` towards the kernel's BPF.

mod btf;
mod environment;
mod error;
mod inner;
mod labels;
mod object;
mod programs;
mod values;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader};
use bartizan_abi::fields::{ABSENT, FIELDS};
use bartizan_abi::limits::{MAX_TABLES, MAX_WORKLOADS, TABLE_SIZE};
use bartizan_abi::maps::{Binding, CounterKey, STATS, TASK_ANY_EXEC, TASK_RUNTIME};
use bartizan_abi::op::Ops;

pub use btf::BtfError;
pub use error::{LoadError, MapError};
use inner::Template;
use labels::Labels;
use values::{KernelKey, bytes_of};

/// The loaded kernel programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    btf: Btf,
    hooks: Vec<&'static str>,
    attached: Vec<&'static str>,
    events: RingBuf<MapData>,
    counters: PerCpuHashMap<MapData, KernelKey, u64>,
    statistics: PerCpuArray<MapData, u64>,
    labels: Labels,
    bindings: MapData,
    binding_template: Template,
    tables: MapData,
    table_template: Template,
    /// Table numbers in use. Number 0 is never given out.
    used: Vec<bool>,
    last_table: u32,
    tasks: MapData,
}

impl Kernel {
    /// Checks the machine, loads the programs and attaches those that keep labels.
    pub fn load() -> Result<Self, LoadError> {
        let kernel_btf = environment::check()?;
        let types = btf::Types::parse(&kernel_btf).map_err(LoadError::Structures)?;
        let offsets = offsets(&types)?;
        let hooks = available_hooks(&types)?;
        drop(types);
        let btf = Btf::from_sys_fs()
            .map_err(|error| LoadError::Object(Box::new(aya::EbpfError::BtfError(error))))?;
        let object = object::read()?;
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&btf)).allow_unsupported_maps();
        for (name, value) in &offsets {
            loader.override_global(name, value, true);
        }
        let mut ebpf = loader
            .load(&object)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        drop(loader);
        let events = typed(&mut ebpf, "EVENTS")?;
        let counters = typed(&mut ebpf, "COUNTERS")?;
        let statistics = typed(&mut ebpf, "STATISTICS")?;
        let labels = Labels::new(typed(&mut ebpf, "LABELS")?, typed(&mut ebpf, "CGROUPS")?);
        let bindings = data(&mut ebpf, "BINDINGS")?;
        let binding_template = template(&mut ebpf, "BINDING_TEMPLATE")?;
        let tables = data(&mut ebpf, "TABLES")?;
        let table_template = template(&mut ebpf, "TABLE_TEMPLATE")?;
        let tasks = data(&mut ebpf, "TASKS")?;
        programs::attach_tracepoints(&mut ebpf, &btf)?;
        Ok(Self {
            ebpf,
            btf,
            hooks,
            attached: Vec::new(),
            events,
            counters,
            statistics,
            labels,
            bindings,
            binding_template,
            tables,
            table_template,
            used: vec![false; MAX_TABLES as usize],
            last_table: 0,
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
                programs::attach(&mut self.ebpf, &self.btf, hook.name)?;
                self.attached.push(hook.name);
            }
        }
        Ok(())
    }

    /// Attached hooks with the instructions that the verifier processed for each
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

    /// Loads a compiled table (checked by `bartizan_policy`) and returns its number.
    /// Numbers are reused as late as possible.
    pub fn add_table(&mut self, table: &[u8]) -> Result<u32, MapError> {
        if table.len() > TABLE_SIZE as usize {
            return Err(MapError::TableSize(table.len()));
        }
        let number = (1..MAX_TABLES)
            .map(|step| (self.last_table + step) % MAX_TABLES)
            .find(|number| *number != 0 && !self.used[*number as usize])
            .ok_or(MapError::Full {
                what: "rule map",
                limit: MAX_TABLES - 1,
            })?;
        let map = self.table_template.fill(table)?;
        publish(&self.tables, number, &map, "publishing a table")?;
        self.used[number as usize] = true;
        self.last_table = number;
        Ok(number)
    }

    /// Frees a table that no binding names any more.
    pub fn remove_table(&mut self, number: u32) -> Result<(), MapError> {
        inner::delete(self.tables.fd().as_fd(), number).map_err(|source| MapError::Call {
            operation: "removing a table",
            source,
        })?;
        if let Some(used) = self.used.get_mut(number as usize) {
            *used = false;
        }
        Ok(())
    }

    /// Swaps a workload's binding. When this returns, no decision uses the old one.
    pub fn bind(&mut self, binding: &Binding) -> Result<(), MapError> {
        if binding.workload == 0 || binding.workload >= MAX_WORKLOADS {
            return Err(MapError::Full {
                what: "container",
                limit: MAX_WORKLOADS - 1,
            });
        }
        let map = self.binding_template.fill(bytes_of(binding))?;
        publish(
            &self.bindings,
            binding.workload,
            &map,
            "publishing a binding",
        )
    }

    /// Removes a workload's binding; unlabel its cgroups first, or they are denied
    /// everything.
    pub fn unbind(&mut self, workload: u32) -> Result<(), MapError> {
        inner::delete(self.bindings.fd().as_fd(), workload).map_err(|source| MapError::Call {
            operation: "removing a binding",
            source,
        })
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

    /// Tells the kernel that a task is the runtime until its next exec.
    pub fn mark_runtime(&mut self, pidfd: BorrowedFd<'_>) -> Result<(), MapError> {
        let state = bartizan_abi::maps::TaskState {
            exec_id: TASK_ANY_EXEC,
            state: TASK_RUNTIME,
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

fn publish(
    outer: &MapData,
    key: u32,
    map: &OwnedFd,
    operation: &'static str,
) -> Result<(), MapError> {
    inner::update(outer.fd().as_fd(), key, &map.as_raw_fd())
        .map_err(|source: io::Error| MapError::Call { operation, source })
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
