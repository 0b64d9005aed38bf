//! The caller: which class of executables the current task runs.
//!
//! Walking the executable's path costs as much as a decision, so the class is kept
//! in task storage, for one generation of rules and one execution. Storage that is
//! missing or can't be made only costs another walk.

use bartizan_abi::maps::TASK_SETUP;
use bartizan_abi::table::{At, Automaton, SUBJECT_RUNTIME, SUBJECT_UNRESOLVED, Table, header};

use crate::identity::Rules;
use crate::kernel::{
    FILE_DENTRY, MM_EXE_FILE, TASK_EXEC_ID, TASK_MM, address, current, load, peek_field,
};
use crate::maps::TASKS;
use crate::walks::walk;

/// The dentry of the executable of the task at an address, 0 if it has none (kernel threads).
/// A function of its own, for its stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn executable(task: u64) -> u64 {
    let mm: u64 = peek_field(task, &TASK_MM);
    let file: u64 = peek_field(mm, &MM_EXE_FILE);
    peek_field(file, &FILE_DENTRY)
}

/// The current task's subject; 0 in tables whose rules don't look at the caller.
#[inline(always)]
pub fn subject(rules: &Rules) -> u64 {
    if rules.table.header().u32(header::SUBJECTS) == 1 {
        return 0;
    }
    let task = current();
    let exec_id: u64 = load(task, &TASK_EXEC_ID);
    let generation = rules.binding().generation;
    let state = TASKS.get(task, true);
    if let Some(state) = state {
        // SAFETY: storage of the current task, which only it changes.
        let state = unsafe { &mut *state };
        if state.state == TASK_SETUP {
            return SUBJECT_RUNTIME;
        }
        if state.generation == generation && state.exec_id == exec_id {
            return state.subject.into();
        }
    }
    let dentry = executable(address(task));
    let subject = if dentry == 0 {
        SUBJECT_UNRESOLVED
    } else {
        match walk(rules, dentry, Automaton::Subject).named() {
            Some((subject, _)) => subject,
            None => SUBJECT_UNRESOLVED,
        }
    };
    if let Some(state) = state {
        // SAFETY: as above.
        let state = unsafe { &mut *state };
        state.subject = subject as u32;
        state.exec_id = exec_id;
        state.generation = generation;
    }
    subject
}
