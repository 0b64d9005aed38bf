//! Containers of pods, by the names of their cgroups.
//!
//! Names are believed two levels below a kubelet's cgroup alone, and only if nobody in a
//! container made the cgroup. `enforcer/src/kubepods.rs` reads them by the same rules.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use bartizan_abi::containers::{
    ARMED_BY_POD, Armed, CONTAINER_ID_BYTES, ContainerCgroup, PodKey, SANDBOX, UID_BYTES,
};
use bartizan_abi::limits::MAX_NAME;
use bartizan_abi::maps::Stat;
use core::mem::MaybeUninit;

use crate::cgroup::{id, label, parent};
use crate::kernel::{CGROUP_KN, KN_NAME, peek, peek_field};
use crate::maps::{ARMED, CONTAINERS, CTR_IDS, KUBE_PARENTS, POD_UIDS, SANDBOXES, count};

/// Digits of a static pod's hash.
const HASH_BYTES: usize = 32;
const POD: u32 = u32::from_le_bytes(*b"pod\0");
const CONMON: u64 = u64::from_le_bytes(*b"conmon-\0");
/// `.slice` and `.scope`, as four and two bytes.
const SUFFIXES: [(u32, u16); 2] = [
    (u32::from_le_bytes(*b".sli"), u16::from_le_bytes(*b"ce")),
    (u32::from_le_bytes(*b".sco"), u16::from_le_bytes(*b"pe")),
];

/// A cgroup's name: its address, and where it ends without systemd's suffix.
struct Name {
    start: u64,
    end: u64,
}

impl Name {
    #[inline(always)]
    fn of(cgroup: u64) -> Self {
        let node: u64 = peek_field(cgroup, &CGROUP_KN);
        let start = peek_field(node, &KN_NAME);
        Self {
            start,
            end: end_of_name(start),
        }
    }

    #[inline(always)]
    fn len(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }
}

/// Where a name ends without its suffix; where it starts, if it can't be read.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn end_of_name(start: u64) -> u64 {
    let mut bytes = MaybeUninit::<[u8; MAX_NAME as usize + 1]>::uninit();
    // SAFETY: the helper checks the address, and writes no more than fits.
    let length = unsafe {
        bpf_probe_read_kernel_str(
            bytes.as_mut_ptr().cast(),
            size_of_val(&bytes) as u32,
            start as *const _,
        )
    };
    if length <= 1 {
        return start;
    }
    let end = start + length as u64 - 1;
    if length > 6 {
        let (word, rest) = (peek::<u32>(end - 6), peek::<u16>(end - 2));
        if (word, rest) == SUFFIXES[0] || (word, rest) == SUFFIXES[1] {
            return end - 6;
        }
    }
    end
}

/// Fills `to` from an address; zeros if it can't be read.
#[inline(always)]
fn read<T>(to: *mut T, from: u64) {
    // SAFETY: the helper checks the address, and fills the buffer in any case.
    unsafe { bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from as *const _) };
}

/// Reads the UID of the pod whose cgroup has this name.
#[inline(always)]
fn read_pod(name: &Name, to: &mut PodKey) -> bool {
    let starts_at = |length: u64| {
        name.len() >= length + 3 && peek::<u32>(name.end - length - 3) & 0x00ff_ffff == POD
    };
    if starts_at(UID_BYTES as u64) {
        read(to, name.end - UID_BYTES as u64);
        let mut dashes = true;
        // systemd's names have underscores instead.
        for at in [8, 13, 18, 23] {
            dashes &= to[at] == b'-' || to[at] == b'_';
            to[at] = b'-';
        }
        return dashes;
    }
    if starts_at(HASH_BYTES as u64) {
        *to = [0; UID_BYTES];
        read(
            to.as_mut_ptr().cast::<[u8; HASH_BYTES]>(),
            name.end - HASH_BYTES as u64,
        );
        return true;
    }
    false
}

/// Looks at a new cgroup that no label is handed down to.
#[inline(always)]
pub fn found(cgroup: u64, above: u64) {
    let top = parent(above);
    if top == 0 || KUBE_PARENTS.get_ptr(id(top)).is_none() {
        return;
    }
    let mut container = ContainerCgroup {
        // SAFETY: no arguments.
        made: unsafe { bpf_ktime_get_ns() },
        first_exec: 0,
        pod: [0; UID_BYTES],
        flags: 0,
        id: [0; CONTAINER_ID_BYTES],
    };
    if !read_pod(&Name::of(above), &mut container.pod) {
        return;
    }
    let name = Name::of(cgroup);
    if name.len() >= CONTAINER_ID_BYTES as u64 {
        let start = name.end - CONTAINER_ID_BYTES as u64;
        // CRI-O's monitor is the runtime's.
        if name.len() >= CONTAINER_ID_BYTES as u64 + 7
            && peek::<u64>(start - 7) & 0x00ff_ffff_ffff_ffff == CONMON
        {
            return;
        }
        read(&raw mut container.id, start);
    }
    let child = id(cgroup);
    if CTR_IDS.get_ptr(&container.id).is_none() && !has_sandbox(&container.pod) {
        container.flags = SANDBOX;
        let _ = SANDBOXES.insert(&container.pod, child, 0);
    }
    if CONTAINERS.insert(child, &container, 0).is_err() {
        count(Stat::ContainerFailures);
    }
    // Only now: user space first expects, then looks through CONTAINERS.
    let Some((workload, how)) = expectation(&container) else {
        return;
    };
    label(child, workload);
    let armed = Armed {
        // SAFETY: no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        how,
        pad: 0,
    };
    let _ = ARMED.insert(child, armed, 0);
}

/// Under which workload a container is expected, and how it counts as armed by that.
#[inline(always)]
fn expectation(container: &ContainerCgroup) -> Option<(u32, u32)> {
    if let Some(expected) = CTR_IDS.get_ptr(&container.id) {
        // SAFETY: a map value.
        return Some(unsafe { ((*expected).workload, (*expected).how) });
    }
    let workload = POD_UIDS.get_ptr(&container.pod)?;
    // SAFETY: a map value.
    Some((unsafe { *workload }, ARMED_BY_POD))
}

/// Whether the pod's sandbox is there.
#[inline(always)]
fn has_sandbox(pod: &PodKey) -> bool {
    let Some(sandbox) = SANDBOXES.get_ptr(pod) else {
        return false;
    };
    // SAFETY: a map value.
    CONTAINERS.get_ptr(unsafe { *sandbox }).is_some()
}

/// A cgroup was removed.
#[inline(always)]
pub fn gone(cgroup: u64) {
    let Some(container) = CONTAINERS.get_ptr(cgroup) else {
        return;
    };
    // SAFETY: a map value, which nobody else removes.
    let pod = unsafe { (*container).pod };
    if let Some(sandbox) = SANDBOXES.get_ptr(&pod)
        // SAFETY: a map value.
        && unsafe { *sandbox } == cgroup
    {
        let _ = SANDBOXES.remove(&pod);
    }
    let _ = ARMED.remove(cgroup);
    let _ = CONTAINERS.remove(cgroup);
}

/// The workload that a container is expected under, 0 for none. For containers whose label
/// found no room.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn expected(cgroup: u64) -> u64 {
    let Some(container) = CONTAINERS.get_ptr(cgroup) else {
        return 0;
    };
    // SAFETY: a map value; who a container is doesn't change.
    let container = unsafe { &*container };
    expectation(container).map_or(0, |(workload, _)| u64::from(workload))
}
