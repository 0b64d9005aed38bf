//! The container's view of the file system: private mounts, its own `/proc`, its root.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat, symlink};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_move, unmount,
};
use rustix::process::{chdir, chroot, pivot_root};

use super::child::Failure;

/// Devices that programs rely on: name, major, minor.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links in `/dev` that programs rely on.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Sets up the caller's new mount namespace. `root` must be absolute.
pub(super) fn set_up(root: Option<&Path>) -> Result<(), Failure> {
    // Or our mounts would show up on the host.
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(|error| failure("make mounts private", error))?;
    let Some(root) = root else {
        return mount_proc(Path::new("/proc"));
    };
    // A root has to be a mount.
    mount_bind_recursive(root, root)
        .map_err(|error| failure(&format!("bind {}", root.display()), error))?;
    mount_proc(&root.join("proc"))?;
    populate_dev(&root.join("dev"))?;
    chdir(root).map_err(|error| failure(&format!("enter {}", root.display()), error))?;
    match pivot_root(".", ".") {
        // The old root is now mounted on top of the new one.
        Ok(()) => unmount(".", UnmountFlags::DETACH)
            .map_err(|error| failure("detach the old root", error))?,
        // An initramfs can't be pivoted away from.
        Err(Errno::INVAL) => {
            mount_move(".", "/").map_err(|error| failure("move the new root to /", error))?;
            chroot(".").map_err(|error| failure("change the root", error))?;
        }
        Err(error) => return Err(failure("change the root", error)),
    }
    chdir("/").map_err(|error| failure("enter the new root", error))
}

/// Mounts the new pid namespace's `/proc`, if there is a place for it.
fn mount_proc(at: &Path) -> Result<(), Failure> {
    if !at.is_dir() {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", at, "proc", flags, None)
        .map_err(|error| failure(&format!("mount {}", at.display()), error))
}

/// Gives a root directory without devices the few that programs can't do without.
fn populate_dev(dev: &Path) -> Result<(), Failure> {
    if !dev.is_dir() || dev.join("null").exists() {
        return Ok(());
    }
    let step = format!("populate {}", dev.display());
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dev, "tmpfs", flags, Some(c"mode=755,size=64k"))
        .map_err(|error| failure(&step, error))?;
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )
        .and_then(|()| rustix::fs::chmod(&path, mode))
        .map_err(|error| failure(&step, error))?;
    }
    for (name, to) in LINKS {
        symlink(to, dev.join(name)).map_err(|error| failure(&step, error))?;
    }
    Ok(())
}

fn failure(step: &str, error: Errno) -> Failure {
    (step.to_owned(), io::Error::from(error))
}
