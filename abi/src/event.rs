//! The record that a denial leaves in the ring buffer.

use crate::limits::EVENT_PATH;

/// A path as the kernel found it: components leaf first, each followed by a NUL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PathBytes {
    /// Bytes in use.
    pub len: u32,
    /// [`PATH_CUT`], [`PATH_UNRESOLVED`], [`PATH_NONE`].
    pub flags: u32,
    /// The [`crate::maps::Mount::mount`] the path starts at.
    pub mount: u32,
    /// Zero.
    pub pad: u32,
    /// Components; the slack lets a whole name be copied at any offset below [`EVENT_PATH`].
    pub bytes: [u8; EVENT_PATH + 256],
}

/// Components at the root's end are missing: no room.
pub const PATH_CUT: u32 = 1;
/// The path has no name in the container: the components are the file system's own.
pub const PATH_UNRESOLVED: u32 = 2;
/// There is no such path (not a path operation, no executable).
pub const PATH_NONE: u32 = 4;
/// The bytes are a Unix socket's abstract name.
pub const PATH_ABSTRACT: u32 = 8;

/// `detail` of a Unix socket's abstract name on its way to the event: `high` is its address
/// in the kernel, `low` its length. The event has the bytes instead, see [`PATH_ABSTRACT`].
pub const ABSTRACT_NAME: u32 = 2 << 24;

/// One denial, would-be denial or audited operation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// [`crate::maps::Binding::generation`] that decided.
    pub generation: u64,
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
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Process id of the parent.
    pub parent: u32,
    /// Address: [`crate::address::Address::high`].
    pub high: u64,
    /// Address: [`crate::address::Address::low`].
    pub low: u64,
    /// Address: port | protocol << 16 | v6 << 24. Socket: family | type << 16.
    /// Capability: its number. Ptrace: the other process's id. Bpf: the command.
    pub detail: u32,
    /// Zero.
    pub pad: u32,
    /// `task_struct.comm`.
    pub comm: [u8; 16],
    /// The file or abstract name, if the operation has one.
    pub target: PathBytes,
    /// The calling executable.
    pub executable: PathBytes,
    /// The parent's executable.
    pub parent_executable: PathBytes,
}

const _: () = assert!(core::mem::size_of::<PathBytes>() == 16 + EVENT_PATH + 256);
const _: () = assert!(core::mem::size_of::<Event>() == 80 + 3 * (16 + EVENT_PATH + 256));
