//! The process that does what the self-test forbids.
//!
//! ```text
//!   enforcer ── cgroup.procs\0 file\0 ──► prober ── forks for each ──► outside, then inside
//!            ◄── errnos ────────────────┘
//! ```
//! A negative errno says why something couldn't be tried.
//!
//! It is forked while there is one thread, and asked when there may be more.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::SelfTestError;
use crate::sys::{Forked, Namespaces, fork};

/// Errnos (0 for success) of reading and of running a file.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Outside the cgroup.
    pub(super) control: [i32; 2],
    /// Inside.
    pub(super) denied: [i32; 2],
}

impl Attempt {
    pub(super) fn check(&self, with_files: bool) -> Result<(), SelfTestError> {
        let [read, run] = self.denied;
        for (tried, operation, errno) in [
            (with_files, "reading a file", read),
            (true, "running a program", run),
        ] {
            if tried && errno != libc::EACCES {
                let found = match errno {
                    0 => "success".to_owned(),
                    errno => io::Error::from_raw_os_error(errno).to_string(),
                };
                return Err(SelfTestError::NotDenied { operation, found });
            }
        }
        Ok(())
    }
}

/// The process, as long as it is needed.
pub struct Prober {
    /// Taken when it is told to end.
    to: Option<PipeWriter>,
    from: PipeReader,
    pidfd: OwnedFd,
}

impl Prober {
    /// Forks it. Fails in a process with threads.
    pub fn start() -> Result<Self, SelfTestError> {
        let start = || {
            let (orders, to) = pipe()?;
            let (from, report) = pipe()?;
            match fork(Namespaces::Same)? {
                Forked::Child => {
                    drop((to, from));
                    std::process::exit(i32::from(serve(orders, &report).is_err()))
                }
                Forked::Parent { pidfd, .. } => Ok(Self {
                    to: Some(to),
                    from,
                    pidfd,
                }),
            }
        };
        start().map_err(SelfTestError::Child)
    }

    /// Lets a process read and run a file, then enter a cgroup and try again.
    pub(super) fn attempt(&mut self, procs: &Path, file: &Path) -> io::Result<Attempt> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut order = Vec::new();
        for path in [procs, file] {
            order.extend_from_slice(path.as_os_str().as_bytes());
            order.push(0);
        }
        to.write_all(&order)?;
        let mut next = || {
            let mut errno = [0; 4];
            self.from.read_exact(&mut errno)?;
            let errno = i32::from_le_bytes(errno);
            if errno < 0 {
                return Err(io::Error::from_raw_os_error(-errno));
            }
            Ok(errno)
        };
        Ok(Attempt {
            control: [next()?, next()?],
            denied: [next()?, next()?],
        })
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.to = None;
        // It ends when it reads that.
        let _ = wait(&self.pidfd);
    }
}

/// The exit status; `None` if a signal ended it.
fn wait(pidfd: &OwnedFd) -> io::Result<Option<i32>> {
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    Ok(status.and_then(|status| status.exit_status()))
}

fn serve(orders: PipeReader, report: &PipeWriter) -> io::Result<()> {
    let mut orders = BufReader::new(orders);
    loop {
        let (mut procs, mut file) = (Vec::new(), Vec::new());
        orders.read_until(0, &mut procs)?;
        orders.read_until(0, &mut file)?;
        // Whoever ends in the middle of an order has ended.
        if procs.pop() != Some(0) || file.pop() != Some(0) {
            return Ok(());
        }
        let [procs, file] = [&procs, &file].map(|path| Path::new(OsStr::from_bytes(path)));
        match fork(Namespaces::Same)? {
            Forked::Child => {
                let error = child(procs, file, report).err();
                std::process::exit(error.map_or(0, |error| errno(&error)))
            }
            Forked::Parent { pidfd, .. } => {
                // Else nobody would answer.
                let failed = wait(&pidfd)?.unwrap_or(libc::EINTR);
                if failed != 0 {
                    (&*report).write_all(&(-failed).to_le_bytes())?;
                }
            }
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn child(procs: &Path, file: &Path, mut report: &PipeWriter) -> io::Result<()> {
    // A cgroup namespace is a fence where the hierarchy is mounted with `nsdelegate`, as
    // systemd does it: a process in a container can't leave the container's cgroup.
    if let Ok(node) = File::open("/proc/1/ns/cgroup") {
        move_into_link_name_space(node.as_fd(), Some(LinkNameSpaceType::ControlGroup))?;
    }
    let mut procs = OpenOptions::new().write(true).open(procs)?;
    for inside in [false, true] {
        if inside {
            procs.write_all(b"0")?;
        }
        let read = File::open(file).err();
        // Returns only if it fails, which it always does.
        let run = Some(Command::new(file).exec());
        for error in [read, run] {
            let errno = error.as_ref().map_or(0, errno);
            report.write_all(&errno.to_le_bytes())?;
        }
    }
    Ok(())
}
