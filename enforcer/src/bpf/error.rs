//! What can go wrong between the enforcer and the kernel.

use std::path::PathBuf;

use bartizan_policy::enforceable::Unfit;

use crate::bpf::btf::BtfError;
use crate::bpf::pins::PinError;
use crate::cgroup::CgroupError;

/// Why enforcement can't start on this machine. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not enough privileges.
    #[error(
        "loading kernel programs was refused: run as root, or with the capabilities BPF, \
         PERFMON and SYS_ADMIN"
    )]
    Privileges,
    /// The kernel has no BPF type information.
    #[error(
        "/sys/kernel/btf/vmlinux is missing: use a kernel built with CONFIG_DEBUG_INFO_BTF=y \
         (and mount sysfs on /sys)"
    )]
    NoBtf(#[source] std::io::Error),
    /// BPF isn't among the active LSMs.
    #[error(
        "the kernel's active security modules are `{active}`, without `bpf`: boot with \
         `lsm={suggested}` on the kernel command line"
    )]
    NoBpfLsm {
        /// `/sys/kernel/security/lsm`.
        active: String,
        /// The same with `bpf`.
        suggested: String,
    },
    /// The list of active LSMs can't be read.
    #[error(
        "/sys/kernel/security/lsm can't be read: mount securityfs (`mount -t securityfs \
         securityfs /sys/kernel/security`) on a kernel with CONFIG_BPF_LSM=y"
    )]
    NoSecurityfs(#[source] std::io::Error),
    /// A structure or member that the programs need.
    #[error("this kernel's structures are not as the kernel programs need them")]
    Structures(#[source] BtfError),
    /// A member is not where the programs have it compiled in.
    #[error("the kernel's `struct {structure}` has `{member}` at {found}, not at {expected}")]
    Moved {
        /// The structure.
        structure: &'static str,
        /// The member.
        member: &'static str,
        /// Offset in this kernel, bytes.
        found: u64,
        /// Offset compiled in, bytes.
        expected: u64,
    },
    /// A hook that every node must have.
    #[error(transparent)]
    Unfit(Unfit),
    /// The object isn't one.
    #[error("the kernel programs can't be loaded")]
    Object(#[source] Box<aya::EbpfError>),
    /// The object lacks a program or map.
    #[error("the kernel programs have no `{0}`: the object is of another version")]
    Missing(&'static str),
    /// The object has more than that.
    #[error("the kernel programs have an unknown map `{0}`: the object is of another version")]
    Surplus(String),
    /// There is no place where programs and maps outlive the enforcer.
    #[error("programs and maps can't be kept in the kernel")]
    Pins(#[source] PinError),
    /// What a predecessor has left can't be read.
    #[error("the maps of the enforcer before can't be adopted")]
    Adopt(#[source] MapError),
    /// A link could not be pinned.
    #[error("the kernel refused to pin {path}")]
    Pin {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: aya::pin::PinError,
    },
    /// A link that a predecessor has left.
    #[error("{path} can't be adopted")]
    Link {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: aya::programs::links::LinkError,
    },
    /// The verifier refused a program, or attaching failed.
    #[error("the kernel refused the program for `{hook}`")]
    Program {
        /// The hook.
        hook: &'static str,
        /// Why, with the verifier's log.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// A map of the object can't be used.
    #[error("the kernel map {map} can't be used")]
    Map {
        /// The map.
        map: &'static str,
        /// Why.
        #[source]
        source: aya::maps::MapError,
    },
    /// This binary was built without the kernel programs.
    #[error(
        "this binary was built without the kernel programs: build it with `make build`, or \
         name the object in BARTIZAN_LSM_OBJECT"
    )]
    NotEmbedded,
    /// The named object can't be read.
    #[error("{path} can't be read")]
    ObjectFile {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A change to the kernel's maps that failed. What was enforced stays.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// All numbers are taken.
    #[error("no room for another {what}: this node enforces at most {limit}")]
    Full {
        /// What there is no room for.
        what: &'static str,
        /// The limit.
        limit: u32,
    },
    /// The bytes are no table.
    #[error("a table of {0} bytes: it must have at most 1 MiB")]
    TableSize(usize),
    /// A system call on a map failed.
    #[error("{operation} failed")]
    Call {
        /// What was tried.
        operation: &'static str,
        /// The errno.
        #[source]
        source: std::io::Error,
    },
    /// Another version's pins.
    #[error("what an enforcer of another version has left can't be removed")]
    Pins(#[source] PinError),
    /// Processes that have left their containers multiply too fast to take them over.
    #[error(
        "processes that have left their containers go on making others: end them, so that \
         this enforcer can replace the one before"
    )]
    Restless,
    /// Where processes are can't be seen.
    #[error("the cgroups of processes that have left their containers can't be read")]
    Cgroups(#[source] CgroupError),
    /// A call through aya failed.
    #[error("{operation} failed")]
    Aya {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: aya::maps::MapError,
    },
}

/// A call through aya failed.
pub(super) fn failed(operation: &'static str) -> impl Fn(aya::maps::MapError) -> MapError {
    move |source| MapError::Aya { operation, source }
}

/// What removing an entry came to: one that isn't there is removed.
pub(super) fn removed(
    result: Result<(), aya::maps::MapError>,
    operation: &'static str,
) -> Result<(), MapError> {
    match result {
        Err(error) if !is_absent(&error) => Err(failed(operation)(error)),
        _ => Ok(()),
    }
}

fn is_absent(error: &aya::maps::MapError) -> bool {
    matches!(error, aya::maps::MapError::KeyNotFound) || errno(error) == Some(libc::ENOENT)
}

/// What the kernel said, if it was asked.
pub(super) fn errno(error: &aya::maps::MapError) -> Option<i32> {
    match error {
        aya::maps::MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}
