//! Limits that schema, compiler and kernel share.

/// Bytes of one compiled table; a power of two, so that the kernel can bound an
/// offset by a mask. Refused above, never truncated.
pub const TABLE_SIZE: u32 = 1 << 20;
/// Components of a path that the kernel walks; deeper is *unresolved*.
pub const MAX_DEPTH: u64 = 64;
/// Bytes of one path component (`NAME_MAX`).
pub const MAX_NAME: u64 = 255;
/// Rules of one linked rule map; rule numbers are `u16`.
pub const MAX_RULES: usize = 16_384;
/// Classes of calling executables in one rule map, the two fixed ones included.
pub const MAX_SUBJECTS: usize = 255;
/// Containers enforced on one node at a time.
pub const MAX_WORKLOADS: u32 = 4_096;
/// How many numbers workloads have: 0 is nobody's.
pub const WORKLOAD_NUMBERS: u32 = MAX_WORKLOADS + 1;
/// Distinct rule maps on one node at a time.
pub const MAX_TABLES: u32 = 1_024;
/// Labelled cgroups on one node, nested ones included.
pub const MAX_CGROUPS: u32 = 65_536;
/// Processes outside of their container's cgroup on one node at a time.
pub const MAX_LEAVERS: u32 = 16_384;
/// Level in the hierarchy down to which a labelled cgroup is found from those below it
/// when the map of labels is full.
pub const MAX_CGROUP_LEVEL: u32 = 64;
/// Pods whose containers are labelled as their cgroups are made.
pub const MAX_PODS: u32 = 4_096;
/// Containers of a kubelet's pods on one node, sandboxes included.
pub const MAX_CONTAINERS: u32 = 16_384;
/// Cgroups in which a kubelet makes those of its pods.
pub const MAX_KUBE_PARENTS: u32 = 64;
/// Slots of the direct-mapped label cache; a power of two.
pub const LABEL_SLOTS: u32 = 4_096;
/// Slots of a container's superblock table; a power of two.
pub const MOUNT_SLOTS: u32 = 256;
/// Rule x operation x outcome counters on one node at a time.
pub const MAX_COUNTERS: u32 = 16_384;
/// Bytes of the event ring; a power of two of pages.
pub const RING_BYTES: u32 = 1 << 22;
/// Path bytes carried by an event, per path; longer is cut at the root's end and marked.
pub const EVENT_PATH: usize = 1_024;
