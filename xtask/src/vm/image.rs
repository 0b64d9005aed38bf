//! What a guest sees at its start: a small Debian-like tree with busybox, and the files
//! of this run.
//!
//! Busybox's tools are hard links, not symbolic ones, so that each has a path of its own
//! (`/usr/bin/ls`), as it has on a real system; `/bin` and `/lib` are links into `/usr`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cpio::{Archive, DIRECTORY, FILE, Meta, SYMLINK};
use super::modules;
use crate::command::output;
use crate::setup::Kernel;

const INIT: &str = include_str!("init.sh");
const BUSYBOX: &str = "/bin/busybox";
/// Links of the tree's root into `usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
const FOLDERS: [&str; 12] = [
    ".root",
    "dev",
    "etc/guest",
    "mnt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr/lib64",
    "var/tmp",
];
const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\n\
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// The files of a guest, by path.
pub(crate) struct Image {
    entries: BTreeMap<String, Entry>,
    environment: Vec<String>,
    applets: Vec<String>,
}

struct Entry {
    meta: Meta,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    HostFile(PathBuf),
}

impl Image {
    /// A tree with busybox, an init and the kernel's modules for channels and overlayfs.
    pub(crate) fn new(kernel: &Kernel) -> Result<Self> {
        let modules = ["virtio_pci", "virtio_console", "overlay", "binfmt_misc"];
        let mut image = Self::with_init(kernel, INIT, &modules)?;
        image.text("/etc/passwd", 0o644, ACCOUNTS);
        image.text("/etc/group", 0o644, GROUPS);
        image.text("/etc/shadow", 0o640, "root:*:20000:0:99999:7:::\n");
        image.text("/etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n");
        image.text(
            "/etc/os-release",
            0o644,
            "ID=bartizan-guest\nNAME=\"Bartizan test guest\"\n",
        );
        Ok(image)
    }

    /// A tree with busybox, `init` as the first process, and in `/usr/lib/guest/modules`
    /// some of the kernel's modules in the order in which they load.
    pub(crate) fn with_init(kernel: &Kernel, init: &str, modules: &[&str]) -> Result<Self> {
        let mut image = Self {
            entries: BTreeMap::new(),
            environment: Vec::new(),
            applets: Vec::new(),
        };
        for dir in FOLDERS {
            image.folder(dir);
        }
        for link in MERGED {
            image
                .entries
                .insert(link.to_owned(), Entry::symlink(&format!("usr/{link}")));
        }
        image.text("/init", 0o755, init);
        for applet in output(Command::new(BUSYBOX).arg("--list-full"))?.lines() {
            let applet = merged(applet);
            image.parents(&applet);
            image.applets.push(applet);
        }
        image.applets.push("usr/bin/busybox".to_owned());
        image.applets.sort();
        image.applets.dedup();
        for (at, module) in modules::load_order(kernel, modules)?
            .into_iter()
            .enumerate()
        {
            let path = format!("/usr/lib/guest/modules/{at:02}-{}.ko", module.name);
            image.bytes(&path, 0o644, module.content);
        }
        Ok(image)
    }

    /// Adds a text file.
    pub(crate) fn text(&mut self, path: &str, mode: u32, text: &str) {
        self.bytes(path, mode, text.as_bytes().to_vec());
    }

    /// Adds a file or a whole folder of this machine. Files of a folder keep their
    /// owners; a single file belongs to root.
    pub(crate) fn host(&mut self, from: &Path, to: &str) -> Result<()> {
        let meta = fs::metadata(from).with_context(|| format!("can't read {}", from.display()))?;
        let to = merged(to);
        self.parents(&to);
        if meta.is_dir() {
            return self.tree(from, &to);
        }
        let meta = Meta {
            mode: meta.mode(),
            ..Meta::default()
        };
        self.entries.insert(
            to,
            Entry {
                meta,
                content: Content::HostFile(from.to_owned()),
            },
        );
        Ok(())
    }

    /// Sets an environment variable for the script.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push(format!("export {name}='{value}'\n"));
        let all = self.environment.concat();
        self.text("/etc/guest/environment", 0o644, &all);
    }

    /// Adds a dynamically linked program of this machine; its loader and libraries get
    /// the paths that they have here.
    pub(crate) fn dynamic_program(&mut self, program: &Path, to: &str) -> Result<()> {
        let listed = output(Command::new("ldd").arg(program))?;
        let libraries = listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for library in libraries {
            self.host(Path::new(library), library)?;
        }
        self.host(program, to)
    }

    /// Writes the archive.
    pub(crate) fn write(&self, out: impl Write) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(out));
        for (path, entry) in &self.entries {
            let add = |content: &[u8]| (path, entry.meta, content.to_vec());
            let (path, meta, content) =
                match &entry.content {
                    Content::Bytes(bytes) => add(bytes),
                    Content::HostFile(file) => add(&fs::read(file)
                        .with_context(|| format!("can't read {}", file.display()))?),
                };
            archive.add(path, meta, &content)?;
        }
        let applets = self
            .applets
            .iter()
            .filter(|path| !self.entries.contains_key(*path));
        let applets: Vec<_> = applets.map(String::as_str).collect();
        let busybox = fs::read(BUSYBOX).with_context(|| format!("can't read {BUSYBOX}"))?;
        archive.add_links(
            &applets,
            Meta {
                mode: FILE | 0o755,
                ..Meta::default()
            },
            &busybox,
        )?;
        archive.finish().context("can't write the guest's image")
    }

    fn bytes(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        let path = merged(path);
        self.parents(&path);
        let meta = Meta {
            mode: FILE | mode,
            ..Meta::default()
        };
        self.entries.insert(
            path,
            Entry {
                meta,
                content: Content::Bytes(bytes),
            },
        );
    }

    fn folder(&mut self, path: &str) {
        self.parents(path);
        self.entries
            .entry(path.to_owned())
            .or_insert_with(Entry::folder);
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.entries
                .entry(path[..at].to_owned())
                .or_insert_with(Entry::folder);
        }
    }

    fn tree(&mut self, from: &Path, to: &str) -> Result<()> {
        self.entries.insert(to.to_owned(), Entry::of_host(from)?);
        let entries =
            fs::read_dir(from).with_context(|| format!("can't list {}", from.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let to = format!("{to}/{name}");
            if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                self.tree(&path, &to)?;
            } else {
                self.entries.insert(to, Entry::of_host(&path)?);
            }
        }
        Ok(())
    }
}

impl Entry {
    fn folder() -> Self {
        let meta = Meta {
            mode: DIRECTORY | 0o755,
            ..Meta::default()
        };
        Self {
            meta,
            content: Content::Bytes(Vec::new()),
        }
    }

    fn symlink(target: &str) -> Self {
        let meta = Meta {
            mode: SYMLINK | 0o777,
            ..Meta::default()
        };
        Self {
            meta,
            content: Content::Bytes(target.as_bytes().to_vec()),
        }
    }

    fn of_host(path: &Path) -> Result<Self> {
        let about = || format!("can't read {}", path.display());
        let meta = path.symlink_metadata().with_context(about)?;
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            let target = fs::read_link(path).with_context(about)?;
            Content::Bytes(target.to_string_lossy().into_owned().into_bytes())
        } else if kind.is_file() {
            Content::HostFile(path.to_owned())
        } else {
            Content::Bytes(Vec::new())
        };
        let device = if kind.is_char_device() || kind.is_block_device() {
            ((meta.rdev() >> 8) as u32 & 0xfff, meta.rdev() as u32 & 0xff)
        } else {
            (0, 0)
        };
        let meta = Meta {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            device,
        };
        Ok(Self { meta, content })
    }
}

/// A path in the archive: no leading slash, and in `usr` what is linked there.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}
