//! Attempts with descriptors that were opened when, where, or by whom they could be.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno, FdFlags};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::net::{self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};

use super::{Failure, answered, setup};

/// A file that one program may write and another may not.
pub(crate) const KEPT: &str = "/data/kept";
/// Another program.
const HEIR: &str = "/bin/good";
/// Who connects here is sent a descriptor.
pub(crate) const GIVER: &str = "/tmp/giver";
const PAGE: usize = 4096;

/// Lets [`HEIR`] make an attempt with a descriptor of [`KEPT`], which this program opens.
pub(super) fn inherit(attempt: &str) -> Result<(), Failure> {
    let kept = setup("open", fs::open(KEPT, OFlags::RDWR, Mode::empty()))?;
    setup("keep open", io::fcntl_setfd(&kept, FdFlags::empty()))?;
    let number = kept.as_raw_fd().to_string();
    let child = Command::new(HEIR)
        .args(["probe", "inherited", attempt, &number])
        .output();
    let child = child.map_err(|error| Failure::Setup(format!("start the heir: {error}")))?;
    answered(&String::from_utf8_lossy(&child.stdout)).map_err(|failure| match failure {
        Failure::Setup(answer) => Failure::Setup(format!("{answer} {}", child.status)),
        refused @ Failure::Refused(_) => refused,
    })
}

/// The heir's part.
pub(super) fn use_inherited(attempt: &str, number: &str) -> Result<(), Failure> {
    let number = number
        .parse()
        .map_err(|_not_one| Failure::Setup(format!("no descriptor {number}")))?;
    if attempt == "take" {
        return take(number);
    }
    // SAFETY: the number of a descriptor that the parent has left open.
    let kept = unsafe { BorrowedFd::borrow_raw(number) };
    let both = ProtFlags::READ | ProtFlags::WRITE;
    match attempt {
        "map-shared" => map(kept, both, MapFlags::SHARED).map(drop),
        "map-private" => map(kept, both, MapFlags::PRIVATE).map(drop),
        "protect-shared" => {
            let mapped = setup("map", map(kept, ProtFlags::READ, MapFlags::SHARED))?;
            let wanted = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: the page that was just mapped, which nobody else knows of.
            unsafe { rustix::mm::mprotect(mapped, PAGE, wanted) }
        }
        "truncate" => fs::ftruncate(kept, 1),
        other => return Err(Failure::Setup(format!("no attempt {other}"))),
    }
    .map_err(Failure::from)
}

/// Takes a descriptor of the parent's by `pidfd_getfd`.
fn take(number: i32) -> Result<(), Failure> {
    let parent = process::getppid().ok_or_else(|| Failure::Setup("no parent".to_owned()))?;
    let parent = setup(
        "pidfd_open",
        process::pidfd_open(parent, PidfdFlags::empty()),
    )?;
    drop(process::pidfd_getfd(
        &parent,
        number,
        PidfdGetfdFlags::empty(),
    )?);
    Ok(())
}

fn map(
    file: BorrowedFd<'_>,
    protection: ProtFlags,
    flags: MapFlags,
) -> Result<*mut std::ffi::c_void, Errno> {
    // SAFETY: a new mapping where the kernel likes; nobody looks into it.
    unsafe { rustix::mm::mmap(std::ptr::null_mut(), PAGE, protection, flags, file, 0) }
}

/// What databases do with files that have no name any more, or never had one.
pub(super) fn temporary() -> Result<(), Failure> {
    let both = OFlags::RDWR;
    let mode = Mode::RUSR | Mode::WUSR;
    let unnamed = match fs::open("/tmp", both | OFlags::TMPFILE, mode) {
        // Overlays have none before 6.3.
        Err(Errno::OPNOTSUPP) => None,
        unnamed => Some(unnamed?),
    };
    let deleted = fs::open("/tmp/deleted", both | OFlags::CREATE, mode)?;
    fs::unlink("/tmp/deleted")?;
    for file in unnamed.into_iter().chain([deleted]) {
        fs::ftruncate(&file, PAGE as u64)?;
        fs::fchmod(&file, mode)?;
        map(
            file.as_fd(),
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
        )?;
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::open(again, both, Mode::empty())?;
    }
    Ok(())
}

/// Takes a descriptor from [`GIVER`]; EACCES if none arrives.
pub(super) fn receive() -> Result<(), Failure> {
    let stream = UnixStream::connect(GIVER);
    let stream = stream.map_err(|error| Failure::Setup(format!("connect: {error}")))?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = net::recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::empty(),
    );
    let message = setup("receive", message)?;
    if message.bytes != 1 {
        return Err(Failure::Setup("nothing was sent".to_owned()));
    }
    let files: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    if files.is_empty() {
        return Err(Failure::Refused(Errno::ACCESS));
    }
    Ok(())
}
