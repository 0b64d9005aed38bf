//! Reporting: count exactly, then try to leave an event.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_ns,
};
use bartizan_abi::bits::any;
use bartizan_abi::event::{
    ABSTRACT_NAME, PATH_ABSTRACT, PATH_CUT, PATH_NONE, PATH_UNRESOLVED, PathBytes,
};
use bartizan_abi::fields::dentry::{NAME, PARENT};
use bartizan_abi::limits::{EVENT_PATH, MAX_DEPTH};
use bartizan_abi::maps::{Binding, CounterKey, Stat};
use bartizan_abi::op::Operation;
use bartizan_abi::repeat::Step;
use bartizan_abi::rows::{RuleSearch, rule_by};
use bartizan_abi::table::{Kind, MAX_ATTRIBUTIONS, NO_RULE};
use bartizan_abi::verdict::Outcome;

use crate::identity::Rules;
use crate::kernel::{TASK_PARENT, TASK_TGID, address, current, peek, peek_field};
use crate::maps::{COUNTERS, EVENTS, add_one, count};
use crate::repeat::repeat;
use crate::subject::executable;
use crate::table::{Compiled, TableValue};
use crate::walks::locate;

/// What there is to report; all plain numbers, so that it can be passed by address.
#[repr(C)]
pub struct Report {
    /// [`Outcome`]
    pub outcome: u32,
    /// Operations with that outcome, not empty.
    pub ops: u32,
    /// Records that decided.
    pub records: [u32; 2],
    /// Address of the file's dentry, 0 for none.
    pub dentry: u64,
    /// See [`bartizan_abi::event::Event`].
    pub high: u64,
    /// See [`bartizan_abi::event::Event`].
    pub low: u64,
    /// See [`bartizan_abi::event::Event`].
    pub detail: u32,
}

const BPF_NOEXIST: u64 = 1;

/// Counts and reports. A global function: verified once, whatever the hook.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn report(
    binding: *const Binding,
    table: *const TableValue,
    what: *const Report,
) -> u64 {
    if binding.is_null() || table.is_null() || what.is_null() {
        return 0;
    }
    let rules = Rules {
        binding,
        table: Compiled::new(table),
    };
    // SAFETY: the caller's, checked by the verifier.
    let what = unsafe { &*what };
    let binding = rules.binding();
    let number = lowest(what.ops);
    // SAFETY: only outcomes and operations of these enumerations are ever reported.
    let (outcome, operation) = unsafe {
        (
            core::mem::transmute::<u8, Outcome>(what.outcome as u8),
            core::mem::transmute::<u8, Operation>(number as u8),
        )
    };
    let rule = rule_by(
        rules.table,
        what.records.map(u64::from),
        outcome,
        operation,
        |record, kind, op| first_rule(table, record, kind as u32, op) & 0xffff,
    ) as u16;
    tally(&CounterKey {
        workload: binding.workload,
        table: binding.table,
        rule,
        operation: number as u8,
        outcome: what.outcome as u8,
    });
    let Some(mut entry) = EVENTS.reserve(0) else {
        count(Stat::RingDrops);
        return 0;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the ring's memory, of the event's size; each field is written here or
    // by `path`, the bytes behind a path's end excepted, which nobody reads.
    unsafe {
        (*event).time = bpf_ktime_get_ns();
        (*event).generation = binding.generation;
        (*event).workload = binding.workload;
        (*event).table = binding.table;
        (*event).rule = rule;
        (*event).operation = number as u8;
        (*event).outcome = what.outcome as u8;
        (*event).pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*event).uid = bpf_get_current_uid_gid() as u32;
        (*event).high = what.high;
        (*event).low = what.low;
        (*event).detail = what.detail;
        (*event).pad = 0;
        (*event).comm = bpf_get_current_comm().unwrap_or_default();
        let task = address(current());
        let parent: u64 = peek_field(task, &TASK_PARENT);
        (*event).parent = peek_field(parent, &TASK_TGID);
        if what.detail == ABSTRACT_NAME {
            abstract_name(&raw mut (*event).target, what.high, what.low);
            (*event).high = 0;
            (*event).low = 0;
        } else {
            path(&rules, &raw mut (*event).target, what.dentry);
        }
        path(&rules, &raw mut (*event).executable, executable(task));
        path(
            &rules,
            &raw mut (*event).parent_executable,
            executable(parent),
        );
    }
    entry.submit(0);
    0
}

/// [`bartizan_abi::rows::rule_in`], verified once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn first_rule(table: *const TableValue, record: u64, kind: u32, op: u32) -> u64 {
    if table.is_null() {
        return u64::from(NO_RULE);
    }
    let kind = match kind {
        0 => Kind::EnforceDeny,
        1 => Kind::AuditDeny,
        _ => Kind::Report,
    };
    let mut search = RuleSearch::new(Compiled::new(table), record, kind, op);
    repeat(MAX_ATTRIBUTIONS.into(), &mut search);
    search.rule
}

/// Number of the lowest bit, without a loop.
#[inline(always)]
fn lowest(ops: u32) -> u32 {
    let bit = u64::from(ops & ops.wrapping_neg());
    let has = |mask: u64| any(bit & mask) as u32 & 1;
    has(0xaaaa_aaaa)
        | has(0xcccc_cccc) << 1
        | has(0xf0f0_f0f0) << 2
        | has(0xff00_ff00) << 3
        | has(0xffff_0000) << 4
}

#[inline(always)]
fn tally(key: &CounterKey) {
    if COUNTERS.get_ptr_mut(key).is_none() {
        // Another CPU may be first; then the entry is there as well.
        let _ = COUNTERS.insert(key, 0u64, BPF_NOEXIST);
    }
    match COUNTERS.get_ptr_mut(key) {
        Some(value) => add_one(value),
        None => count(Stat::CounterDrops),
    }
}

/// Writes an abstract name into an event.
#[inline(always)]
fn abstract_name(to: *mut PathBytes, name: u64, length: u64) {
    let mut length = length;
    // SAFETY: plain arithmetic on a register, next to its use for the verifier; at most
    // 255 bytes are inside the ring's memory. What can't be read is zeroes.
    unsafe {
        core::arch::asm!("{0} &= 255", inout(reg) length, options(pure, nomem, nostack));
        let bytes = (&raw mut (*to).bytes).cast();
        bpf_probe_read_kernel(bytes, length as u32, name as *const _);
        (*to).len = length as u32;
        (*to).flags = PATH_ABSTRACT;
        (*to).mount = 0;
        (*to).pad = 0;
    }
}

/// Writes a path into an event.
#[inline(always)]
fn path(rules: &Rules, to: *mut PathBytes, dentry: u64) {
    let binding = rules.binding();
    let mut flags = 0;
    let mut mount = 0;
    if dentry == 0 {
        flags = PATH_NONE;
    } else {
        let (place, end) = locate(binding, dentry);
        let mut depth = MAX_DEPTH;
        match place {
            Some((number, below)) => {
                mount = number;
                depth = below;
            }
            None => flags = PATH_UNRESOLVED,
        }
        flags |= copy_path(to, dentry, end, depth) as u32;
    }
    // SAFETY: the ring's memory.
    unsafe {
        (*to).flags = flags;
        (*to).mount = mount;
        (*to).pad = 0;
        if dentry == 0 {
            (*to).len = 0;
        }
    }
}

/// Copies at most `depth` components, leaf first, up to the directory `end`; returns
/// [`PATH_CUT`] or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn copy_path(to: *mut PathBytes, dentry: u64, end: u64, depth: u64) -> u64 {
    if to.is_null() {
        return 0;
    }
    let mut copy = Copy {
        to,
        at: dentry,
        end,
        depth,
        used: 0,
        cut: 0,
    };
    repeat(MAX_DEPTH, &mut copy);
    // SAFETY: the caller's buffer.
    unsafe { (*to).len = copy.used as u32 };
    copy.cut
}

/// A path on its way into an event.
struct Copy {
    to: *mut PathBytes,
    at: u64,
    end: u64,
    depth: u64,
    used: u64,
    cut: u64,
}

impl Step for Copy {
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        if i >= self.depth || self.at == self.end {
            return Some(false);
        }
        let parent: u64 = peek(self.at + PARENT as u64);
        let name: u64 = peek(self.at + NAME as u64);
        if parent == self.at && i > 0 {
            return Some(false);
        }
        // The same bounds in every turn, so that the verifier looks at few.
        let offset = below_1024(self.used);
        // SAFETY: 256 bytes at an offset below EVENT_PATH are inside the buffer.
        let length = unsafe {
            let bytes = (&raw mut (*self.to).bytes)
                .cast::<u8>()
                .add(offset as usize);
            bpf_probe_read_kernel_str(bytes.cast(), 256, name as *const _)
        };
        if length <= 0 {
            return Some(false);
        }
        let used = offset + length as u64;
        self.used = below_1024(used);
        if used >= EVENT_PATH as u64 {
            self.used = used;
            self.cut = u64::from(PATH_CUT);
            return Some(false);
        }
        self.at = parent;
        Some(true)
    }
}

/// `n & 1023` where LLVM can neither move nor drop it: next to its use for the verifier.
#[inline(always)]
fn below_1024(mut n: u64) -> u64 {
    // SAFETY: plain arithmetic on a register.
    unsafe { core::arch::asm!("{0} &= 1023", inout(reg) n, options(pure, nomem, nostack)) };
    n
}
