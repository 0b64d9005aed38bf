//! Mapping files: executable, and shared and writable.
//!
//! Whoever maps a file shared and writable writes it without another call. Opening it was
//! judged, but perhaps by rules or as a caller of another time.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::fields::dentry;
use bartizan_abi::maps::Binding;
use bartizan_abi::op::Operation;
use bartizan_abi::table::Automaton;

use crate::hooks::exec::judge_code;
use crate::hooks::file::is_memory;
use crate::identity::{Identity, identify};
use crate::judge::judge_file;
use crate::kernel::{
    FILE_DENTRY, Object, TASK_IN_EXECVE, VMA_FILE, VMA_FLAGS, address, current, errno_eacces, load,
    peek,
};
use crate::stacked::{behind, is_behind_another, named_behind, opened_by};
use crate::subject::executable;
use crate::walks::walk;

const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
/// `MAP_SHARED`, and a bit of `MAP_SHARED_VALIDATE`; not of `MAP_PRIVATE`.
const MAP_SHARED: u64 = 1;
const VM_SHARED: u64 = 8;

/// The kernel is mapping the segments of a program. Only the task itself runs in between,
/// so nobody can use the state.
#[inline(always)]
fn in_exec() -> bool {
    let task = current();
    let bit = TASK_IN_EXECVE.get();
    // SAFETY: a frozen offset; the verifier checks the access.
    let byte = unsafe { task.wrapping_add(bit >> 3).read_volatile() };
    byte >> (bit & 7) & 1 != 0
}

/// What an exec maps that is judged already or must be let in: the program itself, and a
/// dynamic loader, as its interpreter. Rules that name a loader deny to run it, and not all
/// programs that need it. Any other interpreter is a program that is run by another's name.
#[inline(always)]
fn is_expected_in_exec(dentry: u64) -> bool {
    if executable(address(current())) == dentry {
        return true;
    }
    let name: u64 = peek(dentry + dentry::NAME as u64);
    let [first, second, third] = peek::<[u8; 3]>(name);
    first == b'l' && second == b'd' && matches!(third, b'-' | b'.' | b'6')
}

/// Judges a file as something that is written, and what is `behind` it if it has no name;
/// true: deny.
#[inline(always)]
fn judge_writing(dentry: u64, behind: impl FnOnce(*const Binding) -> u64) -> bool {
    let op = Operation::Write.bit();
    let rules = match identify(op) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let rows = walk(&rules, dentry, Automaton::Files);
    if rows.named().is_none() && is_memory(dentry) {
        return false;
    }
    let behind = || behind(rules.binding);
    judge_file(&rules, rows, Automaton::Files, op, dentry, behind)
}

/// `mmap`; with PROT_EXEC it is how `ld.so PROGRAM` runs code.
#[lsm(hook = "mmap_file")]
pub fn mmap_file(ctx: LsmContext) -> i32 {
    let file: Object = ctx.arg(0);
    let prot: u64 = ctx.arg(2);
    let flags: u64 = ctx.arg(3);
    // NULL: an anonymous mapping. From 7.0 on the verifier asks for the check.
    if file.is_null() {
        return 0;
    }
    let dentry: Object = load(file, &FILE_DENTRY);
    let behind = |binding| behind(binding, address(file));
    if prot & PROT_WRITE != 0 && flags & MAP_SHARED != 0 && judge_writing(address(dentry), behind) {
        return errno_eacces();
    }
    if prot & PROT_EXEC == 0 || in_exec() && is_expected_in_exec(address(dentry)) {
        return 0;
    }
    if judge_code(address(dentry), Operation::Map.bit(), behind) {
        return errno_eacces();
    }
    0
}

/// `mprotect` of a mapped file.
#[lsm(hook = "file_mprotect")]
pub fn file_mprotect(ctx: LsmContext) -> i32 {
    let vma: Object = ctx.arg(0);
    let prot: u64 = ctx.arg(2);
    if prot & (PROT_WRITE | PROT_EXEC) == 0 {
        return 0;
    }
    let file: Object = load(vma, &VMA_FILE);
    if file.is_null() {
        return 0;
    }
    let mut dentry = address(load(file, &FILE_DENTRY));
    // A mapping of an overlay file is one of the file behind it.
    let is_behind = is_behind_another(file);
    if is_behind {
        dentry = opened_by(address(file));
    }
    let behind = |binding| {
        if is_behind {
            named_behind(binding, address(file))
        } else {
            0
        }
    };
    let shared = load::<u64>(vma, &VMA_FLAGS) & VM_SHARED != 0;
    if prot & PROT_WRITE != 0 && shared && judge_writing(dentry, behind) {
        return errno_eacces();
    }
    if prot & PROT_EXEC == 0 || in_exec() {
        return 0;
    }
    if judge_code(dentry, Operation::Map.bit(), behind) {
        return errno_eacces();
    }
    0
}
