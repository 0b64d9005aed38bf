//! The guest itself: what every other case takes for granted.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::case::{Case, Context, Guest};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("guest/bpf_is_a_security_module", bpf_is_a_security_module),
        Case::new("guest/cgroup_v2_is_mounted", cgroup_v2_is_mounted),
        Case::new(
            "guest/programs_and_samples_are_packed",
            programs_and_samples_are_packed,
        ),
        Case::new(
            "guest/host_program_runs_through_its_loader",
            host_program_runs,
        ),
        Case::new("guest/bpf_can_be_left_out", bpf_is_left_out).on(Guest::WithoutBpf),
        Case::new("guest/cgroup_v1_can_be_alone", cgroup_v2_is_missing).on(Guest::CgroupV1),
    ]
}

fn bpf_is_a_security_module(_: &Context) -> Result<()> {
    let modules = security_modules()?;
    ensure!(
        modules.split(',').any(|module| module == "bpf"),
        "the list is {modules}"
    );
    Ok(())
}

fn bpf_is_left_out(_: &Context) -> Result<()> {
    let modules = security_modules()?;
    ensure!(
        modules.split(',').all(|module| module != "bpf"),
        "the list is {modules}"
    );
    Ok(())
}

fn cgroup_v2_is_mounted(_: &Context) -> Result<()> {
    ensure!(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
    Ok(())
}

fn cgroup_v2_is_missing(_: &Context) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("can't read the mounts")?;
    ensure!(
        !mounts.contains(" cgroup2 "),
        "cgroup2 is mounted:\n{mounts}"
    );
    ensure!(
        mounts.contains(" cgroup "),
        "no cgroup v1 is mounted:\n{mounts}"
    );
    Ok(())
}

fn programs_and_samples_are_packed(context: &Context) -> Result<()> {
    ensure!(
        fs::read_dir(&context.scratch)?.next().is_none(),
        "the scratch folder is used"
    );
    for path in [&context.enforcer, &context.cli, &context.samples] {
        ensure!(path.exists(), "{} is missing", path.display());
    }
    let object = std::env::var("BARTIZAN_LSM_OBJECT").context("no object is named")?;
    ensure!(Path::new(&object).exists(), "{object} is missing");
    Ok(())
}

fn host_program_runs(_: &Context) -> Result<()> {
    let output = Command::new("/lib64/ld-linux-x86-64.so.2")
        .args(["/opt/host/true"])
        .output()
        .context("can't run the loader")?;
    ensure!(
        output.status.success(),
        "it says {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn security_modules() -> Result<String> {
    fs::read_to_string("/sys/kernel/security/lsm").context("can't read the security modules")
}
