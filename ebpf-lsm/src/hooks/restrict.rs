//! What policies restrict as a whole: mounts, tracing, `bpf(2)`, user namespaces, loading
//! code into the kernel, `io_uring`. One row of the table has the answers to all of them.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::op::Operation;
use bartizan_abi::table::{At, Table, header};

use crate::identity::{Identity, identify};
use crate::judge::{Target, judge_for_everybody};
use crate::kernel::{
    CALL_NUMBER, FILE_DENTRY, MOUNT_ROOT, Object, PATH_DENTRY, STRING_BYTES, TASK_REAL_CRED,
    TASK_TGID, address, current, errno_eperm, load,
};

/// Judges an operation of the current task; true: deny.
#[inline(always)]
fn is_denied(operation: Operation, target: &Target) -> bool {
    let ops = operation.bit();
    match identify(ops) {
        Identity::Unjudged => false,
        Identity::Broken => true,
        Identity::Managed(rules) => {
            let row = rules.table.header().u32(header::RESTRICT_ROW);
            judge_for_everybody(&rules, row, ops, target)
        }
    }
}

/// A hook's answer. `detail`: see [`bartizan_abi::event::Event`].
#[inline(always)]
fn answer(operation: Operation, dentry: Object, detail: u32) -> i32 {
    let target = Target {
        detail,
        ..Target::file(address(dentry))
    };
    if is_denied(operation, &target) {
        return errno_eperm();
    }
    0
}

const NOTHING: Object = core::ptr::null();

/// Programs of hooks with a `struct path` that is mounted on, moved to or pivoted to.
macro_rules! on_mount_point {
    ($($hook:ident, $name:literal, $argument:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[lsm(hook = $name)]
            pub fn $hook(ctx: LsmContext) -> i32 {
                let path: Object = ctx.arg($argument);
                answer(Operation::Mount, load(path, &PATH_DENTRY), 0)
            }
        )*
    };
}

on_mount_point! {
    sb_mount, "sb_mount", 1;
    sb_pivotroot, "sb_pivotroot", 1;
    move_mount, "move_mount", 1;
}

/// `umount`
#[lsm(hook = "sb_umount")]
pub fn sb_umount(ctx: LsmContext) -> i32 {
    let mount: Object = ctx.arg(0);
    answer(Operation::Mount, load(mount, &MOUNT_ROOT), 0)
}

/// Whether the current system call is one of the mount API of 5.2, of those that make or
/// change mounts without a hook of their own. Their numbers are the same on all
/// architectures and for 32-bit processes.
#[inline(always)]
fn is_mount_call() -> bool {
    const OPEN_TREE: u32 = 428;
    const FSOPEN: u32 = 430;
    const FSPICK: u32 = 433;
    const MOUNT_SETATTR: u32 = 442;
    const OPEN_TREE_ATTR: u32 = 467;
    /// In the numbers of x32.
    const X32: u32 = 0x4000_0000;
    // SAFETY: the current task has registers as long as it is in a system call, and a
    // fault in reading them reads zero.
    let registers = unsafe { bpf_task_pt_regs(current().cast_mut().cast()) } as Object;
    let number = load::<u64>(registers, &CALL_NUMBER) as u32 & !X32;
    number == OPEN_TREE
        || (FSOPEN..=FSPICK).contains(&number)
        || number == MOUNT_SETATTR
        || number == OPEN_TREE_ATTR
}

/// Judges the use of `CAP_SYS_ADMIN` as `cred`, which all those calls need; true: deny.
/// Credentials that aren't the task's own are what a file system does for itself: overlayfs
/// reads its attributes with those of whoever mounted it.
#[inline(always)]
pub fn is_mounting_denied(cred: Object) -> bool {
    let own: Object = load(current(), &TASK_REAL_CRED);
    address(cred) == address(own)
        && is_mount_call()
        && is_denied(Operation::Mount, &Target::file(0))
}

/// Judges tracing; true: deny. `mode` as the kernel asks: reading what `/proc` shows of
/// another process is no tracing, or nobody could run `ps`.
#[inline(always)]
pub fn is_tracing_denied(other: Object, mode: u32) -> bool {
    const PTRACE_MODE_ATTACH: u32 = 2;
    let target = Target {
        detail: load(other, &TASK_TGID),
        ..Target::file(0)
    };
    mode & PTRACE_MODE_ATTACH != 0 && is_denied(Operation::Ptrace, &target)
}

/// `PTRACE_TRACEME`: the current task asks its parent to trace it.
#[lsm(hook = "ptrace_traceme")]
pub fn ptrace_traceme(ctx: LsmContext) -> i32 {
    let parent: Object = ctx.arg(0);
    answer(Operation::Ptrace, NOTHING, load(parent, &TASK_TGID))
}

/// `bpf(2)`, whatever the command.
#[lsm(hook = "bpf")]
pub fn bpf(ctx: LsmContext) -> i32 {
    answer(Operation::Bpf, NOTHING, ctx.arg(0))
}

/// `CLONE_NEWUSER`
#[lsm(hook = "userns_create")]
pub fn userns_create(_: LsmContext) -> i32 {
    answer(Operation::UserNamespace, NOTHING, 0)
}

/// What the kernel reads for itself (`enum kernel_read_file_id`, and `kernel_load_data_id`
/// with the same numbers) that it will run: a module is 2 on every kernel. Then come, until
/// 6.18, images of kernels and their initramfs; later, compressed modules and these images.
#[inline(always)]
fn is_code(id: u32) -> bool {
    (2..=4).contains(&id)
}

/// `finit_module`, `kexec_file_load`
#[lsm(hook = "kernel_read_file")]
pub fn kernel_read_file(ctx: LsmContext) -> i32 {
    let file: Object = ctx.arg(0);
    if !is_code(ctx.arg(1)) {
        return 0;
    }
    let dentry = if file.is_null() {
        NOTHING
    } else {
        load(file, &FILE_DENTRY)
    };
    answer(Operation::ModuleLoad, dentry, 0)
}

/// `init_module`, `kexec_load`
#[lsm(hook = "kernel_load_data")]
pub fn kernel_load_data(ctx: LsmContext) -> i32 {
    if !is_code(ctx.arg(0)) {
        return 0;
    }
    answer(Operation::ModuleLoad, NOTHING, 0)
}

/// The kernel asks for a module on behalf of the current task: a socket of an unusual
/// family, a file system. Refused, it goes on as if there were none.
#[lsm(hook = "kernel_module_request")]
pub fn kernel_module_request(_: LsmContext) -> i32 {
    answer(Operation::ModuleLoad, NOTHING, 0)
}

/// The inode behind a new ring. `uring_allowed` is there since 6.16 alone, and before this
/// is the only hook that a ring can't be had without.
#[lsm(hook = "inode_init_security_anon")]
pub fn inode_init_security_anon(ctx: LsmContext) -> i32 {
    const RING: [u8; 11] = *b"[io_uring]\0";
    let name: Object = ctx.arg(1);
    let bytes: *const [u8; 11] = load(name, &STRING_BYTES);
    // SAFETY: the helper checks the address.
    let Ok(bytes) = (unsafe { bpf_probe_read_kernel(bytes) }) else {
        return 0;
    };
    if bytes != RING {
        return 0;
    }
    answer(Operation::IoUring, NOTHING, 0)
}
