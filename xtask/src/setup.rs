//! Set-up: installs or downloads what a command needs and this machine doesn't have.
//!
//! Each part is asked for by the command that needs it, so `cargo xtask setup` is never
//! required; it only does all of it at once.

mod apt;
mod go;
mod kernel;
mod kubernetes;
mod node_disk;
mod packages;
mod qemu;
mod tools;
mod unpacked;

pub(crate) use kernel::{Kernel, KernelLine};
pub(crate) use kubernetes::{ControlPlane, KubernetesRelease, NodePrograms};
pub(crate) use node_disk::node_disk;
pub(crate) use packages::{Package, ensure, install_rust_with_source};
pub(crate) use qemu::{PROCESSOR, PROGRAM as QEMU, QUICK_PROCESSOR, qemu};
pub(crate) use tools::{bpf_linker, cargo_tool};
pub(crate) use unpacked::unpacked;

use anyhow::Result;

use crate::command::say;
use crate::ebpf;
use crate::prometheus::program;

/// Everything that any command needs.
///
/// With `update`, newer kernels are looked for although some are in the cache.
pub(crate) fn all(update: bool) -> Result<()> {
    packages::ensure(Package::ALL)?;
    let toolchain = ebpf::Toolchain::find_or_install()?;
    say(format!("BPF toolchain: {toolchain}"));
    say(format!("bpf-linker: {}", bpf_linker()?.display()));
    say(format!("QEMU: {}", qemu()?));
    say(format!("promtool: {}", program("promtool")?.display()));
    for line in KernelLine::ALL {
        let kernel = if update {
            Kernel::newest(line)?
        } else {
            Kernel::get(line)?
        };
        say(format!("kernel {line}: {}", kernel.release));
    }
    for release in KubernetesRelease::ALL {
        let plane = ControlPlane::get(release)?;
        say(format!(
            "Kubernetes {release}: {}",
            plane.kubernetes.display()
        ));
    }
    let programs = NodePrograms::get(KubernetesRelease::V1_37)?;
    let disk = node_disk(&Kernel::get(KernelLine::V6_12)?, &programs)?;
    say(format!("disk of nodes: {}", disk.display()));
    say("set-up is complete");
    Ok(())
}
