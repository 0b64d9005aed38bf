//! What the enforcer keeps of its privileges once it has started.
//!
//! It reads what others write (policies, the runtime's messages, `/proc` of containers), so
//! whoever gets into it should find as little as its work takes. Capabilities are a thread's:
//! this comes before there are others, and after the last fork, whose child keeps its own.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use anyhow::Context as _;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What its work takes: loading and attaching programs and opening maps (`BPF`, `PERFMON`,
/// `SYS_ADMIN`); mounts of containers, by `/proc/PID/root` (`SYS_PTRACE`) and through
/// directories that root can't search, and making the self-test's cgroup (`DAC_OVERRIDE`).
const WORK: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_OVERRIDE);

/// `run` passes signals on to a command that may have become another user.
pub(crate) const SIGNALS: CapabilitySet = CapabilitySet::KILL;

/// System calls that its work never makes, though its capabilities would let it: of mounts
/// and namespaces, other processes' memory and descriptors, the kernel's code, its clock,
/// keys and devices, and those that do others' work (`io_uring`).
///
/// What is named is refused, not what isn't: a library or C library that asks for something
/// new must not end enforcement.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Drops, for good, all capabilities but those that the work takes, and `also`. What it
/// wasn't given it doesn't get.
pub(crate) fn drop_all_but(also: CapabilitySet) -> anyhow::Result<()> {
    let held = capabilities(None).context("cannot read the capabilities")?;
    let kept = (WORK | also) & held.permitted;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context("cannot drop capabilities")?;
    // Or root would have all of them again after an exec.
    set_no_new_privs(true).context("cannot give up new privileges")
}

/// Gives up, for good, the system calls that the work never makes, in all threads. The last
/// fork of the self-test, which enters a namespace, comes before. Of another architecture's
/// calls (32-bit ones) none are let through.
pub(crate) fn refuse_calls() -> anyhow::Result<()> {
    let filter = filter().context("cannot make a filter for system calls")?;
    seccompiler::apply_filter_all_threads(&filter).context("cannot give up system calls")
}

fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let refused = REFUSED.iter().map(|call| (*call, Vec::new()));
    let filter = SeccompFilter::new(
        refused.collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A filter is a thread's, and ends with it.
    fn asked_for_personality(is_filtered: bool) -> libc::c_int {
        let call = move || {
            if is_filtered {
                set_no_new_privs(true).unwrap();
                seccompiler::apply_filter(&filter().unwrap()).unwrap();
            }
            // SAFETY: asks, and changes nothing.
            unsafe { libc::personality(0xffff_ffff) }
        };
        thread::spawn(call).join().unwrap()
    }

    #[test]
    fn a_call_that_the_work_never_makes_is_refused() {
        assert_ne!(asked_for_personality(false), -1);
        assert_eq!(asked_for_personality(true), -1);
    }
}
