//! What an enforcer leaves to the next one: whose the numbers in the other maps are.
//!
//! ```text
//!   OWNERS[workload] ─► Owner          DIGESTS[table] ─► TableDigest
//! ```
//!
//! No program reads these maps. They are in the object all the same, so that its digest
//! covers their layout, and two enforcers that share maps agree on it.

use crate::containers::PodKey;

/// Bytes of a container's name in its pod: a DNS label has at most 63.
pub const CONTAINER_NAME_BYTES: usize = 64;

/// A container's name with zeros behind; zeros alone: all containers without a name.
pub type ContainerName = [u8; CONTAINER_NAME_BYTES];

/// SHA-256 of a table's bytes and of the rule map that gives its numbers names.
pub type TableDigest = [u8; 32];

/// Whose a workload number is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The kernel's number of the map that BINDINGS has for the workload: reading an outer
    /// map waits for all programs that run before 6.8.
    pub map: u32,
    /// The pod; zeros if it is nobody's that a successor could know.
    pub pod: PodKey,
    /// The container in it.
    pub container: ContainerName,
}

impl Owner {
    /// Whether a successor could know whose it is.
    pub fn is_somebody(&self) -> bool {
        self.pod.iter().any(|byte| *byte != 0)
    }
}

const _: () = assert!(core::mem::size_of::<Owner>() == 104);
