//! Debian's cloud kernels, unpacked into the cache and never installed.
//!
//! ```text
//! kernels/6.12                     the name of the folder in use, one line
//! kernels/6.12.117+deb12-cloud-amd64_6.12.117-1~deb12u1/vmlinuz
//!                                                      /modules/kernel/...
//! ```
//! A folder is complete once it is there: it is filled under another name and renamed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::apt::{PrivateApt, Suites};
use crate::command::say;
use crate::lock::{CacheLock, Part};
use crate::paths;

/// A line of kernels, of which the newest is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelLine {
    /// Debian 12's own.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, as backported to Debian 12.
    #[value(name = "6.12")]
    V6_12,
    /// The newest in trixie-backports.
    Newest,
}

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) release: String,
    dir: PathBuf,
}

impl KernelLine {
    /// Those that everything is tested on.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Newest];

    fn suites(self) -> Suites {
        match self {
            Self::V6_1 | Self::V6_12 => Suites::Bookworm,
            Self::Newest => Suites::TrixieBackports,
        }
    }

    /// Matches the packages that hold a kernel image of this line.
    fn pattern(self) -> &'static str {
        match self {
            Self::V6_1 => r"^linux-image-6\.1\.[^ ]*-cloud-amd64$",
            Self::V6_12 => r"^linux-image-6\.12\.[^ ]*-cloud-amd64$",
            // From 6.19 on linux-image-* is empty and the image is in linux-binary-*.
            Self::Newest => r"^linux-(image|binary)-[0-9][^ ]*-cloud-amd64$",
        }
    }
}

impl fmt::Display for KernelLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
        })
    }
}

impl Kernel {
    /// The cached kernel of a line, downloaded if there is none.
    pub(crate) fn get(line: KernelLine) -> Result<Self> {
        let kernels = paths::cache()?.join("kernels");
        match Self::cached(&kernels, line) {
            Some(kernel) => Ok(kernel),
            None => Self::newest(line),
        }
    }

    /// The newest kernel of a line, downloaded unless the cache holds exactly that.
    pub(crate) fn newest(line: KernelLine) -> Result<Self> {
        let kernels = paths::cache()?.join("kernels");
        paths::make(&kernels)?;
        let _lock = CacheLock::take(Part::Debian)?;
        let apt = PrivateApt::open(line.suites())?;
        let image = newest_image(apt.names(line.pattern())?)
            .with_context(|| format!("no package for kernel {line}"))?;
        let release = release_of(&image).to_owned();
        let name = format!("{release}_{}", apt.version(&image)?);
        let dir = kernels.join(&name);
        if !dir.is_dir() {
            say(format!("downloading kernel {release} ({image})"));
            // From 6.19 on modules and their lists have packages of their own.
            let others = format!("^linux-(modules|base)-{}$", escape(&release));
            let mut packages = apt.names(&others)?;
            packages.push(image);
            unpack(&apt, &packages, &release, &dir)?;
        }
        replace(&kernels.join(line.to_string()), &name)?;
        Ok(Self { release, dir })
    }

    /// The image that QEMU boots.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// `/lib/modules/RELEASE`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }

    fn cached(kernels: &Path, line: KernelLine) -> Option<Self> {
        let name = fs::read_to_string(kernels.join(line.to_string())).ok()?;
        let dir = kernels.join(&name);
        let release = name.split('_').next()?.to_owned();
        dir.is_dir().then_some(Self { release, dir })
    }
}

/// Fills `dir` with the image and the modules, all or nothing.
fn unpack(apt: &PrivateApt, packages: &[String], release: &str, dir: &Path) -> Result<()> {
    let work = dir.with_file_name(format!("unpacking-{}", std::process::id()));
    let tree = work.join("tree");
    apt.unpack(packages, &tree)?;
    let modules = first(&[
        tree.join("usr/lib/modules").join(release),
        tree.join("lib/modules").join(release),
    ])
    .with_context(|| format!("no modules in {packages:?}"))?;
    let image = first(&[
        tree.join("boot").join(format!("vmlinuz-{release}")),
        modules.join("vmlinuz"),
    ])
    .with_context(|| format!("no kernel image in {packages:?}"))?;
    let ready = work.join("ready");
    paths::make(&ready)?;
    for (from, to) in [
        (image, ready.join("vmlinuz")),
        (modules, ready.join("modules")),
    ] {
        fs::rename(&from, &to).with_context(|| format!("can't move {}", from.display()))?;
    }
    fs::rename(&ready, dir).with_context(|| format!("can't move {}", ready.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("can't remove {}", work.display()))
}

fn first(candidates: &[PathBuf]) -> Option<PathBuf> {
    candidates.iter().find(|path| path.exists()).cloned()
}

fn replace(file: &Path, content: &str) -> Result<()> {
    let new = file.with_file_name("line.new");
    fs::write(&new, content).with_context(|| format!("can't write {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("can't write {}", file.display()))
}

/// The package with the highest kernel version; linux-binary-* before linux-image-*.
fn newest_image(mut packages: Vec<String>) -> Option<String> {
    packages.sort_by_cached_key(|name| (numbers(release_of(name)), !name.contains("-image-")));
    packages.pop()
}

/// `linux-image-6.12.117+deb12-cloud-amd64` is release `6.12.117+deb12-cloud-amd64`.
fn release_of(package: &str) -> &str {
    package
        .trim_start_matches("linux-image-")
        .trim_start_matches("linux-binary-")
}

/// All runs of digits: enough of an order for Debian's kernel names.
fn numbers(release: &str) -> Vec<u64> {
    let runs = release.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).collect()
}

/// A release as a regular expression that matches only it.
fn escape(release: &str) -> String {
    release.replace('.', r"\.").replace('+', r"\+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let names = [
            "linux-image-6.12.95+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
        ];
        let newest = newest_image(names.map(String::from).to_vec());
        assert_eq!(newest.unwrap(), names[1]);
    }

    #[test]
    fn the_package_with_the_image_wins_over_the_one_that_only_depends_on_it() {
        let names = [
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
        ];
        let newest = newest_image(names.map(String::from).to_vec());
        assert_eq!(newest.unwrap(), names[0]);
    }
}
