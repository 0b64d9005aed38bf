//! A command as a container: own mount, pid and ipc namespace, held before its first
//! exec until its rules are in the kernel.
//!
//! ```text
//!   enforcer                      child (pid 1 of its namespace)
//!   start ──── clone3 ──────────► mounts, /proc, root
//!   wait_ready ◄───── ready ───── waits
//!   (mounts, binding, label, runtime mark)
//!   release ──────── go ────────► enters the cgroup, execs
//!   exec_failure ◄── closed ───── (or the error)
//! ```
//!
//! The child sets itself up outside the labelled cgroup, so that none of it is judged.
//! Its exec is, with the runtime as the caller.

mod child;
mod filesystem;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::{Pid, Signal, WaitIdOptions, WaitIdStatus};

use crate::sys::{Forked, Namespaces, fork};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Command and arguments; never empty.
    pub command: Vec<OsString>,
    /// Directory that becomes its root; `None`: the host's root.
    pub root: Option<PathBuf>,
}

/// A container that could not be set up or a command that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Not even its first process.
    #[error("cannot make a process in new namespaces")]
    Fork(#[source] io::Error),
    /// A step of its set-up.
    #[error("cannot {step}")]
    Setup {
        /// What was tried.
        step: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Its first process died without a word.
    #[error("the container's first process died during its set-up")]
    Died,
    /// Talking to it failed.
    #[error("cannot talk to the container's first process")]
    Pipe(#[source] io::Error),
}

/// A container that waits for [`Container::release`]. Dropping it ends it.
pub struct Container {
    pid: Pid,
    pidfd: OwnedFd,
    go: PipeWriter,
    report: PipeReader,
}

impl Container {
    /// Makes the container's first process. `procs` is the `cgroup.procs` of the cgroup
    /// that it enters last. Call it before there are threads.
    pub fn start(spec: &Spec, procs: &File) -> Result<Self, ContainerError> {
        let (report, to_parent) = pipe().map_err(ContainerError::Pipe)?;
        let (from_parent, go) = pipe().map_err(ContainerError::Pipe)?;
        match fork(Namespaces::Container).map_err(ContainerError::Fork)? {
            Forked::Parent { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                go,
                report,
            }),
            Forked::Child => {
                // The parent's ends, or its death would go unnoticed.
                drop((report, go));
                child::main(spec, procs, to_parent, from_parent)
            }
        }
    }

    /// Waits until the namespaces, mounts and root are in place.
    pub fn wait_ready(&mut self) -> Result<(), ContainerError> {
        let mut first = [0];
        match self.report.read(&mut first).map_err(ContainerError::Pipe)? {
            1 if first == [child::READY] => Ok(()),
            1 => Err(self.failure()),
            _ => Err(ContainerError::Died),
        }
    }

    /// Its first process's id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Its first process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Lets it enter its cgroup and exec.
    pub fn release(&mut self) -> Result<(), ContainerError> {
        self.go
            .write_all(&[child::GO])
            .map_err(ContainerError::Pipe)
    }

    /// Waits for the exec and says why it failed, if it did.
    pub fn exec_failure(&mut self) -> Result<Option<ContainerError>, ContainerError> {
        let mut first = [0];
        match self.report.read(&mut first).map_err(ContainerError::Pipe)? {
            0 => Ok(None),
            _ => Ok(Some(self.failure())),
        }
    }

    /// Reads the rest of a failure report.
    fn failure(&mut self) -> ContainerError {
        let mut rest = Vec::new();
        if let Err(error) = self.report.read_to_end(&mut rest) {
            return ContainerError::Pipe(error);
        }
        child::decode_failure(&rest).unwrap_or(ContainerError::Died)
    }

    /// Sends it a signal; one that is gone already needs none.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// Its exit status as a shell shows it (128 + signal if it was killed); `None` while
    /// it runs.
    pub fn try_wait(&self) -> io::Result<Option<u8>> {
        let status = rustix::process::waitid(
            rustix::process::WaitId::PidFd(self.pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        )?;
        Ok(status.map(|status| shell_status(&status)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Pid 1 takes all of its namespace along.
        self.signal(Signal::KILL);
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(self.pidfd.as_fd()),
            WaitIdOptions::EXITED,
        );
    }
}

fn shell_status(status: &WaitIdStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| Some(128 + status.terminating_signal()?));
    code.and_then(|code| u8::try_from(code & 0xff).ok())
        .unwrap_or(u8::MAX)
}
