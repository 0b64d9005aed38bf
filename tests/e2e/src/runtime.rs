//! A container runtime as the kernel sees it: what runc does, in its order, of that which
//! decides whose code is running.
//!
//! ```text
//!   init: outside ─ moved in ─► fork ─► new mounts, hook, pivot_root ─ "start" ─► entry
//!   exec: born inside ─► joins the mounts ─► command
//! ```
//!
//! It talks to [`crate::pod`] over standard input and output, which the entry point
//! inherits. A step that fails is said in a sentence.

use std::fs::{self, File};
use std::io::{BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::pivot_root;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::probe;

/// A file that a runtime reads in the container's root to find its user.
pub(crate) const USERS: &str = "/etc/passwd";
/// What it is told to do that again.
pub(crate) const READ_AGAIN: &str = "read";

/// The side that runs as the runtime.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    let result = match words {
        ["init", root, entry @ ..] => init(Path::new(root), entry),
        ["exec", pid, entry @ ..] => exec(pid, entry),
        _ => return ExitCode::from(2),
    };
    if let Err(error) = result {
        println!("{error:#}");
    }
    ExitCode::FAILURE
}

fn init(root: &Path, entry: &[&str]) -> Result<()> {
    say("waiting");
    hear("go")?;
    // As `runc:[0:PARENT]`, which stays where it is.
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        let mut status = 0;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        return Ok(());
    }
    // SAFETY: only this process has the new mount namespace.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("new mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("make the mounts private")?;
    mount_bind(root, root).context("mount the root")?;
    let proc = root.join("proc");
    mount("proc", &proc, "proc", MountFlags::empty(), None).context("mount /proc")?;
    let hook = Command::new("/proc/self/exe").args(probe::NOTHING).status();
    ensure!(hook.context("run a hook")?.success(), "the hook failed");
    std::env::set_current_dir(root)?;
    pivot_root(".", ".").context("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).context("leave the old root")?;
    std::env::set_current_dir("/")?;
    created()?;
    run(entry)
}

fn exec(pid: &str, entry: &[&str]) -> Result<()> {
    // Still in the host's root.
    fs::read_dir("/")?.count();
    let mounts = File::open(format!("/proc/{pid}/ns/mnt"))?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))
        .context("join the container's mounts")?;
    created()?;
    run(entry)
}

/// Becomes the container's; returns if that is refused.
fn run(entry: &[&str]) -> Result<()> {
    let (program, arguments) = entry.split_first().context("no entry point")?;
    let error = Command::new(program).args(arguments).exec();
    match error.raw_os_error() {
        Some(errno) => say(&errno.to_string()),
        None => bail!("{error}"),
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    // Whoever should hear it may be gone; then nothing matters any more.
    let _ = std::io::stdout().flush();
}

/// Reads the users, and then waits for the start, reading them again whenever it is told to:
/// the errno.
fn created() -> Result<()> {
    fs::read(USERS).context("read the container's users")?;
    say(&format!("created {}", std::process::id()));
    loop {
        let line = line()?;
        if line == "start" {
            return Ok(());
        }
        ensure!(line == READ_AGAIN, "heard {line:?}");
        let error = fs::read(USERS).err();
        let errno = error.and_then(|error| error.raw_os_error());
        say(&errno.unwrap_or(0).to_string());
    }
}

fn hear(expected: &str) -> Result<()> {
    let line = line()?;
    ensure!(line == expected, "heard {line:?}");
    Ok(())
}

/// Byte by byte as far as the pipe is concerned: what follows is the entry point's.
fn line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
