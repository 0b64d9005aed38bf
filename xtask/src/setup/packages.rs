//! Debian packages that have to be installed on this machine.

use std::env::consts::OS;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::apt::{PrivateApt, Suites};
use crate::command::{is_root, run_quietly, say};
use crate::lock::{CacheLock, Part};
use crate::paths;

/// One package, and the file that shows that it, or something as good, is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    name: &'static str,
    shown_by: &'static str,
}

impl Package {
    /// The guest's shell and tools, in one static program.
    pub(crate) const BUSYBOX: Self = Self {
        name: "busybox-static",
        shown_by: "/usr/share/doc/busybox-static",
    };
    /// Unpacks kernel modules.
    pub(crate) const XZ: Self = Self {
        name: "xz-utils",
        shown_by: "xz",
    };
    /// Clocks of their own for processes of the API tests.
    pub(crate) const FAKETIME: Self = Self {
        name: "faketime",
        shown_by: "faketime",
    };
    /// Builds libFuzzer.
    pub(crate) const CXX: Self = Self {
        name: "g++",
        shown_by: "c++",
    };
    /// Makes the file systems of nodes.
    pub(crate) const DEBOOTSTRAP: Self = Self {
        name: "debootstrap",
        shown_by: "debootstrap",
    };
    /// `mke2fs`, which fills a file system without mounting it.
    pub(crate) const E2FSPROGS: Self = Self {
        name: "e2fsprogs",
        shown_by: "mke2fs",
    };
    /// Makes container images.
    pub(crate) const BUILDAH: Self = Self {
        name: "buildah",
        shown_by: "buildah",
    };
    /// Addresses, bridges and taps.
    pub(crate) const IPROUTE: Self = Self {
        name: "iproute2",
        shown_by: "ip",
    };
    /// Keys and certificates.
    pub(crate) const OPENSSL: Self = Self {
        name: "openssl",
        shown_by: "openssl",
    };
    /// Commands on nodes.
    pub(crate) const SSH: Self = Self {
        name: "openssh-client",
        shown_by: "ssh",
    };
    /// runc is linked with it.
    pub(crate) const LIBSECCOMP: Self = Self {
        name: "libseccomp-dev",
        shown_by: "/usr/include/seccomp.h",
    };
    /// `depmod`.
    pub(crate) const KMOD: Self = Self {
        name: "kmod",
        shown_by: "depmod",
    };
    /// Finds libseccomp.
    pub(crate) const PKG_CONFIG: Self = Self {
        name: "pkg-config",
        shown_by: "pkg-config",
    };
    /// What every machine needs. Compilers are chosen in [`crate::ebpf`].
    pub(crate) const ALL: &'static [Self] = &[Self::BUSYBOX, Self::XZ, Self::FAKETIME];

    fn is_there(self) -> bool {
        if self.shown_by.starts_with('/') {
            Path::new(self.shown_by).exists()
        } else {
            paths::on_path(self.shown_by).is_some()
        }
    }
}

/// Installs those that are missing from the machine's own package sources.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !package.is_there())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    refuse_unless_possible(&names)?;
    let _lock = CacheLock::take(Part::Debian)?;
    say(format!("installing {names}"));
    run_quietly(apt_get().arg("update"))?;
    run_quietly(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )
}

/// Installs a compiler and the source of exactly its library.
///
/// On Debian 12 they come from its security updates, where the pair is kept current,
/// whatever the machine's own sources are; the release itself has an old one.
pub(crate) fn install_rust_with_source() -> Result<()> {
    let names = ["rustc-web", "rust-web-src"];
    refuse_unless_possible(&names.join(" "))?;
    let _lock = CacheLock::take(Part::Debian)?;
    say(format!("installing {}", names.join(" ")));
    if debian_12() {
        return PrivateApt::open(Suites::Bookworm)?.install("bookworm-security", &names);
    }
    run_quietly(apt_get().arg("update"))?;
    run_quietly(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(names),
    )
}

/// Whether this is the Debian whose gaps have to be filled from elsewhere.
pub(super) fn debian_12() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release
        .lines()
        .any(|line| line == "VERSION_CODENAME=bookworm")
}

/// `apt-get` that asks nothing.
pub(super) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet");
    command
}

/// An error that names the packages, where this process can't install them itself.
pub(super) fn refuse_unless_possible(names: &str) -> Result<()> {
    if OS != "linux" || paths::on_path("apt-get").is_none() {
        bail!("this machine has no apt: install what Debian calls {names}, then try again");
    }
    if !is_root() {
        bail!("not root: install the missing packages with `apt-get install {names}`");
    }
    Ok(())
}
