//! From a dentry to rows: the walk, and the container's mount table.

use bartizan_abi::automaton::row_of;
use bartizan_abi::fields::dentry::{INODE, PARENT};
use bartizan_abi::limits::{MAX_DEPTH, MOUNT_SLOTS};
use bartizan_abi::maps::{
    Binding, MOUNT_MULTI, MOUNT_PROBES, MOUNT_ROOT, MOUNT_USED, Mount, PROVISIONAL, mount_slot,
};
use bartizan_abi::repeat::Step;
use bartizan_abi::table::{Automaton, Table};
use bartizan_abi::walk::{Classes, Classified, Cursor, leaf_rows};

use crate::dentry::{Direct, Probed};
use crate::identity::Rules;
use crate::kernel::{
    DENTRY_SB, INODE_INO, Object, SB_DEV, SB_ROOT, address, current, load, peek, root_of,
};
use crate::repeat::repeat;
use crate::table::{Compiled, TableValue};

/// What a path matches: rows of the path and of its leaf in one number, whose upper half
/// means nothing unless all bits are set.
#[derive(Clone, Copy)]
pub struct Rows(u64);

/// The path has no name in the container.
const UNRESOLVED: Rows = Rows(u64::MAX);

impl Rows {
    #[inline(always)]
    fn new(path: u64, leaf: u64) -> Self {
        Self(path | leaf << 16)
    }

    /// The rows, or `None` if the path has no name.
    #[inline(always)]
    pub fn named(self) -> Option<(u64, u64)> {
        if self.0 == UNRESOLVED.0 {
            return None;
        }
        Some((self.0 & 0xffff, self.0 >> 16 & 0xffff))
    }
}

/// Where the names of a file system end: its root, or the task's while the container's
/// mounts aren't known.
#[inline(always)]
pub fn end(binding: &Binding, sb_root: u64) -> u64 {
    if binding.flags & PROVISIONAL != 0 {
        root_of(current())
    } else {
        sb_root
    }
}

/// Rows of a file, for the hook whose cost counts. A function of its own, for its
/// stack. (A pointer to rules would have to be on the caller's.)
#[inline(never)]
pub fn walk_direct(binding: *const Binding, table: *const TableValue, dentry: Object) -> Rows {
    let table = Compiled::new(table);
    // SAFETY: a map value that the caller holds.
    let held = unsafe { &*binding };
    let sb: Object = load(dentry, &DENTRY_SB);
    let end = if held.flags & PROVISIONAL != 0 {
        // It is only compared.
        root_of(current()) as Object
    } else {
        load(sb, &SB_ROOT)
    };
    let mut start = u64::from(held.root.files);
    let mut depth = WHOLE;
    let plain = held.root.flags & (MOUNT_ROOT | MOUNT_MULTI) == MOUNT_ROOT
        && held.root.dev == load(sb, &SB_DEV);
    if !plain {
        let found = origin(binding, address(dentry), Automaton::Files as u32);
        if found & ANSWER != 0 {
            return Rows(found);
        }
        start = found & 0xffff;
        depth = found >> 16 & 0xff;
    }
    let path = Direct { table, dentry, end };
    let mut classes = Classes::new();
    let Some(found) = classes.classify(path) else {
        return UNRESOLVED;
    };
    rows(
        table,
        path,
        &classes,
        found,
        start,
        depth,
        Automaton::Files as u32,
    )
}

/// `find_mount`: a mount was found; its slot is in the low byte, and the number of
/// components below it in the second.
const FOUND: u64 = 1 << 32;

/// "All components", as the number of those below a mount.
const WHOLE: u64 = 0xff;

/// The second pass, and the leaf's row.
#[inline(always)]
fn rows<T: Table, C: Cursor>(
    table: T,
    path: C,
    classes: &Classes,
    found: Classified,
    start: u64,
    below: u64,
    automaton: u32,
) -> Rows {
    let mut depth = found.depth;
    if below < depth {
        depth = below;
    }
    if depth == 0 {
        // The root directory, or an executable that is a mount point itself.
        return Rows::new(row_of(table, start), 0);
    }
    let Some(row) = classes.row(path, start, depth) else {
        return UNRESOLVED;
    };
    if found.leaf == 0 {
        return Rows::new(row, 0);
    }
    let (process, files) = leaf_rows(table, found.leaf);
    let leaf = match automaton {
        0 => process,
        1 => files,
        _ => 0,
    };
    Rows::new(row, leaf)
}

#[inline(always)]
fn mount_at(binding: &Binding, found: u64) -> Option<&Mount> {
    if found & FOUND == 0 {
        return None;
    }
    let mut index = found;
    // SAFETY: plain arithmetic on a register, next to its use for the verifier.
    unsafe { core::arch::asm!("{0} &= 255", inout(reg) index, options(pure, nomem, nostack)) };
    // SAFETY: masked to the table's size.
    Some(unsafe { binding.mounts.get_unchecked(index as usize) })
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
    let whole = u64::from(whole) | FOUND | WHOLE << 8;
    let Some(mount) = mount_at(binding, whole) else {
        return 0;
    };
    if mount.flags & MOUNT_MULTI != 0 {
        let mut search = Search {
            binding,
            dev,
            at: dentry,
            found: 0,
        };
        repeat(MAX_DEPTH + 1, &mut search);
        if search.found != 0 {
            return search.found;
        }
    }
    if mount.flags & MOUNT_ROOT == 0 {
        return 0;
    }
    whole
}

/// Whether a dentry is on a mount that the container was started with.
#[inline(always)]
pub fn is_mounted(binding: *const Binding, dentry: u64, dev: u32) -> bool {
    find_mount(binding, dentry, dev) & FOUND != 0
}

/// On the way from a dentry to the mount point it is below.
struct Search<'a> {
    binding: &'a Binding,
    dev: u32,
    at: u64,
    found: u64,
}

impl Step for Search<'_> {
    #[inline(always)]
    fn step(&mut self, depth: u64) -> Option<bool> {
        let inode: u64 = peek(self.at + INODE as u64);
        let ino: u64 = peek(inode.wrapping_add(INODE_INO.get() as u64));
        if ino != 0
            && let Some(slot) = probe(self.binding, self.dev, ino)
        {
            self.found = u64::from(slot) | (depth & 0xff) << 8 | FOUND;
            return Some(false);
        }
        let parent: u64 = peek(self.at + PARENT as u64);
        let more = parent != self.at;
        self.at = parent;
        Some(more)
    }
}

/// `origin`: these are rows, with nothing to walk.
const ANSWER: u64 = 1 << 33;

/// Where an object's name begins: the state of `automaton` at its mount point, and the
/// number of components below it in the third byte. An object that is a mount point
/// itself, or that has no name, gets its [`Rows`], with [`ANSWER`]. One bit for both: a
/// second test costs `walk_probed` stack that it doesn't have.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn origin(binding: *const Binding, dentry: u64, automaton: u32) -> u64 {
    if binding.is_null() {
        return UNRESOLVED.0;
    }
    // SAFETY: a map value that the caller holds.
    let held = unsafe { &*binding };
    let mut mount = &held.root;
    let mut below = WHOLE;
    if held.flags & PROVISIONAL == 0 {
        let sb: u64 = peek(dentry + DENTRY_SB.get() as u64);
        let dev: u32 = peek(sb + SB_DEV.get() as u64);
        let found = find_mount(binding, dentry, dev);
        let Some(other) = mount_at(held, found) else {
            return UNRESOLVED.0;
        };
        mount = other;
        below = found >> 8 & 0xff;
        let itself = below == 0 || peek::<u64>(sb + SB_ROOT.get() as u64) == dentry;
        if itself && automaton < Automaton::Subject as u32 {
            let [path, leaf] = if automaton == 0 {
                mount.own_process
            } else {
                mount.own_files
            };
            return Rows::new(path.into(), leaf.into()).0 | ANSWER;
        }
    }
    let start = match automaton {
        0 => mount.process,
        1 => mount.files,
        _ => mount.subject,
    };
    u64::from(start) | below << 16
}

/// Rows of a file by its address, packed; verified once however often it is called.
/// For the automaton Subject the row is the subject.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_probed(
    binding: *const Binding,
    table: *const TableValue,
    dentry: u64,
    automaton: u32,
) -> u64 {
    if binding.is_null() || table.is_null() {
        return UNRESOLVED.0;
    }
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64);
    // SAFETY: a map value that the caller holds.
    let end = end(unsafe { &*binding }, peek(sb + SB_ROOT.get() as u64));
    let found = origin(binding, dentry, automaton);
    if found & ANSWER != 0 {
        return found;
    }
    let path = Probed {
        table: Compiled::new(table),
        dentry,
        end,
    };
    let table = Compiled::new(table);
    let mut classes = Classes::new();
    let Some(classified) = classes.classify(path) else {
        return UNRESOLVED.0;
    };
    let (start, below) = (found & 0xffff, found >> 16 & 0xff);
    rows(table, path, &classes, classified, start, below, automaton).0
}

/// Rows of an object: of the name that it has, or is about to get, or had last.
#[inline(always)]
pub fn walk(rules: &Rules, dentry: u64, automaton: Automaton) -> Rows {
    Rows(walk_probed(
        rules.binding,
        rules.table_value(),
        dentry,
        automaton as u32,
    ))
}

/// Where an event's path starts: the mount's number, the components below it, and the
/// directory at which it ends in any case.
#[inline(always)]
pub fn locate(binding: &Binding, dentry: u64) -> (Option<(u32, u64)>, u64) {
    let sb: u64 = peek(dentry + DENTRY_SB.get() as u64);
    let end = end(binding, peek(sb + SB_ROOT.get() as u64));
    if binding.flags & PROVISIONAL != 0 {
        return (Some((0, WHOLE)), end);
    }
    let dev: u32 = peek(sb + SB_DEV.get() as u64);
    let found = find_mount(binding, dentry, dev);
    let place = mount_at(binding, found).map(|mount| (mount.mount as u32, found >> 8 & 0xff));
    (place, end)
}
