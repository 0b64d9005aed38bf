//! Labels follow the cgroup tree: a child inherits its parent's before any task can
//! be in it (`cgroup_mkdir` fires before the directory can be looked up). One that finds
//! no room for its label is marked, so that its tasks ask the cgroups above it.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use bartizan_abi::limits::LABEL_SLOTS;
use bartizan_abi::maps::Stat;

use crate::identity::{is_incomplete, listed, workload_of};
use crate::kernel::{CGROUP_KN, CGROUP_PARENT, CSS_CGROUP, KN_ID, Object, load};
use crate::maps::{CGROUPS, INCOMPLETE, LABELS, count};

#[inline(always)]
fn id(cgroup: Object) -> u64 {
    let node: Object = load(cgroup, &CGROUP_KN);
    load(node, &KN_ID)
}

/// A cgroup was made: inherit.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: Object = ctx.arg(0);
    let css: Object = load(cgroup, &CGROUP_PARENT);
    if css.is_null() {
        return 0;
    }
    let parent: Object = load(css, &CSS_CGROUP);
    let child = id(cgroup);
    let Some(workload) = workload_of(id(parent), listed) else {
        if is_incomplete() {
            // Its parent may be one that found no room.
            make_busy(child);
        }
        return 0;
    };
    if CGROUPS.insert(child, workload, 0).is_err() {
        count(Stat::LabelFailures);
        if let Some(word) = INCOMPLETE.get_ptr_mut(0) {
            // SAFETY: a map value, which only ever goes from 0 to 1.
            unsafe { core::ptr::write_volatile(word, 1) };
        }
    } else {
        count(Stat::Inherited);
    }
    make_busy(child);
    0
}

/// Makes lookups of a cgroup go on where the cache ends.
#[inline(always)]
fn make_busy(cgroup: u64) {
    if let Some(label) = LABELS.get_ptr_mut((cgroup & u64::from(LABEL_SLOTS - 1)) as u32) {
        // SAFETY: a map value; `busy` only ever goes from 0 to 1 here.
        unsafe { core::ptr::write_volatile(&raw mut (*label).busy, 1) };
    }
}

/// A cgroup was removed: nobody can be in it, and its id is never used again.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: Object = ctx.arg(0);
    let gone = id(cgroup);
    if workload_of(gone, listed).is_some() {
        let _ = CGROUPS.remove(gone);
    }
    0
}
