//! Who is asking: the current task's workload, binding and table.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use bartizan_abi::limits::{LABEL_SLOTS, MAX_CGROUP_LEVEL};
use bartizan_abi::maps::{Binding, Label, RARE_INCOMPLETE, Sides, Stat};
use bartizan_abi::op::Ops;
use bartizan_abi::table::{At, Table, header};

use crate::kernel::current;
use crate::leaving::leaver;
use crate::maps::{BINDINGS, CGROUPS, LABELS, TABLES, count, has_happened};
use crate::pods::expected;
use crate::table::{Compiled, TableValue};

/// A managed task's rules.
#[derive(Clone, Copy)]
pub struct Rules {
    pub binding: *const Binding,
    pub table: Compiled,
}

impl Rules {
    #[inline(always)]
    pub fn binding(&self) -> &Binding {
        // SAFETY: a map value; the kernel keeps a replaced one until the program ends.
        unsafe { &*self.binding }
    }

    #[inline(always)]
    pub fn table_value(&self) -> *const TableValue {
        self.table.0.cast()
    }
}

/// What identity says of an operation.
pub enum Identity {
    /// No rule can say anything: allow.
    Unjudged,
    /// Managed, but its rules can't be reached: deny.
    Broken,
    /// Judge by these.
    Managed(Rules),
}

/// The workload of a cgroup. `behind_cache` looks on for one that the cache can't decide.
#[inline(always)]
pub fn workload_of(cgroup: u64, behind_cache: impl FnOnce(u64) -> Option<u32>) -> Option<u32> {
    let slot = LABELS.get_ptr((cgroup & u64::from(LABEL_SLOTS - 1)) as u32)?;
    let label: *const Label = slot;
    // Volatile, in this order: see `Label`.
    // SAFETY: a map value.
    let (id, workload) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*label).id),
            core::ptr::read_volatile(&raw const (*label).workload),
        )
    };
    if id == cgroup && workload != 0 {
        return Some(workload as u32);
    }
    // SAFETY: as above.
    if unsafe { core::ptr::read_volatile(&raw const (*label).busy) } == 0 {
        return None;
    }
    behind_cache(cgroup)
}

/// The workload of a cgroup with a label of its own, in the truth.
#[inline(always)]
pub fn listed(cgroup: u64) -> Option<u32> {
    CGROUPS.get_ptr(cgroup).map(|workload| {
        // SAFETY: a map value; entries are never changed, only added and removed.
        unsafe { *workload }
    })
}

/// The workload of the current task when the cache can't decide by its cgroup, 0 for none:
/// that of the cgroup that the task has left, or its own label's, or that of the nearest
/// labelled cgroup above if some label is missing. It is found however deep the task is:
/// what is labelled from outside is in the upper levels.
///
/// A function of its own, so that unmanaged tasks don't pay for its registers.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn behind_cache(cgroup: u64) -> u64 {
    if let Some(workload) = leaver(current()).or_else(|| listed(cgroup)) {
        return u64::from(workload);
    }
    if !has_happened(RARE_INCOMPLETE) {
        return 0;
    }
    let mut workload = 0;
    for level in 0..=MAX_CGROUP_LEVEL {
        // SAFETY: a number.
        let above = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
        if above == 0 {
            break;
        }
        if let Some(label) = listed(above) {
            workload = u64::from(label);
        }
        let label = expected(above);
        if label != 0 {
            workload = label;
        }
    }
    workload
}

/// The binding in use.
#[inline(always)]
fn in_use(sides: &Sides) -> &Binding {
    // SAFETY: a map value; user space changes it at any time.
    let mut offset = unsafe { core::ptr::read_volatile(&raw const sides.current) };
    // In assembly, or LLVM makes two branches of it and the verifier goes both ways.
    // SAFETY: plain arithmetic on a register.
    unsafe {
        core::arch::asm!(
            "{0} &= 1", "{0} *= {1}",
            inout(reg) offset, const size_of::<Binding>(),
            options(pure, nomem, nostack)
        );
    }
    let first = sides.sides.as_ptr();
    // SAFETY: the offset is that of one of the two; see `Rules::binding`.
    unsafe { &*first.byte_add(offset as usize) }
}

/// The rules of the current task, if some judge one of `ops`.
#[inline(always)]
pub fn identify(ops: Ops) -> Identity {
    // SAFETY: no arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let behind_cache = |cgroup| match behind_cache(cgroup) {
        0 => None,
        workload => Some(workload as u32),
    };
    let Some(workload) = workload_of(cgroup, behind_cache) else {
        return Identity::Unjudged;
    };
    let Some(sides) = BINDINGS.get_value(workload, &0) else {
        count(Stat::MissingTable);
        return Identity::Broken;
    };
    let binding = in_use(sides);
    let Some(table) = TABLES.get_value(binding.table, &0) else {
        count(Stat::MissingTable);
        return Identity::Broken;
    };
    let table = Compiled::new(table);
    if table.header().u32(header::JUDGED) & u64::from(ops) == 0 {
        return Identity::Unjudged;
    }
    Identity::Managed(Rules { binding, table })
}
