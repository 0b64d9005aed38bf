//! Processes that leave their container's cgroup keep its rules.
//!
//! ```text
//!   moved out, or cloned out, by somebody in a container ─► LEAVERS[process] = workload
//!   its children                                         ─► the same
//!   cgroup it is in from then on                          ─► lookups don't end at the cache
//! ```
//!
//! What a process of the node moves follows the rules of the cgroup that it is moved to,
//! unless it has left before: then it keeps the rules that it came with, wherever it is.

use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};
use bartizan_abi::maps::{GONE, Process, RARE_LEAVERS, Stat};

use crate::cgroup::{self, id, is_unified, label, uncache};
use crate::identity::{listed, workload_of};
use crate::kernel::{
    Object, TASK_LEADER, TASK_PID, TASK_STARTED, TASK_TGID, address, current, load, peek_field,
};
use crate::lineage::{is_inside, is_setting_up};
use crate::maps::{LEAVERS, count, happened, has_happened};

#[inline(always)]
fn process_of(task: Object) -> Process {
    let leader: u64 = peek_field(address(task), &TASK_LEADER);
    Process {
        started: peek_field(leader, &TASK_STARTED),
        number: load::<u32>(task, &TASK_TGID).into(),
    }
}

/// The workload whose rules a task has taken along.
#[inline(always)]
pub fn leaver(task: Object) -> Option<u32> {
    if !has_happened(RARE_LEAVERS) {
        return None;
    }
    // SAFETY: a map value; entries become `GONE` at most.
    LEAVERS
        .get_ptr(process_of(task))
        .map(|workload| unsafe { *workload })
}

/// The workload of any task.
#[inline(always)]
pub fn workload_of_task(task: Object) -> Option<u32> {
    leaver(task).or_else(|| workload_of(id(cgroup::of(task)), listed))
}

/// Has a process keep its rules in another cgroup. If there is no room to remember it, the
/// cgroup gets them: a process that is denied too much shows.
#[inline(always)]
fn keep(task: Object, workload: u32, cgroup: u64) {
    happened(RARE_LEAVERS);
    if LEAVERS.insert(process_of(task), workload, 0).is_err() {
        count(Stat::LeaverFailures);
        if workload != GONE && workload_of(cgroup, listed).is_none() {
            label(cgroup, workload);
        }
    }
    uncache(cgroup);
}

/// A process is about to be moved into another cgroup.
#[fentry(function = "cgroup_attach_task")]
pub fn leave(ctx: FEntryContext) -> i32 {
    let (cgroup, task): (u64, Object) = (address(ctx.arg(0)), ctx.arg(1));
    if !is_unified(cgroup) {
        return 0;
    }
    let to = id(cgroup);
    let left = leaver(task);
    let Some(workload) = left.or_else(|| workload_of(id(cgroup::of(task)), listed)) else {
        return 0;
    };
    if left.is_none() {
        let mover = current();
        if workload_of(to, listed) == Some(workload) || is_setting_up(mover) || !is_inside(mover) {
            return 0;
        }
        count(Stat::Leavers);
    }
    keep(task, workload, to);
    0
}

/// A task was made by `parent`, which is in the cgroup `from`, in `to`, which may be another
/// (`CLONE_INTO_CGROUP`).
#[inline(always)]
pub fn follow(parent: Object, from: u64, task: Object, to: u64) {
    if let Some(workload) = leaver(parent) {
        if load::<u32>(parent, &TASK_TGID) != load::<u32>(task, &TASK_TGID) {
            keep(task, workload, to);
        }
        return;
    }
    if from == to {
        return;
    }
    if let Some(workload) = workload_of(from, listed)
        && workload_of(to, listed) != Some(workload)
    {
        count(Stat::Leavers);
        keep(task, workload, to);
    }
}

/// A task has ended for good. The first thread's is the process's end, but one that another
/// thread's `exec` has replaced has that thread's number by now.
#[btf_tracepoint(function = "sched_process_free")]
pub fn sched_process_free(ctx: BtfTracePointContext) -> i32 {
    if !has_happened(RARE_LEAVERS) {
        return 0;
    }
    let task: Object = ctx.arg(0);
    let number: u32 = load(task, &TASK_PID);
    if number == load::<u32>(task, &TASK_TGID) {
        let _ = LEAVERS.remove(Process {
            started: load(task, &TASK_STARTED),
            number: number.into(),
        });
    }
    0
}
