//! The file behind a file of an overlay.
//!
//! A container that may mount can show a protected directory in an overlay of its own, where
//! nothing has a name that rules know. For each file that is opened there, the kernel itself
//! opens the one behind it, which has.

use bartizan_abi::maps::{Binding, PROVISIONAL};

use crate::kernel::{
    BACKING_PATH, DENTRY_ALIASES, DENTRY_SB, FILE_DENTRY, FILE_INODE, FILE_MODE, FILE_PRIVATE,
    INODE_ALIASES, Object, SB_DEV, load, peek,
};
use crate::walks::is_mounted;

/// `FMODE_NOACCOUNT`: the kernel's own open of a file behind an overlay file.
const NOACCOUNT: u32 = 1 << 29;

/// Whether a file is one that the kernel has opened behind another.
#[inline(always)]
pub fn is_behind_another(file: Object) -> bool {
    load::<u32>(file, &FILE_MODE) & NOACCOUNT != 0
}

/// The dentry of the file that was opened, from the file behind it.
#[inline(always)]
pub fn opened_by(behind: u64) -> u64 {
    if BACKING_PATH.is_present() {
        return peek(behind + BACKING_PATH.get() as u64);
    }
    peek(behind + FILE_DENTRY.get() as u64)
}

/// The dentry of a file that is behind another; 0 if it can't be found.
#[inline(always)]
fn dentry_of(behind: u64) -> u64 {
    if BACKING_PATH.is_present() {
        return peek(behind + FILE_DENTRY.get() as u64);
    }
    // It carries the other's path; only its inode is its own. (Of several names of the inode
    // that are in memory, this is the one that was used last.)
    let inode: u64 = peek(behind + FILE_INODE.get() as u64);
    let alias: u64 = peek(inode + INODE_ALIASES.get() as u64);
    if alias == 0 {
        return 0;
    }
    alias - DENTRY_ALIASES.get() as u64
}

/// Whether a dentry is on a file system that has names in the container.
#[inline(always)]
fn is_known(binding: *const Binding, dentry: u64) -> bool {
    // SAFETY: a map value that the caller holds, not NULL.
    let held = unsafe { &*binding };
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64);
    let dev: u32 = peek(sb + SB_DEV.get() as u64);
    held.flags & PROVISIONAL != 0 || held.root.dev == dev || is_mounted(binding, dentry, dev)
}

/// The dentry of a file that is behind one with an unknown name; 0 if the other's name is
/// known, and has been judged.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn behind_unknown(binding: *const Binding, behind: u64) -> u64 {
    if binding.is_null() || is_known(binding, opened_by(behind)) {
        return 0;
    }
    dentry_of(behind)
}

/// The file behind an open file, which was opened by the name `dentry`; 0 if there is none.
#[inline(always)]
fn next(file: u64, dentry: u64) -> u64 {
    let stands_for = |other: u64| {
        peek::<u32>(other + FILE_MODE.get() as u64) & NOACCOUNT != 0 && opened_by(other) == dentry
    };
    // Overlay's own; since 6.13 that is a `struct ovl_file`, which begins with it.
    let other: u64 = peek(file + FILE_PRIVATE.get() as u64);
    if stands_for(other) {
        return other;
    }
    let other: u64 = peek(other);
    if stands_for(other) { other } else { 0 }
}

/// The dentry behind an open file that has a name in the container; 0 if there is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn behind(binding: *const Binding, file: u64) -> u64 {
    let dentry: u64 = peek(file + FILE_DENTRY.get() as u64);
    named_behind(binding, next(file, dentry))
}

/// [`behind`], from the file behind the one that was opened. There can be another behind it:
/// the kernel stacks two overlays at most.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn named_behind(binding: *const Binding, behind: u64) -> u64 {
    if binding.is_null() || behind == 0 {
        return 0;
    }
    let first = dentry_of(behind);
    if is_known(binding, first) {
        return first;
    }
    let second = dentry_of(next(behind, opened_by(behind)));
    if is_known(binding, second) { second } else { 0 }
}
