//! Running programs, and mapping files executable.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::op::{Operation, Ops};
use bartizan_abi::table::Automaton;

use crate::hooks::file::NOACCOUNT;
use crate::identity::{Identity, identify};
use crate::judge::judge_file;
use crate::kernel::{
    BACKING_PATH, BPRM_FILE, FILE_DENTRY, FILE_MODE, Object, TASK_IN_EXECVE, VMA_FILE, address,
    current, errno_eacces, load, peek,
};
use crate::walks::walk;

const PROT_EXEC: u64 = 4;

/// Judges a file as code; true: deny.
#[inline(always)]
fn judge_code(dentry: u64, op: Ops) -> bool {
    let rules = match identify(op) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let rows = walk(&rules, dentry, Automaton::Process);
    judge_file(&rules, rows, Automaton::Process, op, dentry)
}

/// `execve`: once for the file, once more for each interpreter of a script.
#[lsm(hook = "bprm_check_security")]
pub fn bprm_check_security(ctx: LsmContext) -> i32 {
    let bprm: Object = ctx.arg(0);
    let file: Object = load(bprm, &BPRM_FILE);
    let dentry: Object = load(file, &FILE_DENTRY);
    if judge_code(address(dentry), Operation::Exec.bit()) {
        return errno_eacces();
    }
    0
}

/// The kernel is mapping the segments of a program that was judged already. Only the
/// task itself runs in between, so nobody can use the state.
#[inline(always)]
fn in_exec() -> bool {
    let task = current();
    let bit = TASK_IN_EXECVE.get();
    // SAFETY: a frozen offset; the verifier checks the access.
    let byte = unsafe { task.wrapping_add(bit >> 3).read_volatile() };
    byte >> (bit & 7) & 1 != 0
}

/// `mmap` with PROT_EXEC: how `ld.so PROGRAM` runs code.
#[lsm(hook = "mmap_file")]
pub fn mmap_file(ctx: LsmContext) -> i32 {
    let file: Object = ctx.arg(0);
    let prot: u64 = ctx.arg(2);
    // NULL: an anonymous mapping. From 7.0 on the verifier asks for the check.
    if file.is_null() || prot & PROT_EXEC == 0 || in_exec() {
        return 0;
    }
    let dentry: Object = load(file, &FILE_DENTRY);
    if judge_code(address(dentry), Operation::Map.bit()) {
        return errno_eacces();
    }
    0
}

/// `mprotect` with PROT_EXEC of a mapped file.
#[lsm(hook = "file_mprotect")]
pub fn file_mprotect(ctx: LsmContext) -> i32 {
    let vma: Object = ctx.arg(0);
    let prot: u64 = ctx.arg(2);
    if prot & PROT_EXEC == 0 || in_exec() {
        return 0;
    }
    let file: Object = load(vma, &VMA_FILE);
    if file.is_null() {
        return 0;
    }
    let mut dentry = address(load(file, &FILE_DENTRY));
    if load::<u32>(file, &FILE_MODE) & NOACCOUNT != 0 && BACKING_PATH.is_present() {
        // A mapping of an overlay file is one of its backing file, which remembers
        // the path that was opened.
        dentry = peek(address(file) + BACKING_PATH.get() as u64);
    }
    if judge_code(dentry, Operation::Map.bit()) {
        return errno_eacces();
    }
    0
}
