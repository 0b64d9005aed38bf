//! Labels follow the cgroup tree: a child inherits its parent's before any task can
//! be in it (`cgroup_mkdir` fires before the directory can be looked up). One that finds
//! no room for its label is marked, so that its tasks ask the cgroups above it.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use bartizan_abi::limits::LABEL_SLOTS;
use bartizan_abi::maps::{GONE, RARE_INCOMPLETE, Stat};

use crate::identity::{listed, workload_of};
use crate::kernel::{
    CGROUP_KN, CGROUP_PARENT, CGROUP_ROOT, CSS_CGROUP, CSS_SET_CGROUP, KN_ID, Object,
    ROOT_HIERARCHY, TASK_CGROUPS, address, current, peek_field,
};
use crate::leaving::workload_of_task;
use crate::lineage::is_current_in_container;
use crate::maps::{CGROUPS, CONTAINERS, LABELS, count, happened, has_happened};
use crate::pods;

/// The address of the cgroup that a task is in, in the unified hierarchy.
#[inline(always)]
pub fn of(task: Object) -> u64 {
    let set: u64 = peek_field(address(task), &TASK_CGROUPS);
    peek_field(set, &CSS_SET_CGROUP)
}

/// The number of the cgroup at an address: its directory's inode.
#[inline(always)]
pub fn id(cgroup: u64) -> u64 {
    let node: u64 = peek_field(cgroup, &CGROUP_KN);
    peek_field(node, &KN_ID)
}

/// The address of the cgroup above, 0 above the root.
#[inline(always)]
pub fn parent(cgroup: u64) -> u64 {
    let css: u64 = peek_field(cgroup, &CGROUP_PARENT);
    peek_field(css, &CSS_CGROUP)
}

/// It is of the hierarchy whose numbers count: those of v1 hierarchies may be the same.
#[inline(always)]
pub fn is_unified(cgroup: u64) -> bool {
    let root: u64 = peek_field(cgroup, &CGROUP_ROOT);
    peek_field::<u32>(root, &ROOT_HIERARCHY) == 0
}

/// The container of a pod that a cgroup is, or is right below; 0 for none.
#[inline(always)]
pub fn container_of(cgroup: u64) -> u64 {
    let own = id(cgroup);
    if CONTAINERS.get_ptr(own).is_some() {
        return own;
    }
    let above = id(parent(cgroup));
    if CONTAINERS.get_ptr(above).is_some() {
        return above;
    }
    0
}

/// A cgroup was made: it inherits its parent's label, else its maker's. Only if neither
/// has one, and the maker is in no container, its name says whose it is.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup = address(ctx.arg(0));
    if !is_unified(cgroup) {
        return 0;
    }
    let above = parent(cgroup);
    if above == 0 {
        return 0;
    }
    let child = id(cgroup);
    let inherited = workload_of(id(above), listed).or_else(|| workload_of_task(current()));
    if let Some(workload) = inherited {
        if workload != GONE {
            label(child, workload);
        }
        return 0;
    }
    if has_happened(RARE_INCOMPLETE) {
        // Its parent may be one that found no room.
        make_busy(child);
    }
    if !is_current_in_container() {
        pods::found(cgroup, above);
    }
    0
}

/// Puts a new cgroup under a workload's rules.
#[inline(always)]
pub fn label(cgroup: u64, workload: u32) {
    if CGROUPS.insert(cgroup, workload, 0).is_err() {
        count(Stat::LabelFailures);
        happened(RARE_INCOMPLETE);
    } else {
        count(Stat::Inherited);
    }
    make_busy(cgroup);
}

/// Makes lookups of a cgroup go on where the cache ends.
#[inline(always)]
fn make_busy(cgroup: u64) {
    if let Some(label) = LABELS.get_ptr_mut((cgroup & u64::from(LABEL_SLOTS - 1)) as u32) {
        // SAFETY: a map value; `busy` only ever goes from 0 to 1 here.
        unsafe { core::ptr::write_volatile(&raw mut (*label).busy, 1) };
    }
}

/// Makes lookups of a cgroup go on in any case, also if it has a label.
#[inline(always)]
pub fn uncache(cgroup: u64) {
    let Some(label) = LABELS.get_ptr_mut((cgroup & u64::from(LABEL_SLOTS - 1)) as u32) else {
        return;
    };
    // SAFETY: a map value; without a workload an id counts for nothing.
    unsafe {
        core::ptr::write_volatile(&raw mut (*label).busy, 1);
        if core::ptr::read_volatile(&raw const (*label).id) == cgroup {
            core::ptr::write_volatile(&raw mut (*label).workload, 0);
        }
    }
}

/// A cgroup was removed: nobody can be in it, and its id is never used again.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup = address(ctx.arg(0));
    if !is_unified(cgroup) {
        return 0;
    }
    let gone = id(cgroup);
    if workload_of(gone, listed).is_some() {
        let _ = CGROUPS.remove(gone);
    }
    pods::gone(gone);
    0
}
