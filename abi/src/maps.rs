//! Keys and values of the kernel maps other than tables.
//!
//! ```text
//!   cgroup id ─► LABELS (direct-mapped) / CGROUPS (truth) ─► workload number
//!   workload  ─► BINDINGS ─► Sides ─► Binding {table number, mounts}, swapped as one
//!   table     ─► TABLES   ─► table::Table                       shared
//! ```

use crate::limits::MOUNT_SLOTS;

/// A slot of the label cache at `cgroup id % LABEL_SLOTS`.
///
/// A kernel update writes the fields in this order. Readers: `id` equal and
/// `workload` not 0: managed. Otherwise `busy` 0: unmanaged, exactly. Otherwise ask
/// the hash map. Writers: hash map first, then `busy`, then (user space alone)
/// `workload`, then `id`; a taken slot is emptied (`id` 0) before it gets another id.
///
/// A cgroup that finds no room in the hash map makes its slot busy all the same, after
/// [`RARE_INCOMPLETE`]. A cgroup in which a process is that has the rules of another one
/// makes its slot busy, too, after [`RARE_LEAVERS`], and no cached `workload` stays with it.
/// As long as these are 0, an id that is not in the hash map is unmanaged.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Some id of this slot is in the hash map, or should be and found it full, or a
    /// process that left its own cgroup has been there.
    pub busy: u64,
    /// Workload of `id`.
    pub workload: u64,
    /// Cgroup id, 0 for none.
    pub id: u64,
    /// Keeps the size a power of two.
    pub pad: u64,
}

/// Index into the RARE map, whose words become 1 once and stay: some cgroup below a labelled
/// one found no room for its label.
pub const RARE_INCOMPLETE: u32 = 0;
/// The same: some process has left its container's cgroup.
pub const RARE_LEAVERS: u32 = 1;
/// Number of these words.
pub const RARE: u32 = 2;

/// A process, for as long as it exists. An `exec` by another of its threads changes neither.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// `start_boottime` of its first thread, ns.
    pub started: u64,
    /// Its number in the node's pid namespace.
    pub number: u64,
}

/// In place of the workload of a process that has outlived it: denied everything that some
/// rule map judges.
pub const GONE: u32 = u32::MAX;

/// A container's binding and the place of its next one: what [`Sides::current`] names
/// is in use, the other is filled while nobody looks.
///
/// Replacing the map that holds it instead would make the system call wait until all
/// programs that run have ended, some 20 ms for each container.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// Index into `sides`, 0 or 1: one byte changes, so no reader sees a mix, however the
    /// kernel copies.
    pub current: u64,
    /// A side that was in use may be read until all programs that ran then have ended.
    pub sides: [Binding; 2],
}

/// Everything that is one container's own; replaced as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Grows with every change; cached subjects of another one don't count.
    pub generation: u64,
    /// Number in TABLES.
    pub table: u32,
    /// Number in BINDINGS.
    pub workload: u32,
    /// [`PROVISIONAL`].
    pub flags: u32,
    /// Odd multiplier of [`mount_slot`].
    pub seed: u32,
    /// The mount most files are on (the container's root), looked at first.
    pub root: Mount,
    /// Mounts the container was created with, by [`mount_slot`] and up to
    /// [`MOUNT_PROBES`] - 1 behind it.
    pub mounts: [Mount; MOUNT_SLOTS as usize],
}

/// The mount table isn't known yet: names are relative to the task's root, what
/// is on another file system is unresolved.
pub const PROVISIONAL: u32 = 1;

/// Slots that a lookup in [`Binding::mounts`] looks at.
pub const MOUNT_PROBES: u32 = 4;

/// A file system, or a directory of one, at the place where the container has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `super_block.s_dev` (major << 20 | minor).
    pub dev: u32,
    /// [`MOUNT_USED`], [`MOUNT_ROOT`], [`MOUNT_MULTI`].
    pub flags: u32,
    /// Inode number of the mounted directory or file; 0 for the file system itself.
    pub ino: u64,
    /// State of the process automaton behind the mount point's path.
    pub process: u16,
    /// The same of the files automaton.
    pub files: u16,
    /// The same of the subject automaton.
    pub subject: u16,
    /// Number by which events name the mount point.
    pub mount: u16,
    /// What the mount point itself matches, as the process automaton's rows of its path
    /// and of its last component: below it these aren't the rows of a prefix, because a
    /// glob that ends there is another than one that goes on.
    pub own_process: [u16; 2],
    /// The same of the files automaton.
    pub own_files: [u16; 2],
}

/// The slot is taken.
pub const MOUNT_USED: u32 = 1;
/// The file system's own root is mounted: the states hold for it.
pub const MOUNT_ROOT: u32 = 2;
/// Parts of the file system are mounted elsewhere: ancestors have to be looked up.
pub const MOUNT_MULTI: u32 = 4;

/// First slot to look at for a mount.
#[inline(always)]
pub fn mount_slot(seed: u32, dev: u32, ino: u64) -> u32 {
    let folded = dev ^ (ino as u32) ^ ((ino >> 32) as u32).rotate_left(16);
    (folded ^ (folded >> 15)).wrapping_mul(seed) >> 24
}

/// Kept per task.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// [`Binding::generation`] for which `subject` holds.
    pub generation: u64,
    /// `task_struct.self_exec_id` for which it holds.
    pub exec_id: u64,
    /// Class of the task's executable.
    pub subject: u32,
    /// [`TASK_SETUP`], [`TASK_CONTAINER`], or 0: container code that nobody looked at.
    pub state: u32,
    /// Root directory (address of its dentry) in which a task in set-up is the runtime; 0
    /// if its next exec is the container's, wherever it is.
    pub root: u64,
    /// Cgroup of the container that it sets up, 0 for none of a pod.
    pub container: u64,
    /// Until when a task in set-up may do in another root what isn't allowed, ns; 0 as
    /// long as it has not tried.
    pub until: u64,
}

/// The task is a runtime's, about to start a container or a command in one; ends with its
/// first exec in another root.
pub const TASK_SETUP: u32 = 1;
/// The task was in set-up and isn't any more.
pub const TASK_CONTAINER: u32 = 2;
/// How long a task in set-up may do in the container's root what isn't allowed, ns.
pub const SETUP_LIMIT: u64 = 60_000_000_000;

/// Key of a denial counter.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// Workload number.
    pub workload: u32,
    /// Table number.
    pub table: u32,
    /// Rule of that table's rule map, or [`crate::table::NO_RULE`].
    pub rule: u16,
    /// [`crate::op::Operation`].
    pub operation: u8,
    /// [`crate::verdict::Outcome`].
    pub outcome: u8,
}

/// What the kernel programs count besides denials; indices of the STATS map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stat {
    /// Events lost because the ring was full.
    RingDrops = 0,
    /// Denials that found no room in the counters.
    CounterDrops = 1,
    /// Judged operations on files without a name.
    Unresolved = 2,
    /// Labelled cgroups whose binding or table was missing (denied).
    MissingTable = 3,
    /// Child cgroups that found the map of labels full; their label is looked for in the
    /// cgroups above them, at every decision.
    LabelFailures = 4,
    /// Cgroups that inherited a label.
    Inherited = 5,
    /// Tasks of a runtime that found no room for their state, and were judged.
    SetupFailures = 6,
    /// Containers of pods that found no room to be remembered; their set-up is judged.
    ContainerFailures = 7,
    /// Tasks that were in set-up for too long, and are judged since.
    SetupExpired = 8,
    /// Processes that left their container's cgroup, and keep its rules.
    Leavers = 9,
    /// Those that found no room to be remembered: the cgroup they went to has the rules.
    LeaverFailures = 10,
}

/// Number of [`Stat`]s.
pub const STATS: u32 = 16;
