//! Containers of a kubelet's pods: found by the names of their cgroups, armed at the
//! cgroup's creation or later, measured against their first instruction.
//!
//! ```text
//!   KUBE_PARENTS ∋ cgroup ─► pod<uid> ─► cri-containerd-<id>.scope
//!   POD_UIDS[uid] ─► workload                CTR_IDS[id] ─► Expected, if known
//!   CONTAINERS[cgroup id] ─► ContainerCgroup, of every container of every pod
//!   ARMED[cgroup id] ─► Armed, of those with rules
//!   SANDBOXES[uid] ─► cgroup id of the pod's sandbox
//! ```
//!
//! User space first adds an expectation, then looks through CONTAINERS; the kernel first
//! adds the container, then looks for expectations. So one of them sees the other.

/// Bytes of a pod's UID as its cgroup carries it: 36 with dashes, or the 32 hexadecimal
/// digits of a static pod's hash with zeros behind.
pub const UID_BYTES: usize = 36;
/// Bytes of a container's id: hexadecimal digits.
pub const CONTAINER_ID_BYTES: usize = 64;

/// Key of maps of pods.
pub type PodKey = [u8; UID_BYTES];
/// Key of maps of containers.
pub type ContainerKey = [u8; CONTAINER_ID_BYTES];

/// The cgroup of a container, or of a pod's sandbox. The kernel alone changes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerCgroup {
    /// When it was made, `CLOCK_MONOTONIC`, ns; 0 if it was there before the programs.
    pub made: u64,
    /// When container code ran in it for the first time (the exec of its entry point), ns;
    /// 0 if none has run, [`UNKNOWN_TIME`] if it may have run before the programs.
    pub first_exec: u64,
    /// UID of its pod.
    pub pod: PodKey,
    /// [`SANDBOX`] or 0.
    pub flags: u32,
    /// Its own id; zeros if its name has none.
    pub id: ContainerKey,
}

/// The pod's sandbox: the first container cgroup of a pod that has none alive. Its entry
/// point isn't judged, unless its id is expected to be that of a container.
pub const SANDBOX: u32 = 1;
/// A time before the programs were there.
pub const UNKNOWN_TIME: u64 = 1;

/// What a container is put under as its cgroup is made.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whose rules it gets.
    pub workload: u32,
    /// How it counts as armed then: [`Armed::how`].
    pub how: u32,
}

/// When and how a container's cgroup got its first label.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// [`ARMED_BY_NRI`], [`ARMED_BY_CRI`], [`ARMED_BY_POD`] or [`ARMED_LATE`].
    pub how: u32,
    /// Zero.
    pub pad: u32,
}

/// By the kernel, as the cgroup was made: its id was expected, because NRI announced it.
pub const ARMED_BY_NRI: u32 = 1;
/// By the kernel, as the cgroup was made: its pod was expected.
pub const ARMED_BY_POD: u32 = 2;
/// By user space, after the cgroup was made.
pub const ARMED_LATE: u32 = 3;
/// As [`ARMED_BY_NRI`], because CRI listed it before it was started.
pub const ARMED_BY_CRI: u32 = 4;

const _: () = assert!(core::mem::size_of::<ContainerCgroup>() == 120);
const _: () = assert!(core::mem::size_of::<Armed>() == 16);
const _: () = assert!(core::mem::size_of::<Expected>() == 8);
