//! The same operations asked of `io_uring`, where others do them for the process.

use std::ffi::CString;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType};

use super::attempt::{SECRET, VAULT};
use super::socket::DENIED;
use super::{Failure, setup};

const HERE: Fd = Fd(libc::AT_FDCWD);
/// How long the kernel's thread looks for more, ms.
const IDLE: u32 = 100;

/// Makes an attempt.
pub(super) fn perform(name: &str) -> Result<(), Failure> {
    let secret = name_of(SECRET)?;
    let inside = name_of(&format!("{VAULT}/file"))?;
    let free = name_of("/tmp/uring")?;
    let (secret, inside, free) = (secret.as_ptr(), inside.as_ptr(), free.as_ptr());
    let open = || opcode::OpenAt::new(HERE, secret).build();
    let entry = match name {
        "uring-open" => open(),
        "uring-open-by-worker" => open().flags(Flags::ASYNC),
        "uring-open-by-kernel-thread" => {
            let ring = IoUring::builder().setup_sqpoll(IDLE).build(2);
            return submit(ring, &open());
        }
        "uring-private" | "uring-private-by-worker" | "uring-private-by-personality" => {
            return open_private(name);
        }
        "uring-rename" => opcode::RenameAt::new(HERE, secret, HERE, free).build(),
        "uring-link" => opcode::LinkAt::new(HERE, secret, HERE, free).build(),
        "uring-unlink" => opcode::UnlinkAt::new(HERE, inside).build(),
        "uring-connect" => {
            let kind = SocketType::STREAM;
            let socket = setup("socket", net::socket(AddressFamily::INET, kind, None))?;
            let to = SocketAddrV4::new(DENIED, 9);
            let to = libc::sockaddr_in {
                sin_family: libc::AF_INET.unsigned_abs().try_into().unwrap_or_default(),
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*to.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            let length = size_of_val(&to).try_into().unwrap_or_default();
            let connect = opcode::Connect::new(
                Fd(socket.as_raw_fd()),
                std::ptr::from_ref(&to).cast(),
                length,
            );
            return submit(IoUring::new(2), &connect.build());
        }
        other => return Err(Failure::Setup(format!("no attempt {other}"))),
    };
    submit(IoUring::new(2), &entry)
}

/// A file that root may open with a capability alone.
pub(crate) const PRIVATE: &str = "/data/private";

/// Opens [`PRIVATE`], with credentials that the ring has kept or a worker's.
fn open_private(name: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Setup(format!("io_uring: {error}"));
    let ring = IoUring::new(2).map_err(failed)?;
    let path = name_of(PRIVATE)?;
    let open = opcode::OpenAt::new(HERE, path.as_ptr()).build();
    let open = match name {
        "uring-private-by-personality" => {
            let kept = ring.submitter().register_personality().map_err(failed)?;
            open.personality(kept)
        }
        "uring-private-by-worker" => open.flags(Flags::ASYNC),
        _ => open,
    };
    submit(Ok(ring), &open)
}

fn name_of(path: &str) -> Result<CString, Failure> {
    CString::new(path).map_err(|error| Failure::Setup(error.to_string()))
}

/// Waits for the answer to one request.
fn submit(ring: std::io::Result<IoUring>, entry: &Entry) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Setup(format!("io_uring: {error}"));
    let mut ring = ring.map_err(failed)?;
    // SAFETY: what the request points to is its maker's, who waits for the answer.
    let pushed = unsafe { ring.submission().push(entry) };
    pushed.map_err(|error| Failure::Setup(error.to_string()))?;
    ring.submit_and_wait(1).map_err(failed)?;
    let answer = ring.completion().next();
    let answer = answer.ok_or_else(|| Failure::Setup("no answer".to_owned()))?;
    match answer.result() {
        0.. => Ok(()),
        errno => Err(Failure::Refused(Errno::from_raw_os_error(-errno))),
    }
}
