//! Attempts to reach a protected file through a mount that the container makes itself.

use std::ffi::CString;
use std::fs as std_fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::mount::{self, MountFlags, MoveMountFlags, OpenTreeFlags};
use rustix::thread::UnshareFlags;

use super::attempt::{VAULT, have, loader, read, unshare};
use super::operation::{exec, map, protect};
use super::other::Other;
use super::restricted::called;
use super::{Failure, setup};

/// Where the attempts mount.
const POINT: &str = "/tmp/mounted";
/// A directory in another root that is mounted there.
const INSIDE: &str = "/tmp/mounted/tmp/empty";
/// `MOUNT_ATTR_IDMAP`
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Makes an attempt whose name begins with `mounted-`.
pub(super) fn perform(name: &str) -> Result<(), Failure> {
    let namespaces = if name == "mounted-overlay-as-root-of-a-namespace" {
        UnshareFlags::NEWUSER | UnshareFlags::NEWNS
    } else {
        UnshareFlags::NEWNS
    };
    for directory in [POINT, "/tmp/upper", "/tmp/work", "/tmp/empty"] {
        have(directory)?;
    }
    unshare(namespaces)?;
    let inside = |name: &str| format!("{POINT}/{name}");
    match name {
        "mounted-moved" => {
            let tree = tree("/data")?;
            moved(&tree)?;
            read(&inside("secret"))
        }
        "mounted-read-only" => {
            setup("bind", mount::mount_bind("/data", POINT))?;
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            setup("remount", mount::mount_remount(POINT, flags, ""))?;
            read(&inside("secret"))
        }
        "mounted-for-others" => {
            let tree = tree("/data")?;
            for_others(&tree)?;
            moved(&tree)?;
            read(&inside("secret"))
        }
        "mounted-in-another-root" => in_another_root(),
        "mounted-overlay" | "mounted-overlay-as-root-of-a-namespace" => {
            overlay("/data:/tmp/empty", None)?;
            read(&inside("secret"))
        }
        "mounted-overlay-copied-up" => {
            overlay("/data:/tmp/empty", Some("/tmp/upper"))?;
            fs::open(inside("secret"), OFlags::WRONLY, Mode::empty())?;
            read(&inside("secret"))
        }
        "mounted-overlay-of-the-vault" => {
            overlay("/tmp/empty", Some(VAULT))?;
            fs::open(inside("file"), OFlags::WRONLY, Mode::empty())?;
            Ok(())
        }
        "mounted-overlay-exec" => {
            overlay("/bin:/tmp/empty", None)?;
            exec(Path::new(&inside("tool")))
        }
        "mounted-overlay-map" => {
            overlay("/bin:/tmp/empty", None)?;
            let tool = fs::open(inside("tool"), OFlags::RDONLY, Mode::empty());
            map(setup("open", tool)?)
        }
        "mounted-overlay-on-overlay-exec" => exec(Path::new(&tool_on_two()?)),
        "mounted-overlay-on-overlay-map" => {
            let tool = fs::open(tool_on_two()?, OFlags::RDONLY, Mode::empty());
            map(setup("open", tool)?)
        }
        "mounted-overlay-protect" => {
            overlay("/bin:/tmp/empty", None)?;
            let tool = fs::open(inside("tool"), OFlags::RDONLY, Mode::empty());
            protect(setup("open", tool)?)
        }
        "mounted-overlay-loader" => {
            overlay("/bin:/tmp/empty", None)?;
            loader(&inside("dynamic"))
        }
        other => Err(Failure::Setup(format!("no attempt {other}"))),
    }
}

fn tree(of: &str) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    setup("open_tree", mount::open_tree(CWD, of, flags))
}

fn moved(tree: &impl AsFd) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    setup("move_mount", mount::move_mount(tree, "", CWD, POINT, flags))
}

/// The tool's name in an overlay on an overlay.
fn tool_on_two() -> Result<String, Failure> {
    const SECOND: &str = "/tmp/second";
    have(SECOND)?;
    overlay("/bin:/tmp/empty", None)?;
    overlay_at(SECOND, &format!("{POINT}:/tmp/empty"), None)?;
    Ok(format!("{SECOND}/tool"))
}

/// Shows one directory below another, so that nothing of it has its own name.
fn overlay(lower: &str, upper: Option<&str>) -> Result<(), Failure> {
    overlay_at(POINT, lower, upper)
}

fn overlay_at(point: &str, lower: &str, upper: Option<&str>) -> Result<(), Failure> {
    let above = upper.map(|upper| format!(",upperdir={upper},workdir=/tmp/work"));
    let options = format!("lowerdir={lower}{}", above.unwrap_or_default());
    let options = CString::new(options).unwrap_or_default();
    let flags = MountFlags::empty();
    setup(
        "mount an overlay",
        mount::mount("overlay", point, "overlay", flags, Some(&*options)),
    )
}

/// Gives the files of a mount other owners: those that a new user namespace has.
fn for_others(tree: &OwnedFd) -> Result<(), Failure> {
    let other = Other::start(|command| {
        let unshare = || {
            // SAFETY: takes no memory apart.
            let result = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) };
            result.map_err(io::Error::from)
        };
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(unshare) };
    })?;
    let of = |name: &str| format!("/proc/{}/{name}", other.id());
    let failed = |error: io::Error| Failure::Setup(format!("map ids: {error}"));
    std_fs::write(of("uid_map"), "0 1000 1000").map_err(failed)?;
    std_fs::write(of("gid_map"), "0 1000 1000").map_err(failed)?;
    let ids = std_fs::File::open(of("ns/user")).map_err(failed)?;
    // struct mount_attr: what to set, what to clear, propagation, a user namespace.
    let attributes: [u64; 4] = [
        MOUNT_ATTR_IDMAP,
        0,
        0,
        u64::from(ids.as_raw_fd().cast_unsigned()),
    ];
    // SAFETY: the path is a C string, the attributes have the size that is said.
    let set = called(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    });
    setup("mount_setattr", set.map(drop))
}

/// By `/proc/PID/root` of a process that has the protected directory at another place.
fn in_another_root() -> Result<(), Failure> {
    let other = Other::start(|command| {
        let enter = || {
            // SAFETY: takes no memory apart.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
            mount::mount_bind_recursive("/", POINT)?;
            mount::mount_bind("/data", INSIDE)?;
            rustix::process::chroot(POINT)?;
            Ok(())
        };
        // SAFETY: system calls alone between fork and exec.
        unsafe { command.pre_exec(enter) };
    })?;
    read(&format!("/proc/{}/root/tmp/empty/secret", other.id()))
}
