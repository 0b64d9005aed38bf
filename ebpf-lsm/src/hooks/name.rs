//! Names: making, removing, moving and linking them, and a file's attributes.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::fields::dentry::INODE;
use bartizan_abi::op::{Operation, Ops};

use crate::hooks::file::judge_path;
use crate::kernel::{Object, PATH_DENTRY, address, errno_eacces, load, load_at};

const DELETE: Ops = Operation::Delete.bit();
const CREATE: Ops = Operation::Create.bit();
/// What a rename does to the name it takes away.
const MOVE: Ops = DELETE | Operation::Rename.bit();
const RENAME_EXCHANGE: u32 = 2;
const S_IFMT: u64 = 0o170_000;
const S_IFSOCK: u64 = 0o140_000;

/// Programs of hooks `(const struct path *dir, struct dentry *dentry, ...)`.
macro_rules! in_directory {
    ($($hook:ident, $name:literal, $ops:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[lsm(hook = $name)]
            pub fn $hook(ctx: LsmContext) -> i32 {
                let dentry: Object = ctx.arg(1);
                if judge_path(address(dentry), $ops) {
                    return errno_eacces();
                }
                0
            }
        )*
    };
}

in_directory! {
    path_unlink, "path_unlink", DELETE;
    path_rmdir, "path_rmdir", DELETE;
    path_mkdir, "path_mkdir", CREATE;
    path_symlink, "path_symlink", CREATE;
}

/// Nodes, and files that `open` makes. A Unix socket is bound to a path by making its node.
#[lsm(hook = "path_mknod")]
pub fn path_mknod(ctx: LsmContext) -> i32 {
    let dentry: Object = ctx.arg(1);
    let mode: u64 = ctx.arg(2);
    let ops = if mode & S_IFMT == S_IFSOCK {
        CREATE | Operation::Bind.bit()
    } else {
        CREATE
    };
    if judge_path(address(dentry), ops) {
        return errno_eacces();
    }
    0
}

/// Programs of hooks `(const struct path *path, ...)`.
macro_rules! on_path {
    ($($hook:ident, $name:literal, $ops:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[lsm(hook = $name)]
            pub fn $hook(ctx: LsmContext) -> i32 {
                let path: Object = ctx.arg(0);
                let dentry: Object = load(path, &PATH_DENTRY);
                if judge_path(address(dentry), $ops) {
                    return errno_eacces();
                }
                0
            }
        )*
    };
}

on_path! {
    path_chmod, "path_chmod", Operation::Chmod.bit();
    path_chown, "path_chown", Operation::Chown.bit();
}

/// A hard link: the source is judged as well, or it would get a name without rules.
#[lsm(hook = "path_link")]
pub fn path_link(ctx: LsmContext) -> i32 {
    let old: Object = ctx.arg(0);
    let new: Object = ctx.arg(2);
    if judge_path(address(old), Operation::Link.bit()) || judge_path(address(new), CREATE) {
        return errno_eacces();
    }
    0
}

/// A rename: both ends, and what the new name had.
#[lsm(hook = "path_rename")]
pub fn path_rename(ctx: LsmContext) -> i32 {
    let old: Object = ctx.arg(1);
    let new: Object = ctx.arg(3);
    let flags: u32 = ctx.arg(4);
    let exchange = flags & RENAME_EXCHANGE != 0;
    let old_ops = if exchange { MOVE | CREATE } else { MOVE };
    let mut new_ops = CREATE;
    if exchange {
        new_ops = MOVE | CREATE;
    } else if !load_at::<Object>(new, INODE).is_null() {
        new_ops = CREATE | DELETE;
    }
    if judge_path(address(old), old_ops) || judge_path(address(new), new_ops) {
        return errno_eacces();
    }
    0
}
