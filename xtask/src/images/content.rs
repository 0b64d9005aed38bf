//! What goes into images: programs of the workspace, or a tree of Debian's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Image;
use crate::command::{output, run_quietly};
use crate::e2e::RUNNER;
use crate::programs::{Programs, build_released};
use crate::setup::{Package, ensure, unpacked};
use crate::{ebpf, paths};

/// The program that watches and writes and does nothing else.
const RELAY: &str = "bartizan-relay";
/// Links of a tree's root into `usr`, as Debian has them.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
const FOLDERS: [&str; 12] = [
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "var/tmp",
];
const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\n\
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nadm:x:4:\nwww-data:x:33:\nnogroup:x:65534:\n";
const SHADOW: &str = "root:*:20000:0:99999:7:::\n";
/// nginx, what it is linked with, and a shell with the usual tools.
const NGINX: [&str; 13] = [
    "coreutils",
    "dash",
    "libacl1",
    "libattr1",
    "libc6",
    "libcrypt1",
    "libgmp10",
    "libpcre2-8-0",
    "libselinux1",
    "libssl3",
    "nginx",
    "nginx-common",
    "zlib1g",
];
/// Of Debian's packages, what no container needs.
const LEFT_OUT: [&str; 4] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
];

/// Fills the folder that an image is built from.
pub(super) fn gather(image: Image, context: &Path) -> Result<()> {
    let source = paths::root().join("config/images").join(image.to_string());
    for entry in
        fs::read_dir(&source).with_context(|| format!("can't list {}", source.display()))?
    {
        let entry = entry?;
        copy(&entry.path(), &context.join(entry.file_name()))?;
    }
    match image {
        Image::Operator => program("bartizan-operator", "", context),
        Image::Enforcer => {
            ebpf::Build::default().run()?;
            program("bartizan-enforcer", "embed", context)
        }
        Image::Busybox => {
            let tree = Tree::new(context)?;
            tree.busybox()?;
            tree.pack()
        }
        Image::Nginx => {
            let tree = Tree::new(context)?;
            tree.debian(&NGINX)?;
            tree.busybox()?;
            tree.pack()
        }
        Image::Probe => {
            let programs = Programs::build(&[RUNNER, RELAY])?;
            copy(&programs.path(RUNNER), &context.join("probe"))?;
            copy(&programs.path(RELAY), &context.join("relay"))
        }
    }
}

fn program(name: &str, features: &str, context: &Path) -> Result<()> {
    copy(&build_released(name, features)?, &context.join(name))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("can't copy {}", from.display()))?;
    Ok(())
}

/// The root of an image that is being made.
struct Tree(PathBuf);

impl Tree {
    fn new(context: &Path) -> Result<Self> {
        let root = context.join("root");
        for folder in FOLDERS {
            paths::make(&root.join(folder))?;
        }
        for link in MERGED {
            symlink(format!("usr/{link}"), root.join(link)).context("can't make a link")?;
        }
        let tree = Self(root);
        tree.write("etc/passwd", ACCOUNTS)?;
        tree.write("etc/group", GROUPS)?;
        tree.write("etc/shadow", SHADOW)?;
        Ok(tree)
    }

    /// Adds busybox, and each of its tools that isn't there yet as a name of the same file,
    /// so that the tools have paths of their own.
    fn busybox(&self) -> Result<()> {
        ensure(&[Package::BUSYBOX])?;
        let busybox = self.0.join("usr/bin/busybox");
        copy(Path::new("/bin/busybox"), &busybox)?;
        for tool in output(Command::new("/bin/busybox").arg("--list-full"))?.lines() {
            let tool = self.0.join("usr").join(tool.trim_start_matches("usr/"));
            if !tool.exists() {
                fs::hard_link(&busybox, &tool)
                    .with_context(|| format!("can't link {}", tool.display()))?;
            }
        }
        Ok(())
    }

    /// Adds the files of packages.
    fn debian(&self, packages: &[&str]) -> Result<()> {
        let unpacked = unpacked(packages)?;
        let entries = fs::read_dir(&unpacked)
            .with_context(|| format!("can't list {}", unpacked.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let merged = MERGED.iter().any(|link| name == *link);
            let folder = if merged { "usr" } else { "" };
            let to = self.0.join(folder).join(&name);
            paths::make(&to)?;
            run_quietly(
                Command::new("cp")
                    .arg("--archive")
                    .arg(entry.path().join("."))
                    .arg(to),
            )?;
        }
        for folder in LEFT_OUT {
            let folder = self.0.join(folder);
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("can't remove {}", folder.display()))?;
            }
        }
        Ok(())
    }

    /// Replaces the tree by `root.tar`, which is the same for the same tree.
    fn pack(self) -> Result<()> {
        run_quietly(
            Command::new("tar")
                .args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner"])
                .args(["--owner=0", "--group=0", "--file"])
                .arg(self.0.with_extension("tar"))
                .arg("--directory")
                .arg(&self.0)
                .arg("."),
        )?;
        fs::remove_dir_all(&self.0).with_context(|| format!("can't remove {}", self.0.display()))
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.0.join(path);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    }
}
