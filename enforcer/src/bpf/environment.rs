//! What a machine must offer before anything is loaded.

use std::path::Path;

use crate::bpf::error::LoadError;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const LSM: &str = "/sys/kernel/security/lsm";

/// Checks privileges and the active LSMs.
pub(super) fn check() -> Result<(), LoadError> {
    if !may_load() {
        return Err(LoadError::Privileges);
    }
    if !Path::new(LSM).exists() {
        // Bare environments don't mount it; if that fails, reading says so.
        let _ = rustix::mount::mount(
            "securityfs",
            "/sys/kernel/security",
            "securityfs",
            rustix::mount::MountFlags::empty(),
            None,
        );
    }
    let active = std::fs::read_to_string(LSM).map_err(LoadError::NoSecurityfs)?;
    let active = active.trim();
    if !active.split(',').any(|module| module == "bpf") {
        return Err(LoadError::NoBpfLsm {
            active: active.to_owned(),
            suggested: suggestion(active),
        });
    }
    Ok(())
}

/// The active security modules, in their order; `None` where that can't be read.
pub(super) fn security_modules() -> Option<Vec<String>> {
    let active = std::fs::read_to_string(LSM).ok()?;
    Some(active.trim().split(',').map(str::to_owned).collect())
}

/// The kernel's type information.
pub(super) fn btf() -> Result<Vec<u8>, LoadError> {
    std::fs::read(BTF).map_err(LoadError::NoBtf)
}

/// The `lsm=` value that adds `bpf`. `capability` is always active and not to be named.
fn suggestion(active: &str) -> String {
    let mut modules: Vec<&str> = active
        .split(',')
        .filter(|module| !module.is_empty() && *module != "capability")
        .collect();
    modules.push("bpf");
    modules.join(",")
}

/// Effective capabilities: `SYS_ADMIN` (21), or BPF (39) and PERFMON (38).
fn may_load() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    effective & (1 << 21) != 0 || effective & (1 << 39 | 1 << 38) == (1 << 39 | 1 << 38)
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn suggestion_keeps_the_other_modules_and_leaves_capability_out() {
        assert_eq!(suggestion("capability,landlock,yama"), "landlock,yama,bpf");
        assert_eq!(suggestion("capability"), "bpf");
    }
}
