//! When a container's mount table is the one that its creator made.
//!
//! ```text
//!   Empty ─► Settling ─► Settled
//!     ▲─────────┴───────────┘ last process gone
//! ```
//!
//! A runtime's process enters the cgroup before it has made its mounts. So the table is
//! taken with the first process and again as long as that process gets other mounts, until
//! it runs something in a mount namespace of its own.

use std::error::Error;
use std::time::{Duration, Instant};

use super::{Fingerprint, MountError, MountTable, fingerprint, of_process};
use crate::agent::chain;
use crate::cgroup::Cgroup;

/// A process that has made no mounts for that long makes none.
const SETTLING: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// How far the mounts of a cgroup's processes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settle {
    /// No process was seen.
    #[default]
    Empty,
    /// The table may change.
    Settling {
        /// Whose was taken.
        pid: u32,
        /// What was seen of it.
        seen: Fingerprint,
        /// When to stop looking.
        until: Instant,
    },
    /// The table is final.
    Settled,
}

impl Settle {
    /// The table of a cgroup that was there before us, which is final if there is one.
    pub fn of_existing<E: Error>(
        cgroup: &Cgroup,
        set: impl FnOnce(MountTable) -> Result<(), E>,
    ) -> Self {
        match cgroup.processes().first() {
            Some(pid) if take(*pid, set) => Self::Settled,
            _ => Self::Empty,
        }
    }

    /// Looks at the processes and hands tables to `set`; when to look again, `None` if only
    /// a first or a last process can change anything.
    pub fn look<E: Error>(
        &mut self,
        cgroup: &Cgroup,
        now: Instant,
        set: impl FnOnce(MountTable) -> Result<(), E>,
    ) -> Option<Instant> {
        match *self {
            Self::Empty => {
                let pid = cgroup.processes().first().copied()?;
                // Before the table: what changes in between is seen as a change.
                if let Ok(seen) = fingerprint(pid)
                    && take(pid, set)
                {
                    let until = now + SETTLING;
                    *self = Self::Settling { pid, seen, until };
                }
                Some(now + LOOK)
            }
            Self::Settling {
                pid,
                seen: before,
                until,
            } => {
                let found = fingerprint(pid).ok();
                let Some(seen) = found.filter(|_| cgroup.processes().contains(&pid)) else {
                    // Another process goes on (a runtime's first one ends early).
                    *self = Self::Empty;
                    return Some(now + LOOK);
                };
                if seen != before && !take(pid, set) {
                    return Some(now + LOOK);
                }
                if now >= until || seen.is_container_of(&before) {
                    *self = Self::Settled;
                    return None;
                }
                *self = Self::Settling { pid, seen, until };
                Some(now + LOOK)
            }
            Self::Settled => {
                if !cgroup.is_populated() {
                    tracing::debug!(cgroup = %cgroup.path().display(), "its last process ended");
                    *self = Self::Empty;
                    if let Err(error) = set(MountTable::provisional()) {
                        tracing::error!(error = chain(&error), "mount table not reset");
                    }
                }
                None
            }
        }
    }
}

/// Takes the mount table of a process; the one in force stays if that fails. False if the
/// process has gone.
fn take<E: Error>(pid: u32, set: impl FnOnce(MountTable) -> Result<(), E>) -> bool {
    let table: Result<_, MountError> = of_process(pid).and_then(|mounts| MountTable::new(&mounts));
    let failure = match table {
        Ok(table) => {
            let mounts = table.len();
            match set(table) {
                Ok(()) => {
                    tracing::debug!(pid, mounts, "mount table taken");
                    return true;
                }
                Err(error) => chain(&error),
            }
        }
        Err(error) => chain(&error),
    };
    if fingerprint(pid).is_err() {
        return false;
    }
    tracing::error!(pid, error = failure, "mount table not taken");
    true
}
