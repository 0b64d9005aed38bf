//! The disk that all nodes of a kind start from: Debian, a kernel's modules, and the
//! programs of a node. It is read by QEMU and never written.
//!
//! ```text
//! node-root-DIGEST/         Debian, by its list of packages
//! node-disk-DIGEST.ext4     by all that is in it
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt;
use super::kernel::Kernel;
use super::kubernetes::NodePrograms;
use super::packages::{Package, ensure, refuse_unless_possible};
use crate::command::{run_quietly, say};
use crate::digest::digest;
use crate::images;
use crate::lock::{CacheLock, Part};
use crate::paths;

/// What nodes have of Debian, besides what is essential. systemd is for those that have it
/// as their init.
const PACKAGES: &str = "ca-certificates,conntrack,dbus,dropbear-bin,iproute2,iptables,kmod,\
    mount,nftables,procps,systemd,systemd-sysv";
/// Of the file system; the file has holes where nothing was written.
const SIZE: &str = "12G";
const PAUSE: &str = "FROM scratch\nCOPY --chmod=0755 pause /pause\nENTRYPOINT [\"/pause\"]\n";

/// The file with the disk, from the cache if it is there.
pub(crate) fn node_disk(kernel: &Kernel, programs: &NodePrograms) -> Result<PathBuf> {
    ensure(&[
        Package::DEBOOTSTRAP,
        Package::E2FSPROGS,
        Package::BUILDAH,
        Package::KMOD,
    ])?;
    let folders = [
        &programs.kubernetes,
        &programs.containerd,
        &programs.runc,
        &programs.cni,
    ];
    let mut parts: Vec<_> = folders.iter().map(|dir| dir.to_string_lossy()).collect();
    parts.push(kernel.modules().to_string_lossy().into_owned().into());
    parts.extend([PACKAGES.into(), SIZE.into(), PAUSE.into()]);
    let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
    let disk = paths::cache()?.join(format!("node-disk-{}.ext4", digest(&parts)));
    if disk.is_file() {
        return Ok(disk);
    }
    refuse_unless_possible("debootstrap")?;
    let _lock = CacheLock::take(Part::Debian)?;
    if !disk.is_file() {
        let work = disk.with_file_name(format!("filling-{}", std::process::id()));
        let made = fill(&debian()?, kernel, programs, &work);
        let moved = made.and_then(|new| {
            fs::rename(&new, &disk).with_context(|| format!("can't move {}", new.display()))
        });
        // Nothing of it is needed, whether it worked or not.
        let _ = fs::remove_dir_all(&work);
        moved?;
    }
    Ok(disk)
}

/// The root of a Debian.
fn debian() -> Result<PathBuf> {
    let root = paths::cache()?.join(format!("node-root-{}", digest(&[PACKAGES])));
    if root.is_dir() {
        return Ok(root);
    }
    say("installing a Debian for nodes (once; about a minute)");
    let work = root.with_file_name(format!("installing-{}", std::process::id()));
    run_quietly(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg("bookworm")
            .arg(&work)
            .arg(apt::mirror()),
    )?;
    for dir in ["var/cache/apt", "var/lib/apt/lists", "var/log"] {
        let dir = work.join(dir);
        fs::remove_dir_all(&dir)
            .and_then(|()| fs::create_dir(&dir))
            .with_context(|| format!("can't empty {}", dir.display()))?;
    }
    fs::rename(&work, &root).with_context(|| format!("can't move {}", work.display()))?;
    Ok(root)
}

/// Makes a disk in `work`; returns its path.
fn fill(debian: &Path, kernel: &Kernel, programs: &NodePrograms, work: &Path) -> Result<PathBuf> {
    say("filling the disk of nodes (once for each kernel and release)");
    paths::make(work)?;
    let root = work.join("root");
    run_quietly(
        Command::new("cp")
            .args(["--archive", "--reflink=auto"])
            .arg(debian)
            .arg(&root),
    )?;
    let modules = root.join("usr/lib/modules").join(&kernel.release);
    copy(&kernel.modules(), &modules)?;
    run_quietly(
        Command::new("depmod")
            .arg("--basedir")
            .arg(root.join("usr"))
            .arg(&kernel.release),
    )?;
    for folder in [&programs.kubernetes, &programs.containerd, &programs.runc] {
        copy(folder, &root.join("usr/local/bin"))?;
    }
    // The scheduler runs elsewhere.
    let _ = fs::remove_file(root.join("usr/local/bin/kube-scheduler"));
    copy(&programs.cni, &root.join("opt/cni/bin"))?;
    let images = root.join("usr/share/node/images");
    paths::make(&images)?;
    pause(&programs.pause, &work.join("pause"), &images)?;
    let disk = work.join("disk.ext4");
    run_quietly(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-m", "0", "-d"])
            .args([&root, &disk])
            .arg(SIZE),
    )?;
    Ok(disk)
}

/// The image of the process that holds a pod's namespaces.
fn pause(source: &Path, context: &Path, images: &Path) -> Result<()> {
    paths::make(context)?;
    run_quietly(
        Command::new("cc")
            .args(["-Os", "-static", "-DVERSION=v3.10", "-o"])
            .arg(context.join("pause"))
            .arg(source),
    )?;
    let file = context.join("Containerfile");
    fs::write(&file, PAUSE).with_context(|| format!("can't write {}", file.display()))?;
    images::build(context, "bartizan.dev/pause:1", &images.join("pause.tar")).map(|_| ())
}

/// Copies a folder's content into another, which is made.
fn copy(from: &Path, to: &Path) -> Result<()> {
    paths::make(to)?;
    run_quietly(
        Command::new("cp")
            .args(["--recursive", "--no-target-directory"])
            .args([from, to]),
    )
}
