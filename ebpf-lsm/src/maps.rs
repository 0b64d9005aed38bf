//! All maps. `bartizan_abi::maps` says what is in them.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::helpers::generated::bpf_task_storage_get;
use aya_ebpf::macros::btf_map;
use bartizan_abi::containers::{Armed, ContainerCgroup, ContainerKey, Expected, PodKey};
use bartizan_abi::event::Event;
use bartizan_abi::handover::{Owner, TableDigest};
use bartizan_abi::limits::{
    LABEL_SLOTS, MAX_CGROUPS, MAX_CONTAINERS, MAX_COUNTERS, MAX_KUBE_PARENTS, MAX_LEAVERS,
    MAX_PODS, MAX_TABLES, RING_BYTES, WORKLOAD_NUMBERS,
};
use bartizan_abi::maps::{CounterKey, Label, Process, STATS, Sides, Stat, TaskState};

use crate::table::TableValue;

/// Label cache, by cgroup id modulo its size.
#[btf_map]
pub static LABELS: Array<Label, { LABEL_SLOTS as usize }> = Array::new();

/// Workload by cgroup id: the truth.
#[btf_map]
pub static CGROUPS: HashMap<u64, u32, { MAX_CGROUPS as usize }> = HashMap::new();

/// What hardly ever happens and makes lookups go further from then on, see [`Label`].
#[btf_map]
pub static RARE: Array<u64, { bartizan_abi::maps::RARE as usize }> = Array::new();

/// `BPF_F_NO_PREALLOC`: large maps that are nearly empty on most nodes.
const ON_DEMAND: usize = 1;

/// Workload by process, of those that have left their container's cgroup.
#[btf_map]
pub static LEAVERS: HashMap<Process, u32, { MAX_LEAVERS as usize }, ON_DEMAND> = HashMap::new();

/// Cgroups in which kubelets make those of pods.
#[btf_map]
pub static KUBE_PARENTS: HashMap<u64, u32, { MAX_KUBE_PARENTS as usize }> = HashMap::new();

/// Workload by pod, of pods that are expected.
#[btf_map]
pub static POD_UIDS: HashMap<PodKey, u32, { MAX_PODS as usize }, ON_DEMAND> = HashMap::new();

/// What a container that is expected is put under, by its id.
#[btf_map]
pub static CTR_IDS: HashMap<ContainerKey, Expected, { MAX_CONTAINERS as usize }, ON_DEMAND> =
    HashMap::new();

/// Containers of pods, by cgroup.
#[btf_map]
pub static CONTAINERS: HashMap<u64, ContainerCgroup, { MAX_CONTAINERS as usize }, ON_DEMAND> =
    HashMap::new();

/// When containers of pods were armed, by cgroup.
#[btf_map]
pub static ARMED: HashMap<u64, Armed, { MAX_CONTAINERS as usize }, ON_DEMAND> = HashMap::new();

/// Cgroup of the sandbox, by pod.
#[btf_map]
pub static SANDBOXES: HashMap<PodKey, u64, { MAX_CONTAINERS as usize }, ON_DEMAND> = HashMap::new();

/// Bindings by workload.
#[btf_map]
pub static BINDINGS: ArrayOfMaps<Array<Sides, 1>, { WORKLOAD_NUMBERS as usize }> =
    ArrayOfMaps::new();

/// Table by table number.
#[btf_map]
pub static TABLES: ArrayOfMaps<Array<TableValue, 1>, { MAX_TABLES as usize }> = ArrayOfMaps::new();

/// Templates: the loader takes their BTF types for the inner maps it makes, because
/// 6.1 refuses inner maps whose types differ from the outer map's.
#[btf_map]
pub static BINDING_TEMPLATE: Array<Sides, 1> = Array::new();
/// See [`BINDING_TEMPLATE`].
#[btf_map]
pub static TABLE_TEMPLATE: Array<TableValue, 1> = Array::new();

/// Whose a workload number is. For user space alone, as the next map.
#[btf_map]
pub static OWNERS: HashMap<u32, Owner, { WORKLOAD_NUMBERS as usize }, ON_DEMAND> = HashMap::new();
/// What a table number stands for.
#[btf_map]
pub static DIGESTS: HashMap<u32, TableDigest, { MAX_TABLES as usize }, ON_DEMAND> = HashMap::new();

/// Denials per rule, operation and outcome.
#[btf_map]
pub static COUNTERS: PerCpuHashMap<CounterKey, u64, { MAX_COUNTERS as usize }> =
    PerCpuHashMap::new();

/// Other counts, by [`Stat`].
#[btf_map]
pub static STATISTICS: PerCpuArray<u64, { STATS as usize }> = PerCpuArray::new();

/// Denials for user space.
#[btf_map]
pub static EVENTS: RingBuf<Event, { RING_BYTES as usize }> = RingBuf::new();

/// State per task. aya-ebpf has no such map type.
#[repr(C)]
pub struct TaskStorage {
    r#type: *const [i32; 29], // BPF_MAP_TYPE_TASK_STORAGE
    key: *const i32,
    value: *const TaskState,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 1], // BPF_F_NO_PREALLOC, mandatory
}

// SAFETY: never read; the loader replaces references to it by the map.
unsafe impl Sync for TaskStorage {}

/// State per task; may be missing at any time, then nothing is known of the task.
#[btf_map]
pub static TASKS: TaskStorage = TaskStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

impl TaskStorage {
    /// The task's state; with `create`, a zeroed one if it has none.
    #[inline(always)]
    pub fn get(&'static self, task: *const u8, create: bool) -> Option<*mut TaskState> {
        let map = core::ptr::from_ref(self).cast_mut().cast();
        let flags = if create { 1 } else { 0 };
        // SAFETY: the verifier checks that `task` is a task.
        let state = unsafe {
            bpf_task_storage_get(map, task.cast_mut().cast(), core::ptr::null_mut(), flags)
        };
        if state.is_null() {
            None
        } else {
            Some(state.cast())
        }
    }
}

/// Whether something that hardly ever happens has happened.
#[inline(always)]
pub fn has_happened(what: u32) -> bool {
    RARE.get_ptr(what).is_some_and(|word| {
        // SAFETY: a map value.
        unsafe { core::ptr::read_volatile(word) != 0 }
    })
}

/// Says that it has.
#[inline(always)]
pub fn happened(what: u32) {
    if let Some(word) = RARE.get_ptr_mut(what) {
        // SAFETY: a map value, which only ever goes from 0 to 1.
        unsafe { core::ptr::write_volatile(word, 1) };
    }
}

/// Adds one to a statistic.
#[inline(always)]
pub fn count(stat: Stat) {
    if let Some(value) = STATISTICS.get_ptr_mut(stat as u32) {
        add_one(value);
    }
}

/// Adds one where a preempting program may do the same.
#[inline(always)]
pub fn add_one(value: *mut u64) {
    // SAFETY: a map value, aligned to 8 bytes. The BPF target has no `fetch_add`.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({0} + 0) += {1}",
            in(reg) value,
            in(reg) 1u64,
            options(nostack)
        );
    }
}
