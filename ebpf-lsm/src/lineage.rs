//! What a runtime does to set a container up, told from what runs in it.
//!
//! ```text
//!   outside ─ attach, clone into ─► SETUP ─ exec in another root ─► container code
//!                                   │  ▲                             (no way back)
//!                                   └──┘ clone; exec in the runtime's root
//! ```
//!
//! SETUP is a positive state of a task. It is entered from outside of all containers only,
//! held while the task's root directory is the one that whoever put it there has, and ended
//! by the first exec in another: that exec is judged. Whatever can't be known (no room for
//! the state, a lookup that fails) is container code.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_ktime_get_ns};
use aya_ebpf::macros::{btf_tracepoint, lsm};
use aya_ebpf::programs::{BtfTracePointContext, LsmContext};
use bartizan_abi::containers::SANDBOX;
use bartizan_abi::maps::{SETUP_LIMIT, Stat, TASK_CONTAINER, TASK_SETUP, TaskState};

use crate::cgroup::{self, container_of, id, is_unified};
use crate::hooks::restrict::is_tracing_denied;
use crate::kernel::{Object, TASK_TGID, address, current, errno_eperm, load, root_of};
use crate::leaving::{follow, workload_of_task};
use crate::maps::{CONTAINERS, CTR_IDS, TASKS, count};

/// A task's state, if that is known to be SETUP.
#[inline(always)]
fn setup_of(task: Object) -> Option<*mut TaskState> {
    TASKS.get(task, false).filter(|state| {
        // SAFETY: storage of a task that exists.
        unsafe { core::ptr::read_volatile(&raw const (**state).state) == TASK_SETUP }
    })
}

/// Whether a task is known to set a container up.
#[inline(always)]
pub fn is_setting_up(task: Object) -> bool {
    setup_of(task).is_some()
}

/// Whether a task is in a container, or under rules.
#[inline(always)]
pub fn is_inside(task: Object) -> bool {
    workload_of_task(task).is_some() || container_of(cgroup::of(task)) != 0
}

/// Whether the current task is in a container.
#[inline(always)]
pub fn is_current_in_container() -> bool {
    container_of(cgroup::of(current())) != 0
}

/// Puts a task that comes from outside into SETUP, unless its root is its own.
#[inline(always)]
fn enter(task: Object, root: u64, container: u64) {
    if root == 0 || root_of(task) != root {
        return;
    }
    let Some(state) = TASKS.get(task, true) else {
        count(Stat::SetupFailures);
        return;
    };
    // SAFETY: storage of a task that exists. The state comes last: with it the rest counts.
    unsafe {
        if (*state).state != 0 {
            return;
        }
        (*state).root = root;
        (*state).container = container;
        core::ptr::write_volatile(&raw mut (*state).state, TASK_SETUP);
    }
}

/// A process was moved into another cgroup; it is there already.
#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let cgroup = address(ctx.arg(0));
    let task: Object = ctx.arg(2);
    if !is_unified(cgroup) {
        return 0;
    }
    let container = container_of(cgroup);
    if container == 0 {
        return 0;
    }
    let mover = current();
    // Whoever moves itself looks as if it had always been there.
    if load::<u32>(mover, &TASK_TGID) == load::<u32>(task, &TASK_TGID) || is_inside(mover) {
        return 0;
    }
    enter(task, root_of(mover), container);
    0
}

/// A task was made, perhaps in another cgroup (`CLONE_INTO_CGROUP`).
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let task: Object = ctx.arg(0);
    let parent = current();
    if let Some(state) = setup_of(parent) {
        let Some(own) = TASKS.get(task, true) else {
            count(Stat::SetupFailures);
            return 0;
        };
        // SAFETY: storage of two tasks that exist; nobody else knows the new one yet.
        unsafe {
            (*own).root = (*state).root;
            (*own).container = (*state).container;
            (*own).until = (*state).until;
            (*own).state = TASK_SETUP;
        }
        return 0;
    }
    // SAFETY: no arguments.
    let from = unsafe { bpf_get_current_cgroup_id() };
    let to = cgroup::of(task);
    let into = id(to);
    follow(parent, from, task, into);
    if from == into {
        return 0;
    }
    let container = container_of(to);
    if container == 0 || is_inside(parent) {
        return 0;
    }
    enter(task, root_of(parent), container);
    0
}

/// An exec that can't fail any more: the first in another root ends the set-up.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_: BtfTracePointContext) -> i32 {
    let task = current();
    let Some(state) = setup_of(task) else {
        return 0;
    };
    // SAFETY: storage of the current task, which only it changes now.
    let state = unsafe { &mut *state };
    if root_of(task) == state.root {
        return 0;
    }
    state.state = TASK_CONTAINER;
    if let Some(container) = CONTAINERS.get_ptr_mut(state.container) {
        // SAFETY: a map value; of two first execs at once either time will do.
        unsafe {
            if (*container).first_exec == 0 {
                (*container).first_exec = bpf_ktime_get_ns();
            }
        }
    }
    0
}

/// Nobody in a container may trace, or read or write the memory of, a task in SETUP: it
/// could make it do things unjudged. Who may trace others is for the rules to say.
#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access_check(ctx: LsmContext) -> i32 {
    let target: Object = ctx.arg(0);
    if is_guarded(target) || is_tracing_denied(target, ctx.arg(1)) {
        return errno_eperm();
    }
    0
}

/// A task in SETUP is asked for by one that isn't, from inside a container.
#[inline(always)]
fn is_guarded(target: Object) -> bool {
    let tracer = current();
    is_setting_up(target) && !is_setting_up(tracer) && is_inside(tracer)
}

/// Whether the current task is a runtime's at setting a container up, so that what would
/// be denied or reported isn't; 1 or 0. `exec`, 1 or 0: it is about to run a program.
///
/// Asked for operations alone that aren't simply allowed, so that those that are don't pay
/// for it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_exempt(exec: u64) -> u64 {
    let task = current();
    let Some(state) = setup_of(task) else {
        return 0;
    };
    // SAFETY: storage of the current task, which only it changes now.
    let state = unsafe { &mut *state };
    if root_of(task) == state.root {
        return 1;
    }
    if exec != 0 {
        return is_sandbox(state.container).into();
    }
    // Between its new root and its exec a runtime does little, and soon. One that never
    // execs (a WebAssembly engine, a restored checkpoint) must not stay here.
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if state.until == 0 {
        state.until = now + SETUP_LIMIT;
    }
    if now < state.until {
        return 1;
    }
    state.state = TASK_CONTAINER;
    count(Stat::SetupExpired);
    0
}

/// Whether a container's cgroup is the sandbox of its pod.
#[inline(always)]
fn is_sandbox(container: u64) -> bool {
    let Some(found) = CONTAINERS.get_ptr(container) else {
        return false;
    };
    // SAFETY: a map value; who a container is doesn't change.
    let (flags, id) = unsafe { ((*found).flags, &raw const (*found).id) };
    // SAFETY: as above.
    flags & SANDBOX != 0 && CTR_IDS.get_ptr(unsafe { &*id }).is_none()
}
