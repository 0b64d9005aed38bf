//! Whose credentials the current task acts with.

use crate::kernel::{
    CRED_FSUID, Object, TASK_CRED, TASK_FLAGS, TASK_IO_URING, TASK_REAL_CRED, address, current,
    load, peek_field,
};

const PF_IO_WORKER: u32 = 0x10;

/// Whether the kernel acts for itself: with the credentials of whoever mounted it, overlayfs
/// opens what its directories and files are made of, reads what hides lower directories, and
/// copies files up. Programs have others than their task's by `io_uring` alone
/// ("personalities"), in a task that has used it or in one of its workers; these are judged.
#[inline(always)]
pub fn is_borrowed(cred: Object) -> bool {
    let task = current();
    let own: Object = load(task, &TASK_REAL_CRED);
    if address(cred) == address(own) || load::<u32>(task, &TASK_FLAGS) & PF_IO_WORKER != 0 {
        return false;
    }
    !TASK_IO_URING.is_present() || load::<u64>(task, &TASK_IO_URING) == 0
}

/// [`is_borrowed`] of those in use.
#[inline(always)]
pub fn are_borrowed() -> bool {
    is_borrowed(load(current(), &TASK_CRED))
}

/// As which user the current task, or the program in it, uses files.
#[inline(always)]
pub fn user() -> Option<u32> {
    let field = if are_borrowed() {
        &TASK_REAL_CRED
    } else {
        &TASK_CRED
    };
    let cred: u64 = peek_field(address(current()), field);
    if cred == 0 {
        return None;
    }
    Some(peek_field(cred, &CRED_FSUID))
}
