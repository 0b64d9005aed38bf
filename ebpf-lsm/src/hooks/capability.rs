//! Capabilities, and the mounts that are made with one. The hook is reached only if the
//! task has the capability.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::address::capability_row;
use bartizan_abi::op::Operation;

use crate::credentials::is_borrowed;
use crate::hooks::restrict::is_mounting_denied;
use crate::identity::{Identity, identify};
use crate::judge::{Target, judge_row};
use crate::kernel::{Object, errno_eperm};

/// `CAP_OPT_NOAUDIT`: the kernel asks on its own account, nobody tries anything.
const NOAUDIT: u32 = 2;
const CAP_SYS_ADMIN: u32 = 21;

/// `capable` and its relatives, in any user namespace.
#[lsm(hook = "capable")]
pub fn capable(ctx: LsmContext) -> i32 {
    let cred: Object = ctx.arg(0);
    let capability: u32 = ctx.arg(2);
    let options: u32 = ctx.arg(3);
    if capability == CAP_SYS_ADMIN && is_mounting_denied(cred) {
        return errno_eperm();
    }
    let ops = Operation::Capable.bit();
    let rules = match identify(ops) {
        Identity::Unjudged => return 0,
        Identity::Broken => return errno_eperm(),
        Identity::Managed(rules) => rules,
    };
    if is_borrowed(cred) {
        return 0;
    }
    let target = Target {
        dentry: 0,
        high: 0,
        low: 0,
        detail: capability,
    };
    let row = capability_row(rules.table, capability);
    let quiet = options & NOAUDIT != 0;
    if judge_row(&rules, row, ops, &target, quiet) {
        return errno_eperm();
    }
    0
}
