//! Running programs.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::maps::Binding;
use bartizan_abi::op::{Operation, Ops};
use bartizan_abi::table::Automaton;

use crate::identity::{Identity, identify};
use crate::judge::judge_file;
use crate::kernel::{BPRM_FILE, FILE_DENTRY, Object, address, errno_eacces, load};
use crate::stacked::behind;
use crate::walks::walk;

/// Judges a file as code, and what is `behind` it if it has no name; true: deny.
#[inline(always)]
pub fn judge_code(dentry: u64, op: Ops, behind: impl FnOnce(*const Binding) -> u64) -> bool {
    let rules = match identify(op) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let rows = walk(&rules, dentry, Automaton::Process);
    let behind = || behind(rules.binding);
    judge_file(&rules, rows, Automaton::Process, op, dentry, behind)
}

/// `execve`: once for the file, once more for each interpreter of a script.
#[lsm(hook = "bprm_check_security")]
pub fn bprm_check_security(ctx: LsmContext) -> i32 {
    let bprm: Object = ctx.arg(0);
    let file: Object = load(bprm, &BPRM_FILE);
    let dentry: Object = load(file, &FILE_DENTRY);
    let behind = |binding| behind(binding, address(file));
    if judge_code(address(dentry), Operation::Exec.bit(), behind) {
        return errno_eacces();
    }
    0
}
