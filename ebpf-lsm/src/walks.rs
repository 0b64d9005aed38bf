//! From a dentry to rows: the walk, and the container's mount table.

use aya_ebpf::helpers::bpf_get_current_task_btf;
use bartizan_abi::fields::dentry::{INODE, PARENT, PPREV};
use bartizan_abi::limits::MOUNT_SLOTS;
use bartizan_abi::maps::{
    Binding, MOUNT_MULTI, MOUNT_PROBES, MOUNT_ROOT, MOUNT_USED, Mount, PROVISIONAL, mount_slot,
};
use bartizan_abi::table::Automaton;
use bartizan_abi::walk::{classify, leaf_rows};

use crate::dentry::{Direct, Probed};
use crate::identity::Rules;
use crate::kernel::{
    DENTRY_SB, FS_ROOT, INODE_INO, Object, SB_DEV, SB_ROOT, TASK_FS, load, load_at, peek,
};
use crate::table::{Compiled, TableValue};

/// What a path matches.
#[derive(Clone, Copy)]
pub enum Rows {
    /// Rows of the path and of its leaf.
    Named(u32, u32),
    /// It has no name in the container.
    Unresolved,
}

/// Answer of [`walk_probed`] for a path without a name.
const UNRESOLVED: u64 = u64::MAX;

/// `walk_probed`: the object exists; if its name was removed it has none.
const EXISTING: u32 = 0x100;

/// The dentry's name was removed (or never was one: `O_TMPFILE`).
#[inline(always)]
fn is_removed(dentry: u64) -> bool {
    let pprev: u64 = peek(dentry + PPREV as u64).unwrap_or(0);
    let parent: u64 = peek(dentry + PARENT as u64).unwrap_or(0);
    pprev == 0 && parent != dentry
}

/// The current task's root directory.
#[inline(always)]
fn task_root() -> Object {
    // SAFETY: no arguments.
    let task: Object = unsafe { bpf_get_current_task_btf() }.cast_const().cast();
    let fs: Object = load(task, &TASK_FS);
    if fs.is_null() {
        return core::ptr::null();
    }
    load(fs, &FS_ROOT)
}

/// The state in which a mount's paths start.
#[inline(always)]
fn state(mount: &Mount, automaton: Automaton) -> u32 {
    match automaton {
        Automaton::Process => mount.process as u32,
        Automaton::Files => mount.files as u32,
        _ => mount.subject as u32,
    }
}

/// Rows of a file, for the hook whose cost counts.
#[inline(always)]
pub fn walk_direct(rules: &Rules, dentry: Object) -> Rows {
    let pprev: u64 = load_at(dentry, PPREV);
    if pprev == 0 && load_at::<Object>(dentry, PARENT) != dentry {
        return Rows::Unresolved;
    }
    let binding = rules.binding();
    let provisional = binding.flags & PROVISIONAL != 0;
    let stop = if provisional { task_root() } else { core::ptr::null() };
    let path = Direct { table: rules.table, dentry, stop };
    let Some((classes, top)) = classify(rules.table, path) else {
        return Rows::Unresolved;
    };
    let sb: Object = load(dentry, &DENTRY_SB);
    let mut start = state(&binding.root, Automaton::Files);
    let mut depth = classes.depth;
    if provisional {
        if top.dentry != stop {
            return Rows::Unresolved;
        }
    } else {
        if top.dentry != load(sb, &SB_ROOT) {
            return Rows::Unresolved;
        }
        let dev: u32 = load(sb, &SB_DEV);
        let plain = binding.root.flags & (MOUNT_ROOT | MOUNT_MULTI) == MOUNT_ROOT;
        if binding.root.dev != dev || !plain {
            let found = find_mount(rules.binding, crate::kernel::address(dentry), dev);
            let Some(mount) = mount_at(binding, found) else {
                return Rows::Unresolved;
            };
            start = state(mount, Automaton::Files);
            if found & FOUND_DEPTH != 0 {
                depth = (found >> 8) as u32 & 0xff;
            }
        }
    }
    let Some(row) = classes.row(rules.table, path, start, depth) else {
        return Rows::Unresolved;
    };
    let leaf = if depth == 0 { 0 } else { leaf_rows(rules.table, classes.leaf).1 };
    Rows::Named(row, leaf)
}

/// `find_mount`: a mount was found; its slot is in the low byte.
const FOUND: u64 = 1 << 32;
/// `find_mount`: it is below the file system's root; the second byte counts the
/// components below it.
const FOUND_DEPTH: u64 = 1 << 33;

#[inline(always)]
fn mount_at(binding: &Binding, found: u64) -> Option<&Mount> {
    if found & FOUND == 0 {
        return None;
    }
    // SAFETY: the index is masked to the table's size, a power of two.
    Some(unsafe { binding.mounts.get_unchecked((found & u64::from(MOUNT_SLOTS - 1)) as usize) })
}

/// Finds a mount's slot by file system and inode.
#[inline(always)]
fn probe(binding: &Binding, dev: u32, ino: u64) -> Option<u32> {
    let first = mount_slot(binding.seed, dev, ino);
    let mut i = 0;
    while i < MOUNT_PROBES {
        let slot = (first + i) & (MOUNT_SLOTS - 1);
        let mut index = u64::from(slot);
        // SAFETY: plain arithmetic on a register, next to its use for the verifier.
        unsafe {
            core::arch::asm!("{0} &= 255", inout(reg) index, options(pure, nomem, nostack));
        }
        // SAFETY: masked to the table's size.
        let mount = unsafe { binding.mounts.get_unchecked(index as usize) };
        if mount.dev == dev && mount.ino == ino && mount.flags & MOUNT_USED != 0 {
            return Some(slot);
        }
        i += 1;
    }
    None
}

/// Finds the mount a dentry is on: the nearest mounted ancestor, else the file
/// system's own root.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_mount(binding: *const Binding, dentry: u64, dev: u32) -> u64 {
    if binding.is_null() {
        return 0;
    }
    // SAFETY: a map value that the caller holds.
    let binding = unsafe { &*binding };
    let Some(whole) = probe(binding, dev, 0) else {
        return 0;
    };
    let mut index = u64::from(whole);
    // SAFETY: plain arithmetic on a register.
    unsafe { core::arch::asm!("{0} &= 255", inout(reg) index, options(pure, nomem, nostack)) };
    // SAFETY: masked to the table's size.
    let flags = unsafe { binding.mounts.get_unchecked(index as usize) }.flags;
    if flags & MOUNT_MULTI != 0 {
        let mut at = dentry;
        let mut depth = 0;
        while depth <= 64 {
            let inode: u64 = peek(at + INODE as u64).unwrap_or(0);
            let ino: u64 = peek(inode.wrapping_add(INODE_INO.get() as u64)).unwrap_or(0);
            if ino != 0 && let Some(slot) = probe(binding, dev, ino) {
                return u64::from(slot) | depth << 8 | FOUND | FOUND_DEPTH;
            }
            let parent: u64 = peek(at + PARENT as u64).unwrap_or(at);
            if parent == at {
                break;
            }
            at = parent;
            depth += 1;
        }
    }
    if flags & MOUNT_ROOT == 0 {
        return 0;
    }
    u64::from(whole) | FOUND
}

/// Rows of a file by its address, packed; verified once however often it is called.
/// `what`: an [`Automaton`] (for Subject the row is the subject), and [`EXISTING`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_probed(
    binding: *const Binding,
    table: *const TableValue,
    dentry: u64,
    what: u32,
) -> u64 {
    let automaton = what & 0xff;
    if what & EXISTING != 0 && is_removed(dentry) {
        return UNRESOLVED;
    }
    if binding.is_null() || table.is_null() {
        return UNRESOLVED;
    }
    // SAFETY: a map value that the caller holds.
    let held = unsafe { &*binding };
    let compiled = Compiled::new(table);
    let provisional = held.flags & PROVISIONAL != 0;
    let stop = if provisional { crate::kernel::address(task_root()) } else { 0 };
    let path = Probed { table: compiled, dentry, stop };
    let Some((classes, top)) = classify(compiled, path) else {
        return UNRESOLVED;
    };
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64).unwrap_or(0);
    let mut mount = &held.root;
    let mut depth = classes.depth;
    if provisional {
        if top.dentry != stop {
            return UNRESOLVED;
        }
    } else {
        let root: u64 = peek(sb + SB_ROOT.get() as u64).unwrap_or(0);
        if top.dentry != root {
            return UNRESOLVED;
        }
        let dev: u32 = peek(sb + SB_DEV.get() as u64).unwrap_or(0);
        let plain = held.root.flags & (MOUNT_ROOT | MOUNT_MULTI) == MOUNT_ROOT;
        if held.root.dev != dev || !plain {
            let found = find_mount(binding, dentry, dev);
            let Some(other) = mount_at(held, found) else {
                return UNRESOLVED;
            };
            mount = other;
            if found & FOUND_DEPTH != 0 {
                depth = (found >> 8) as u32 & 0xff;
            }
        }
    }
    let start = match automaton {
        0 => mount.process as u32,
        1 => mount.files as u32,
        _ => mount.subject as u32,
    };
    let Some(row) = classes.row(compiled, path, start, depth) else {
        return UNRESOLVED;
    };
    let (process, files) =
        if depth == 0 { (0, 0) } else { leaf_rows(compiled, classes.leaf) };
    let leaf = match automaton {
        0 => process,
        1 => files,
        _ => 0,
    };
    u64::from(row) | u64::from(leaf) << 16
}

/// Rows of an existing object.
#[inline(always)]
pub fn walk(rules: &Rules, dentry: u64, automaton: Automaton) -> Rows {
    unpack(rules, dentry, automaton as u32 | EXISTING)
}

/// Rows of a name that is about to be made.
#[inline(always)]
pub fn walk_new(rules: &Rules, dentry: u64, automaton: Automaton) -> Rows {
    unpack(rules, dentry, automaton as u32)
}

#[inline(always)]
fn unpack(rules: &Rules, dentry: u64, what: u32) -> Rows {
    let rows = walk_probed(rules.binding, rules.table_value(), dentry, what);
    if rows == UNRESOLVED {
        return Rows::Unresolved;
    }
    Rows::Named(rows as u32 & 0xffff, (rows >> 16) as u32 & 0xffff)
}

/// Where an event's path starts: the mount's number and the components below it.
#[inline(always)]
pub fn locate(binding: &Binding, dentry: u64) -> Option<(u32, u32)> {
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64)?;
    let dev: u32 = peek(sb + SB_DEV.get() as u64)?;
    let found = find_mount(binding, dentry, dev);
    let mount = mount_at(binding, found)?;
    let depth = if found & FOUND_DEPTH != 0 { (found >> 8) as u32 & 0xff } else { 64 };
    Some((mount.mount as u32, depth))
}

/// Address of the directory at which a provisional binding's paths start; 0 for none.
#[inline(always)]
pub fn stop(binding: &Binding) -> u64 {
    if binding.flags & PROVISIONAL != 0 { crate::kernel::address(task_root()) } else { 0 }
}
