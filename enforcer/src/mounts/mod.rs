//! A container's mount table: which file systems, and which directories of them,
//! have which names.
//!
//! ```text
//!   /proc/PID/mountinfo ─► mountinfo ─► visible (statx) ─► table ─► Binding
//! ```
//!
//! The kernel programs follow a file's parents to its file system's root and ignore
//! mounts; where that root (or a directory on the way) is in the container comes from
//! here. Taken once, when the container starts: what is mounted inside it later gets
//! no new names.

pub mod mountinfo;
mod names;
mod settle;
mod states;
mod table;
mod visible;

pub use settle::Settle;
pub use table::{BindingHead, MountTable};
pub use visible::{Fingerprint, Object, Visible, fingerprint, of_process};

/// A mount table that can't be taken or doesn't fit.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// `/proc/PID/...` can't be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its text is not what a kernel writes.
    #[error("cannot read the mounts of process {pid}")]
    Parse {
        /// Whose.
        pid: u32,
        /// Where.
        #[source]
        source: mountinfo::ParseError,
    },
    /// Nothing is mounted at `/` (the process is gone).
    #[error("nothing is mounted at / of the container")]
    NoRoot,
    /// More mounts than the kernel's table has room for.
    #[error("the container has {0} mounts, which is more than the kernel's table holds")]
    TooMany(usize),
    /// Two directories that the kernel programs can't tell apart.
    #[error(
        "{point} and {other} are subvolumes of one file system with the same inode number, \
         which rules cannot tell apart"
    )]
    Ambiguous {
        /// Where the second is mounted.
        point: String,
        /// Where the first is mounted.
        other: String,
    },
    /// A mount point that the automata can't read.
    #[error("the mount point {0} has a component longer than 255 bytes or is too deep")]
    Unreadable(String),
}

impl MountError {
    /// The error's kind as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "MountsUnreadable",
            Self::Parse { .. } => "MountsInvalid",
            Self::NoRoot => "NoRootMount",
            Self::TooMany(_) => "TooManyMounts",
            Self::Ambiguous { .. } => "AmbiguousMounts",
            Self::Unreadable(_) => "MountPointUnreadable",
        }
    }
}
