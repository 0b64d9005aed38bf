//! The few calls that safe wrappers don't offer. With [`crate::bpf`] the only place
//! with `unsafe`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Keeps little memory that isn't in use, for commands that run for good and start no other
/// program, which would inherit the first part:
///
/// - Memory in pages of 4 KiB, not in huge ones: where those are the default, a heap that
///   holds a few MiB here and there takes several times as much. It is no mistake if a kernel
///   can't: it has no huge pages then.
/// - One heap for all threads. Of those of their own, glibc gives nothing back that is free at
///   the end: after the thread that loads programs that is 10 MiB.
pub(crate) fn keep_little_memory() {
    // SAFETY: needed because no library has these calls; they take numbers alone, and change
    // nothing that memory safety rests on.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Namespaces that [`fork`] gives the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// The caller's.
    Same,
    /// New mount, pid and ipc namespaces.
    Container,
}

/// Which side of a [`fork`] this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The caller, with the child's id in its own pid namespace and its pidfd.
    Parent {
        /// The child.
        pid: Pid,
        /// The same, immune to reuse of the number.
        pidfd: OwnedFd,
    },
}

/// Forks. Fails unless the process has a single thread: in a copy of one thread, locks
/// that others held would never be released.
pub(crate) fn fork(namespaces: Namespaces) -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("fork in a process with threads"));
    }
    let mut pidfd: libc::c_int = -1;
    let flags = match namespaces {
        Namespaces::Same => 0,
        Namespaces::Container => libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC,
    };
    let args = CloneArgs {
        flags: (flags | libc::CLONE_PIDFD).cast_unsigned() as u64,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: libc::SIGCHLD.cast_unsigned() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child has its own copy of memory; the structure and
    // its size are those of the first version of clone3; no stack means a copy of this
    // one; and there is no other thread that could hold a lock.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid, pidfd })
        }
        None if pid == 0 => Ok(Forked::Child),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct clone_args`, version 0.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Gives freed memory back to the kernel. Loading and compiling need far more than
/// enforcing does, and glibc would keep it.
pub(crate) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A descriptor whose readability can be awaited.
pub(crate) struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Watches a duplicate of `fd`. Must be called inside a runtime.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = fd.try_clone_to_owned()?;
        // SAFETY: an OwnedFd stays the same open descriptor until it is dropped, which
        // AsyncFd does after deregistering it; nothing here replaces it.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?;
        Ok(Self(registered))
    }

    /// Waits until there may be something to read, which must then be read until there
    /// is nothing left.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test harness has at least a main thread and this one.
        let error = fork(Namespaces::Same).unwrap_err();
        assert_eq!(error.to_string(), "fork in a process with threads");
    }
}
