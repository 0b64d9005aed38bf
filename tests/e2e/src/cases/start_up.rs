//! Machines on which the enforcer can't work: one sentence that says what to change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_abi::op::Ops;
use bartizan_enforcer::bpf::{self, Kernel};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::missing_hooks;
use crate::agent::Place;
use crate::case::{Case, Context, Guest};
use crate::container::{Container, Identity, Root};
use crate::kernel;

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: p }
spec: { selector: {}, mode: Enforce, process: { deny: [{ paths: [/bin/x] }] } }
";

/// Instructions that the verifier may process for one program. The goal is 300,000, which
/// 7.3.4 misses for `file_open`; at a million a program is refused.
const BUDGET: u32 = 600_000;
/// Anybody but root.
const NOBODY: u32 = 65_534;

pub(super) fn cases() -> Vec<Case> {
    let mut programs = Case::new("start-up/every_program_is_verified", all_programs);
    programs.time_limit = Duration::from_mins(5);
    let mut later = Case::new("start-up/a_node_that_can_later_does", able_later);
    later.time_limit = Duration::from_mins(5);
    vec![
        Case::new("start-up/without_bpf_in_the_list", without_bpf).on(Guest::WithoutBpf),
        Case::new("start-up/with_cgroup_v1_only", with_cgroup_v1).on(Guest::CgroupV1),
        Case::new("start-up/without_type_information", without_btf),
        Case::new("start-up/without_a_hook_that_all_need", without_hook),
        Case::new("start-up/without_privileges", without_privileges),
        later,
        programs,
        Case::new("start-up/no_hook_is_unknown", no_hook_is_unknown),
        Case::new(
            "start-up/an_enforcer_keeps_few_capabilities",
            few_capabilities,
        ),
    ]
}

/// `KILL`, and what its work takes: `DAC_OVERRIDE`, `SYS_PTRACE`, `SYS_ADMIN`, `PERFMON`, `BPF`.
const KEPT: u64 = 1 << 5 | 1 << 1 | 1 << 19 | 1 << 21 | 1 << 38 | 1 << 39;

/// The enforcer gives up what it doesn't need, its container has everything.
fn few_capabilities(context: &Context) -> Result<()> {
    let root = Root::new(context.scratch.join("root"))?;
    let program = "/bin/probe";
    root.program(program)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let container = Container::start(context, &policy, &Identity::default(), &root, program)?;
    let inside = fs::read_to_string(container.cgroup().join("cgroup.procs"))?;
    let inside = inside.lines().next().context("the container is empty")?;
    // It is ready, so the enforcer has started it.
    let own = status("self")?;
    let enforcer = status(&container.enforcer().to_string())?;
    println!("enforcer: {enforcer:x?}, container: {:x?}", status(inside)?);
    for field in ["CapEff:", "CapPrm:"] {
        ensure!(
            enforcer[field] == own[field] & KEPT,
            "{field} of the enforcer"
        );
    }
    ensure!(
        enforcer["CapInh:"] == 0 && enforcer["CapAmb:"] == 0,
        "it hands capabilities on"
    );
    ensure!(enforcer["NoNewPrivs:"] == 1, "it may get new privileges");
    ensure!(enforcer["Seccomp:"] == 2, "it may make any system call");
    let container_has = status(inside)?;
    for field in ["CapEff:", "CapPrm:", "CapBnd:", "NoNewPrivs:", "Seccomp:"] {
        ensure!(
            container_has[field] == own[field],
            "{field} of the container"
        );
    }
    container.finish()?;
    Ok(())
}

/// The fields of a process's status that are numbers, capabilities among them.
fn status(process: &str) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((name.to_owned(), u64::from_str_radix(value.trim(), 16).ok()?))
    };
    Ok(text.lines().filter_map(field).collect())
}

/// Every program loads, and is verified with instructions to spare: a kernel's verifier
/// gives up after a million, and they differ.
fn all_programs(_: &Context) -> Result<()> {
    let mut kernel = Kernel::load()?;
    kernel.require(Ops::MAX)?;
    let mut programs = kernel.attached();
    programs.sort_by_key(|(_, verified)| *verified);
    for (name, verified) in &programs {
        println!("{name} {verified:?}");
    }
    let (name, most) = programs.last().context("nothing is attached")?;
    let most = most.context("the kernel doesn't count")?;
    ensure!(most <= BUDGET, "{name} takes {most} instructions to verify");
    Ok(())
}

/// What this kernel can do to files, programs and sockets is judged, or it is said why not.
fn no_hook_is_unknown(_: &Context) -> Result<()> {
    let unknown = bpf::unknown_hooks()?;
    ensure!(
        unknown.is_empty(),
        "neither judged nor out of scope for a reason: {}",
        unknown.join(", ")
    );
    Ok(())
}

fn without_bpf(context: &Context) -> Result<()> {
    refused(context, |_| {}, ",bpf` on the kernel command line")
}

fn with_cgroup_v1(context: &Context) -> Result<()> {
    refused(context, |_| {}, "no cgroup v2 hierarchy is mounted")
}

/// As in a container that doesn't see `/sys/kernel/btf`.
fn without_btf(context: &Context) -> Result<()> {
    let hide = |command: &mut Command| {
        let hidden = || {
            // SAFETY: only this process has the new mount namespace.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            mount(
                "none",
                "/sys/kernel/btf",
                "tmpfs",
                MountFlags::empty(),
                None,
            )?;
            Ok(())
        };
        // SAFETY: system calls alone between fork and exec.
        unsafe { command.pre_exec(hidden) };
    };
    refused(
        context,
        hide,
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
    )
}

fn without_hook(context: &Context) -> Result<()> {
    missing_hooks::hide(context, &["file_open"])?;
    refused(
        context,
        |_| {},
        "the kernel has no LSM hook `file_open`, without which nothing can be enforced: ",
    )
}

/// What is in the way of a node's agent passes: it enforces without being restarted.
fn able_later(context: &Context) -> Result<()> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    // SAFETY: this process has no other threads, and it takes no memory apart.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    mount("none", CGROUPS, "tmpfs", MountFlags::empty(), None)?;
    let place = Place::new(context)?;
    let mut agent = place.start()?;
    agent.answers("/readyz", "cannot enforce: ")?;
    unmount(CGROUPS, UnmountFlags::empty())?;
    agent.enforces_in(0)?;
    agent.end()
}

fn without_privileges(context: &Context) -> Result<()> {
    let drop_them = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    refused(context, drop_them, "run as root, or with the capabilities")
}

/// Both ways to start the enforcer end with exit code 2 and a sentence that says `advice`.
fn refused(context: &Context, with: impl Fn(&mut Command), advice: &str) -> Result<()> {
    // In a folder of everybody.
    let policy = PathBuf::from("/tmp/start-up.yaml");
    fs::write(&policy, POLICY)?;
    for words in [
        ["run", "--", "/bin/true"].as_slice(),
        &["standalone", "--workload", "w=/"],
    ] {
        let mut command = Command::new(&context.enforcer);
        command
            .arg(words[0])
            .arg("-f")
            .arg(&policy)
            .args(&words[1..]);
        command.current_dir("/");
        with(&mut command);
        let output = command.output().context("start the enforcer")?;
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{words:?}: {}, {said}", output.status);
        ensure!(
            output.status.code() == Some(2),
            "{words:?} ended with {}: {said}",
            output.status
        );
        ensure!(
            said.trim_end().lines().count() == 1 && said.contains(advice),
            "{words:?} said {said:?} instead of one line with {advice:?}"
        );
        ensure!(output.stdout.is_empty(), "it printed something");
        ensure!(
            !kernel::is_anything_attached(),
            "{words:?} left something attached"
        );
    }
    fs::remove_file(policy)?;
    Ok(())
}
