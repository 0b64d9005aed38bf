//! What the enforcer keeps of its privileges once it has started.
//!
//! It reads what others write (policies, the runtime's messages, `/proc` of containers), so
//! whoever gets into it should find as little as its work takes. Capabilities are a thread's:
//! this comes before there are others, and after the last fork, whose child keeps its own.

use anyhow::Context as _;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

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
