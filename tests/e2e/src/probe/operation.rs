//! Operations as `bartizan explain` takes them, done for real.
//!
//! Each is one system call that is judged as that operation and as little else as can
//! be: a file is made with `mknod`, which opens nothing; a rename goes to a name that no
//! sample has a rule for.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;
use std::process::Command;

use bartizan_abi::op::Operation;
use bartizan_policy::operation::{Name, Object};
use bartizan_policy::request::parse_request;
use rustix::fs::{self, AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::net::{self, AddressFamily, SocketType};
use rustix::process::{Gid, Uid};

use super::socket::{on_address, on_unix};
use super::{Failure, NOTHING, setup};

/// Where renamed objects go, and hard links.
pub(crate) const MOVED: &str = "/moved";
/// Who owns the files that a caller owns.
pub(crate) const OWNER: u32 = 1000;

/// Does one operation.
pub(super) fn perform(words: &[&str]) -> Result<(), Failure> {
    if let ["attempt", name] = words {
        return super::attempt::perform_apart(name);
    }
    if let ["enter", cgroup] = words {
        return super::outside::enter(Path::new(*cgroup));
    }
    if let ["mkdir", path] = words {
        return Ok(fs::mkdir(*path, Mode::from_raw_mode(0o755))?);
    }
    let request = parse_request(words).map_err(|error| Failure::Setup(error.to_string()))?;
    match &request.object {
        Object::File {
            name: Name::Unresolved,
            ..
        } => unnamed(request.operation),
        Object::File {
            name: Name::Path(path),
            owned,
        } => {
            let path = Path::new(std::str::from_utf8(path).unwrap_or("/?"));
            if *owned {
                set_fsuid(OWNER);
            }
            let result = on_file(request.operation, path);
            set_fsuid(0);
            result
        }
        Object::Address { protocol, .. } => {
            // As written: an IPv4-mapped address is judged as IPv4, and the socket is IPv6.
            let text = words.get(2).copied().unwrap_or_default();
            let address = text
                .parse()
                .map_err(|error| Failure::Setup(format!("{text}: {error}")))?;
            on_address(request.operation, *protocol, address)
        }
        Object::Unix(socket) => on_unix(request.operation, socket),
        Object::Socket { family, kind } => {
            let family = AddressFamily::from_raw(u16::from(*family));
            let kind = SocketType::from_raw(u32::from(*kind));
            net::socket(family, kind, None)?;
            Ok(())
        }
        Object::Anything => super::attempt::perform_apart(request.operation.name()),
        Object::Capability(_) => super::operation::capability(words.get(1).copied().unwrap_or("")),
    }
}

fn set_fsuid(uid: u32) {
    // SAFETY: changes a number of this thread; there are no others.
    unsafe { libc::setfsuid(uid) };
}

/// The path with a NUL behind it.
fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

fn open(path: &Path, flags: OFlags) -> Result<(), Failure> {
    fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?;
    Ok(())
}

fn on_file(operation: Operation, path: &Path) -> Result<(), Failure> {
    match operation {
        Operation::Exec => return exec(path),
        Operation::Map => {
            let file = setup("open", fs::open(path, OFlags::RDONLY, Mode::empty()))?;
            return map(file);
        }
        Operation::Read => return open(path, OFlags::RDONLY),
        Operation::Write => return open(path, OFlags::WRONLY),
        Operation::Append => return open(path, OFlags::WRONLY | OFlags::APPEND),
        Operation::Truncate => {
            // SAFETY: the path is a C string that lives until the call returns.
            if unsafe { libc::truncate(c_string(path).as_ptr(), 0) } != 0 {
                return Err(last_errno());
            }
        }
        Operation::Create => {
            fs::mknodat(
                CWD,
                path,
                FileType::RegularFile,
                Mode::from_raw_mode(0o666),
                0,
            )?;
        }
        Operation::Delete if path.is_dir() => fs::rmdir(path)?,
        Operation::Delete => fs::unlink(path)?,
        Operation::Rename => fs::rename(path, MOVED)?,
        Operation::Link => fs::link(path, MOVED)?,
        Operation::Chmod => fs::chmod(path, Mode::from_raw_mode(0o777))?,
        Operation::Chown => {
            fs::chown(path, Some(Uid::from_raw(OWNER)), Some(Gid::from_raw(OWNER)))?;
        }
        other => {
            return Err(Failure::Setup(format!(
                "{} is not done to files",
                other.name()
            )));
        }
    }
    Ok(())
}

fn last_errno() -> Failure {
    let error = std::io::Error::last_os_error();
    Failure::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Runs a program, which must be a copy of this one.
pub(super) fn exec(path: &Path) -> Result<(), Failure> {
    match Command::new(path).args(NOTHING).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Setup(format!(
            "{} ended with {status}",
            path.display()
        ))),
        Err(error) => Err(Failure::Refused(
            Errno::from_io_error(&error).unwrap_or(Errno::IO),
        )),
    }
}

/// Maps the first page of a file executable.
pub(super) fn map(file: impl AsFd) -> Result<(), Failure> {
    let flags = ProtFlags::READ | ProtFlags::EXEC;
    let page = 4096;
    // SAFETY: a new private mapping where the kernel likes; nobody looks into it.
    unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            page,
            flags,
            MapFlags::PRIVATE,
            file,
            0,
        )?
    };
    Ok(())
}

/// Maps the first page of a file for reading, and then makes it executable.
pub(super) fn protect(file: impl AsFd) -> Result<(), Failure> {
    let (page, flags) = (4096, MapFlags::PRIVATE);
    // SAFETY: a new private mapping where the kernel likes.
    let mapped =
        unsafe { rustix::mm::mmap(std::ptr::null_mut(), page, ProtFlags::READ, flags, file, 0) };
    let mapped = setup("map", mapped)?;
    let wanted = MprotectFlags::READ | MprotectFlags::EXEC;
    // SAFETY: the page that was just mapped, which nobody else knows of.
    unsafe { rustix::mm::mprotect(mapped, page, wanted)? };
    Ok(())
}

/// A program that is only in memory.
fn unnamed(operation: Operation) -> Result<(), Failure> {
    let memory = setup(
        "memfd_create",
        fs::memfd_create("probe", MemfdFlags::empty()),
    )?;
    let program = std::fs::read("/proc/self/exe");
    let program = program.map_err(|error| Failure::Setup(format!("read itself: {error}")))?;
    let mut memory = File::from(memory);
    let written = memory.write_all(&program);
    written.map_err(|error| Failure::Setup(format!("write to memory: {error}")))?;
    // A file that is open for writing can't be run.
    let name = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let readable = setup(
        "open the memfd",
        fs::open(&name, OFlags::RDONLY, Mode::empty()),
    )?;
    drop(memory);
    match operation {
        Operation::Exec => exec(Path::new(&format!(
            "/proc/self/fd/{}",
            readable.as_raw_fd()
        ))),
        Operation::Map => map(readable),
        other => Err(Failure::Setup(format!(
            "{} of something unnamed",
            other.name()
        ))),
    }
}

/// Uses a capability: a call that fails with EPERM without it.
fn capability(name: &str) -> Result<(), Failure> {
    match name {
        "NET_BIND_SERVICE" => on_address(Operation::Bind, 6, ([127, 0, 0, 1], 81).into()),
        "NET_RAW" => {
            net::socket(
                AddressFamily::INET,
                SocketType::RAW,
                Some(net::ipproto::ICMP),
            )?;
            Ok(())
        }
        "SYS_ADMIN" => Ok(rustix::system::sethostname(b"guest")?),
        "SYS_CHROOT" => Ok(rustix::process::chroot("/")?),
        "SYS_MODULE" => Ok(rustix::system::init_module(&[], c"")?),
        "MKNOD" => {
            let _ = fs::unlink(MOVED);
            let device = fs::makedev(1, 3);
            Ok(fs::mknodat(
                CWD,
                MOVED,
                FileType::CharacterDevice,
                Mode::empty(),
                device,
            )?)
        }
        "CHOWN" => {
            let path = std::env::current_exe().unwrap_or_default();
            let owner = Some(Uid::from_raw(OWNER + 1));
            Ok(fs::chownat(CWD, path, owner, None, AtFlags::empty())?)
        }
        "SETUID" => {
            // Of root's other ids only: the saved one brings everything back.
            let (real, other) = (Uid::ROOT, Uid::from_raw(OWNER));
            rustix::thread::set_thread_res_uid(real, other, real)?;
            setup(
                "come back",
                rustix::thread::set_thread_res_uid(real, real, real),
            )
        }
        "SETGID" => {
            let (real, other) = (Gid::ROOT, Gid::from_raw(OWNER));
            rustix::thread::set_thread_res_gid(real, other, real)?;
            setup(
                "come back",
                rustix::thread::set_thread_res_gid(real, real, real),
            )
        }
        other => Err(Failure::Setup(format!(
            "no call is known that uses {other}"
        ))),
    }
}
