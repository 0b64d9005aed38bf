//! Opening and cutting files. `file_open` is the hook whose cost counts.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::maps::Binding;
use bartizan_abi::op::{Operation, Ops};
use bartizan_abi::rows::is_settled;
use bartizan_abi::table::Automaton;

use crate::credentials::are_borrowed;
use crate::identity::{Identity, identify};
use crate::judge::{judge_file, judge_opened_by_kernel};
use crate::kernel::{
    DENTRY_SB, FILE_DENTRY, FILE_FLAGS, FILE_MODE, Object, PATH_DENTRY, SB_FLAGS, SB_MAGIC,
    address, errno_eacces, load, peek,
};
use crate::stacked::{behind, behind_unknown, is_behind_another};
use crate::walks::{walk, walk_direct};

const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;
/// `__FMODE_EXEC` in `f_flags`: opened to be run, which `bprm_check_security` judges.
/// User space can't set it: it is no valid flag of `open`.
const OPENED_FOR_EXEC: u32 = 0x20;
const O_APPEND: u32 = 0o2000;
/// In `s_flags`: the kernel's own.
const SB_NOUSER: u32 = 1 << 31;
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// What can be done by opening a file.
const OPEN: Ops = Operation::Read.bit() | Operation::Write.bit() | Operation::Append.bit();

/// Judges an operation on a file, or the making of a name; true: deny.
#[inline(always)]
pub fn judge_path(dentry: u64, ops: Ops) -> bool {
    judge_path_of(dentry, ops, |_| 0)
}

/// [`judge_path`] for a file that may have another `behind` it, in a container's mounts.
#[inline(always)]
fn judge_path_of(dentry: u64, ops: Ops, behind: impl FnOnce(*const Binding) -> u64) -> bool {
    match identify(ops) {
        Identity::Unjudged => false,
        Identity::Broken => true,
        Identity::Managed(rules) => {
            let rows = walk(&rules, dentry, Automaton::Files);
            let behind = || behind(rules.binding);
            judge_file(&rules, rows, Automaton::Files, ops, dentry, behind)
        }
    }
}

/// What opening a file with this mode and these flags is.
#[inline(always)]
fn operations(mode: u32, flags: u32) -> Ops {
    let mut ops = 0;
    if mode & FMODE_READ != 0 {
        ops |= Operation::Read.bit();
    }
    if mode & FMODE_WRITE != 0 {
        ops |= if flags & O_APPEND != 0 {
            Operation::Append.bit()
        } else {
            Operation::Write.bit()
        };
    }
    ops
}

/// Whether a dentry is on a file system that nobody can mount: those of pipes, sockets,
/// memfds and the like, which are memory and no files.
#[inline(always)]
pub fn is_memory(dentry: u64) -> bool {
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64);
    peek::<u32>(sb + SB_FLAGS.get() as u64) & SB_NOUSER != 0
}

/// `open` and its relatives.
#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    if judge_open(ctx.arg(0)) {
        return errno_eacces();
    }
    0
}

/// Judges the opening of a file; true: deny.
#[inline(always)]
pub fn judge_open(file: Object) -> bool {
    let rules = match identify(OPEN) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let mode: u32 = load(file, &FILE_MODE);
    let flags: u32 = load(file, &FILE_FLAGS);
    if flags & OPENED_FOR_EXEC != 0 {
        return false;
    }
    let ops = operations(mode, flags);
    if is_behind_another(file) {
        // By the name that was opened it is judged already.
        let dentry = behind_unknown(rules.binding, address(file));
        let rows = walk(&rules, dentry, Automaton::Files);
        return dentry != 0 && judge_opened_by_kernel(&rules, rows, ops, dentry);
    }
    let dentry: Object = load(file, &FILE_DENTRY);
    let rows = walk_direct(rules.binding, rules.table_value(), dentry);
    if let Some((row, leaf)) = rows.named()
        && is_settled(rules.table, row, leaf, ops)
    {
        return false;
    }
    if are_borrowed() {
        return judge_opened_by_kernel(&rules, rows, ops, address(dentry));
    }
    if rows.named().is_none() {
        // A pipe opened again through /proc/self/fd is no file.
        let sb: Object = load(dentry, &DENTRY_SB);
        if load::<u64>(sb, &SB_MAGIC) == PIPEFS_MAGIC {
            return false;
        }
    }
    let automaton = Automaton::Files;
    judge_file(&rules, rows, automaton, ops, address(dentry), || 0)
}

/// A descriptor that another process has sent, or that was taken from it: as if its file
/// were opened here.
#[lsm(hook = "file_receive")]
pub fn file_receive(ctx: LsmContext) -> i32 {
    if judge_received(ctx.arg(0)) {
        return errno_eacces();
    }
    0
}

#[inline(always)]
fn judge_received(file: Object) -> bool {
    let rules = match identify(OPEN) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let ops = operations(load(file, &FILE_MODE), load(file, &FILE_FLAGS));
    // `O_PATH`: only a name, which is judged when it is used.
    if ops == 0 {
        return false;
    }
    let dentry = address(load(file, &FILE_DENTRY));
    let rows = walk(&rules, dentry, Automaton::Files);
    if rows.named().is_none() && is_memory(dentry) {
        return false;
    }
    let behind = || behind(rules.binding, address(file));
    judge_file(&rules, rows, Automaton::Files, ops, dentry, behind)
}

/// Cutting by path: `truncate`, and before 6.2 also `ftruncate` and `O_TRUNC`.
#[lsm(hook = "path_truncate")]
pub fn path_truncate(ctx: LsmContext) -> i32 {
    let path: Object = ctx.arg(0);
    let dentry: Object = load(path, &PATH_DENTRY);
    if judge_path(address(dentry), Operation::Truncate.bit()) {
        return errno_eacces();
    }
    0
}

/// Cutting by descriptor, and `O_TRUNC`, since 6.2.
#[lsm(hook = "file_truncate")]
pub fn file_truncate(ctx: LsmContext) -> i32 {
    let file: Object = ctx.arg(0);
    let dentry: Object = load(file, &FILE_DENTRY);
    let behind = |binding| behind(binding, address(file));
    if judge_path_of(address(dentry), Operation::Truncate.bit(), behind) {
        return errno_eacces();
    }
    0
}
