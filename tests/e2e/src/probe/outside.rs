//! Attempts to lose the container's rules by leaving its cgroup.

use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags};
use rustix::process::{self, Pid, WaitOptions};

use super::attempt::{SECRET, perform_apart, read};
use super::{Failure, answered, setup};

/// A cgroup of the guest that no rules are for.
pub(crate) const OUTSIDE: &str = "outside";
/// Where the attempts have the guest's cgroups.
const CGROUPS: &str = "/tmp/cgroups";
/// `CLONE_INTO_CGROUP`
const INTO_CGROUP: u64 = 1 << 33;

/// Leaves in some way, then reads [`SECRET`].
pub(super) fn perform(name: &str) -> Result<(), Failure> {
    mount_cgroups()?;
    let outside = Path::new(CGROUPS).join(OUTSIDE);
    match name {
        "leave" => enter(&outside)?,
        "leave-to-root" => enter(Path::new(CGROUPS))?,
        "leave-twice" => {
            enter(&outside)?;
            enter(&made(&outside.join("deeper"))?)?;
        }
        "leave-then-fork" => {
            enter(&outside)?;
            return perform_apart("read");
        }
        "leave-then-exec" => {
            enter(&outside)?;
            return Err(become_reader());
        }
        "leave-then-exec-from-thread" => {
            enter(&outside)?;
            let thread = std::thread::spawn(become_reader);
            return Err(thread
                .join()
                .unwrap_or_else(|_| stuck("the thread panicked")));
        }
        "leave-and-be-moved-on" => {
            enter(&outside)?;
            let next = made(&outside.join("next"))?;
            return moved_child(&next);
        }
        "leave-moved-by-parent" => return moved_child(&outside),
        "leave-cloned" => return cloned(&outside),
        other => return Err(stuck(&format!("no attempt {other}"))),
    }
    read(SECRET)
}

fn stuck(step: &str) -> Failure {
    Failure::Setup(step.to_owned())
}

fn own() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| stuck(&error.to_string()))
}

fn mount_cgroups() -> Result<(), Failure> {
    if Path::new(CGROUPS).join("cgroup.procs").exists() {
        return Ok(());
    }
    made(Path::new(CGROUPS))?;
    let flags = MountFlags::empty();
    let mounted = mount::mount("none", CGROUPS, "cgroup2", flags, None);
    setup("mount cgroup2", mounted)
}

fn made(directory: &Path) -> Result<PathBuf, Failure> {
    match fs::mkdir(directory, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(directory.to_owned()),
        Err(errno) => Err(stuck(&format!("mkdir {}: {errno}", directory.display()))),
    }
}

/// Moves this process into a cgroup.
pub(super) fn enter(cgroup: &Path) -> Result<(), Failure> {
    put(cgroup, 0)
}

/// Moves a process; 0 is this one.
fn put(cgroup: &Path, process: u32) -> Result<(), Failure> {
    let written = std::fs::write(cgroup.join("cgroup.procs"), process.to_string());
    written.map_err(|error| stuck(&format!("enter {}: {error}", cgroup.display())))
}

/// Reads as another program in this process; returns only if that fails.
fn become_reader() -> Failure {
    match own() {
        Ok(program) => {
            let failed = Command::new(program)
                .args(["probe", "attempt", "read"])
                .exec();
            stuck(&format!("exec: {failed}"))
        }
        Err(failure) => failure,
    }
}

/// Has a child read that this process has moved.
fn moved_child(cgroup: &Path) -> Result<(), Failure> {
    let child = Command::new(own()?)
        .args(["probe", "serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| stuck(&format!("start a child: {error}")))?;
    let moved = put(cgroup, child.id());
    let answer = super::ask(&mut child, &format!("file read {SECRET}"));
    let ended = child.wait();
    moved?;
    ended.map_err(|error| stuck(&error.to_string()))?;
    answered(&answer.map_err(|error| stuck(&format!("{error:#}")))?)
}

/// Has a child read that was in the cgroup from its first instruction.
fn cloned(cgroup: &Path) -> Result<(), Failure> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY;
    let directory = setup("open a cgroup", fs::open(cgroup, flags, Mode::empty()))?;
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack,
    // stack_size, tls, set_tid, set_tid_size, cgroup.
    let mut arguments = [0_u64; 11];
    arguments[0] = INTO_CGROUP;
    arguments[4] = u64::try_from(libc::SIGCHLD).unwrap_or_default();
    arguments[10] = u64::try_from(directory.as_raw_fd()).unwrap_or_default();
    // SAFETY: like fork; this program has one thread, and the child makes one call and ends.
    let child = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments),
        )
    };
    if child == 0 {
        let status = match read(SECRET) {
            Err(Failure::Refused(errno)) => errno.raw_os_error(),
            _ => 0,
        };
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) }
    }
    let child = i32::try_from(child).ok().and_then(Pid::from_raw);
    let child = child.ok_or_else(|| stuck("clone3 failed"))?;
    let waited = setup("wait", process::waitpid(Some(child), WaitOptions::empty()))?;
    match waited.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        Some(errno) => Err(Failure::Refused(Errno::from_raw_os_error(errno))),
        None => Err(stuck("the child was killed")),
    }
}
