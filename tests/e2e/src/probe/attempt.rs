//! Ways around a path: each ends in the one call that must be refused all the same.
//!
//! Each runs in a process of its own, because most change the process they run in:
//! root, namespaces, working directory, cgroup.

use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::mount::{self, OpenTreeFlags};
use rustix::process;
use rustix::thread::UnshareFlags;

use super::operation::{exec, map, protect};
use super::{Failure, answered, setup};

/// A file that must not be read.
pub(crate) const SECRET: &str = "/data/secret";
/// Another, which may be removed.
pub(crate) const DELETED: &str = "/data/deleted";
/// The name of another, in `/data/odd`.
pub(crate) const ODD: &[u8] = b"\xff\xc0x";
/// A directory in which nothing may be done.
pub(crate) const VAULT: &str = "/data/vault";
/// A program that must not be run.
pub(crate) const TOOL: &str = "/bin/tool";

/// `unshare -Urm`, with the pid namespace as well.
const ALL_NAMESPACES: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWPID);

/// Lets a child make the attempt.
pub(super) fn perform_apart(name: &str) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::Setup(error.to_string()))?;
    let child = Command::new(program)
        .args(["probe", "attempt", name])
        .output();
    let child = child.map_err(|error| Failure::Setup(format!("start a child: {error}")))?;
    answered(&String::from_utf8_lossy(&child.stdout)).map_err(|failure| match failure {
        Failure::Setup(answer) => {
            let complaint = String::from_utf8_lossy(&child.stderr);
            Failure::Setup(format!("{answer} {complaint} {}", child.status))
        }
        refused @ Failure::Refused(_) => refused,
    })
}

/// Makes an attempt.
pub(super) fn perform(name: &str) -> Result<(), Failure> {
    match name {
        "read" => read(SECRET),
        "read-relative" => {
            enter("/data")?;
            read("secret")
        }
        "read-dots" => read("/tmp/../data/./vault/../secret"),
        "read-openat" => {
            let directory = setup("open /data", fs::open("/data", OFlags::PATH, Mode::empty()))?;
            fs::openat(&directory, "secret", OFlags::RDONLY, Mode::empty())?;
            Ok(())
        }
        "read-symlink" => {
            setup("symlink", fs::symlink(SECRET, "/tmp/secret-link"))?;
            read("/tmp/secret-link")
        }
        "read-symlinked-directory" => {
            setup("symlink", fs::symlink("/data", "/tmp/data-link"))?;
            read("/tmp/data-link/secret")
        }
        "read-proc-root" => read("/proc/self/root/data/secret"),
        "read-proc-cwd" => {
            enter("/data")?;
            read("/proc/self/cwd/secret")
        }
        "read-proc-fd" => {
            let handle = setup("open a path", fs::open(SECRET, OFlags::PATH, Mode::empty()))?;
            read(&format!("/proc/self/fd/{}", handle.as_raw_fd()))
        }
        "read-chroot" => {
            setup("chroot", process::chroot("/data"))?;
            read("/secret")
        }
        "read-bind-mount" => {
            bind("/data", "/tmp/bound")?;
            read("/tmp/bound/secret")
        }
        "read-bind-mounted-file" => {
            own_mounts()?;
            let mode = Mode::from_raw_mode(0o600);
            setup(
                "make",
                fs::open("/tmp/file", OFlags::CREATE | OFlags::WRONLY, mode).map(drop),
            )?;
            setup("bind", mount::mount_bind(SECRET, "/tmp/file"))?;
            read("/tmp/file")
        }
        "read-detached-mount" => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
            let tree = setup("open_tree", mount::open_tree(CWD, "/data", flags))?;
            fs::openat(&tree, "secret", OFlags::RDONLY, Mode::empty())?;
            Ok(())
        }
        "read-new-namespaces" => {
            bind_in(ALL_NAMESPACES, "/data", "/tmp/bound-as-root")?;
            read("/tmp/bound-as-root/secret")
        }
        "read-nested-cgroup" => {
            nested_cgroup()?;
            read(SECRET)
        }
        "read-odd-bytes" => {
            enter("/data/odd")?;
            fs::open(ODD, OFlags::RDONLY, Mode::empty())?;
            Ok(())
        }
        "temporary-files" => super::descriptor::temporary(),
        "append-fathomless" => {
            enter("/tmp")?;
            // The path is longer than any that the kernel takes.
            let name = "n".repeat(25);
            for _ in 0..200 {
                have(&name)?;
                enter(&name)?;
            }
            let made = fs::open("file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU);
            setup("make", made.map(drop))?;
            fs::open("file", OFlags::WRONLY | OFlags::APPEND, Mode::empty())?;
            Ok(())
        }
        "read-deleted" => {
            let handle = setup(
                "open a path",
                fs::open(DELETED, OFlags::PATH, Mode::empty()),
            )?;
            setup("unlink", fs::unlink(DELETED))?;
            read(&format!("/proc/self/fd/{}", handle.as_raw_fd()))
        }
        "read-thread" => std::thread::spawn(|| read(SECRET))
            .join()
            .unwrap_or_else(|_| Err(Failure::Setup("the thread panicked".to_owned()))),
        other => perform_name(other),
    }
}

/// Attempts to make, move or remove a name.
fn perform_name(name: &str) -> Result<(), Failure> {
    match name {
        "link" => Ok(fs::link(SECRET, "/tmp/secret-hard")?),
        "rename" => Ok(fs::rename(SECRET, "/tmp/secret-moved")?),
        "rename-directory" => Ok(fs::rename("/data", "/data-moved")?),
        "rename-mount-point" => {
            own_mounts()?;
            setup("bind", mount::mount_bind("/tmp", "/data"))?;
            Ok(fs::rename("/data", "/data-moved")?)
        }
        "rename-exchange" => {
            setup(
                "make",
                fs::open("/tmp/other", OFlags::CREATE, Mode::RWXU).map(drop),
            )?;
            let flags = RenameFlags::EXCHANGE;
            Ok(fs::renameat_with(CWD, "/tmp/other", CWD, SECRET, flags)?)
        }
        "rename-exchange-from" => {
            setup(
                "make",
                fs::open("/tmp/another", OFlags::CREATE, Mode::RWXU).map(drop),
            )?;
            let flags = RenameFlags::EXCHANGE;
            Ok(fs::renameat_with(CWD, SECRET, CWD, "/tmp/another", flags)?)
        }
        "rename-over" => {
            setup(
                "make",
                fs::open("/tmp/new", OFlags::CREATE, Mode::RWXU).map(drop),
            )?;
            Ok(fs::rename("/tmp/new", "/data/vault/file")?)
        }
        "vault-mknod" => {
            let mode = Mode::RWXU;
            Ok(fs::mknodat(
                CWD,
                "/data/vault/new",
                FileType::RegularFile,
                mode,
                0,
            )?)
        }
        "vault-socket" => {
            let socket = std::os::unix::net::UnixListener::bind("/data/vault/new");
            match socket {
                Ok(_) => Ok(()),
                Err(error) => Err(Failure::Refused(
                    Errno::from_io_error(&error).unwrap_or(Errno::IO),
                )),
            }
        }
        "vault-mkdir" => Ok(fs::mkdir("/data/vault/new", Mode::RWXU)?),
        "vault-symlink" => Ok(fs::symlink("/", "/data/vault/new")?),
        "vault-link" => Ok(fs::link("/bin/good", "/data/vault/new")?),
        "vault-unlink" => Ok(fs::unlink("/data/vault/file")?),
        "vault-list" => {
            fs::open(
                "/data/vault/inside",
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )?;
            Ok(())
        }
        "vault-create-in-bind-mount" => {
            bind(VAULT, "/tmp/bound-vault")?;
            Ok(fs::mkdir("/tmp/bound-vault/new", Mode::RWXU)?)
        }
        other => perform_exec(other),
    }
}

/// Attempts to run something.
fn perform_exec(name: &str) -> Result<(), Failure> {
    match name {
        "exec" => exec(Path::new(TOOL)),
        "exec-relative" => {
            enter("/bin")?;
            exec(Path::new("./tool"))
        }
        "exec-symlink" => {
            setup("symlink", fs::symlink(TOOL, "/tmp/tool-link"))?;
            exec(Path::new("/tmp/tool-link"))
        }
        "exec-hard-link" => Ok(fs::link(TOOL, "/tmp/tool-hard")?),
        "exec-rename" => Ok(fs::rename(TOOL, "/tmp/tool-moved")?),
        "exec-proc-root" => exec(Path::new("/proc/self/root/bin/tool")),
        "exec-descriptor" => {
            let tool = setup("open a path", fs::open(TOOL, OFlags::PATH, Mode::empty()))?;
            exec(Path::new(&format!("/proc/self/fd/{}", tool.as_raw_fd())))
        }
        "exec-chroot" => {
            setup("chroot", process::chroot("/bin"))?;
            exec(Path::new("/tool"))
        }
        "exec-bind-mount" => {
            bind("/bin", "/tmp/bound-bin")?;
            exec(Path::new("/tmp/bound-bin/tool"))
        }
        "exec-new-namespaces" => {
            bind_in(ALL_NAMESPACES, "/bin", "/tmp/bound-bin-as-root")?;
            exec(Path::new("/tmp/bound-bin-as-root/tool"))
        }
        "exec-nested-cgroup" => {
            nested_cgroup()?;
            exec(Path::new(TOOL))
        }
        "exec-script" => exec(Path::new("/bin/denied-script")),
        "exec-script-of-tool" => exec(Path::new("/bin/script-of-tool")),
        "exec-good-script" => exec(Path::new("/bin/good-script")),
        "exec-copy" => {
            let copied = std::fs::copy(TOOL, "/tmp/copy");
            copied.map_err(|error| Failure::Setup(format!("copy: {error}")))?;
            exec(Path::new("/tmp/copy"))
        }
        "exec-memfd" => super::operation::perform(&["exec", "unnamed"]),
        "map" => map(setup(
            "open",
            fs::open(TOOL, OFlags::RDONLY, Mode::empty()),
        )?),
        "map-then-protect" => protect(setup(
            "open",
            fs::open(TOOL, OFlags::RDONLY, Mode::empty()),
        )?),
        "exec-interpreter" => super::interpreter::run(),
        leave if leave.starts_with("leave") => super::outside::perform(leave),
        mounted if mounted.starts_with("mounted-") => super::mounted::perform(mounted),
        uring if uring.starts_with("uring-") => super::uring::perform(uring),
        "tmpfile-link" => {
            let flags = OFlags::TMPFILE | OFlags::RDWR;
            let file = setup("O_TMPFILE", fs::open("/tmp", flags, Mode::RWXU))?;
            let at = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::linkat(CWD, at, CWD, "/data/vault/linked", AtFlags::SYMLINK_FOLLOW)?;
            Ok(())
        }
        "receive" => super::descriptor::receive(),
        "inherited-map-shared" => super::descriptor::inherit("map-shared"),
        "inherited-protect-shared" => super::descriptor::inherit("protect-shared"),
        "inherited-map-private" => super::descriptor::inherit("map-private"),
        "inherited-truncate" => super::descriptor::inherit("truncate"),
        "inherited-taken" => super::descriptor::inherit("take"),
        "preload" => super::interpreter::preload(),
        "misc" | "misc-opened-before" => super::interpreter::misc(name),
        crowd if crowd.starts_with("crowd-") => super::crowd::perform(crowd),
        "loader" => loader("/bin/dynamic"),
        "loader-of-good" => loader("/bin/good-dynamic"),
        other => super::restricted::perform(other).unwrap_or_else(|| super::socket::attempt(other)),
    }
}

pub(super) fn read(path: &str) -> Result<(), Failure> {
    fs::open(path, OFlags::RDONLY, Mode::empty())?;
    Ok(())
}

/// Makes a directory that everybody may use, if it isn't there.
pub(super) fn have(directory: &str) -> Result<(), Failure> {
    match fs::mkdir(directory, Mode::RWXU | Mode::RWXO) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Failure::Setup(format!("mkdir: {errno}"))),
    }
}

fn enter(directory: &str) -> Result<(), Failure> {
    setup("chdir", process::chdir(directory))
}

pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Failure> {
    // SAFETY: none of the flags takes memory or descriptors apart.
    setup("unshare", unsafe { rustix::thread::unshare_unsafe(flags) })
}

fn own_mounts() -> Result<(), Failure> {
    unshare(UnshareFlags::NEWNS)
}

/// Shows a directory at another place, in a mount namespace of this process's own.
fn bind(from: &str, to: &str) -> Result<(), Failure> {
    bind_in(UnshareFlags::NEWNS, from, to)
}

/// The same in these new namespaces.
fn bind_in(namespaces: UnshareFlags, from: &str, to: &str) -> Result<(), Failure> {
    // Before: nobody has an id in a new user namespace, so nobody can make anything.
    setup("mkdir", fs::mkdir(to, Mode::RWXU | Mode::RWXO))?;
    unshare(namespaces)?;
    setup("bind", mount::mount_bind(from, to))
}

/// Moves this process to a cgroup below its own.
fn nested_cgroup() -> Result<(), Failure> {
    own_mounts()?;
    let text = |error: std::io::Error| Failure::Setup(format!("nested cgroup: {error}"));
    std::fs::create_dir_all("/tmp/cgroup").map_err(text)?;
    let flags = mount::MountFlags::empty();
    setup(
        "mount cgroup2",
        mount::mount("cgroup2", "/tmp/cgroup", "cgroup2", flags, None),
    )?;
    let own = std::fs::read_to_string("/proc/self/cgroup").map_err(text)?;
    let own = own.trim().trim_start_matches("0::/").to_owned();
    let deeper = Path::new("/tmp/cgroup").join(own).join("deeper/still");
    std::fs::create_dir_all(&deeper).map_err(text)?;
    std::fs::write(deeper.join("cgroup.procs"), "0").map_err(text)
}

/// Runs a program through the dynamic loader; EACCES if it couldn't be mapped.
pub(super) fn loader(program: &str) -> Result<(), Failure> {
    let child = Command::new("/lib64/ld-linux-x86-64.so.2")
        .arg(program)
        .output();
    let child = child.map_err(|error| Failure::Setup(format!("run the loader: {error}")))?;
    let complaint = String::from_utf8_lossy(&child.stderr).into_owned();
    if child.status.success() {
        return Ok(());
    }
    if child.status.code() == Some(127) && complaint.contains("failed to map segment") {
        return Err(Failure::Refused(Errno::ACCESS));
    }
    Err(Failure::Setup(format!("{}: {complaint}", child.status)))
}
