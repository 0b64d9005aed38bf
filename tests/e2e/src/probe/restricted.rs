//! What `restrict` can deny, each in as many ways as there are to ask for it.
//!
//! Each runs in a process of its own (see [`super::attempt`]), most of which can't be
//! used any more afterwards.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
    MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::thread::UnshareFlags;
use rustix::{io::Errno, mount};

use super::attempt::unshare;
use super::other::Other;
use super::{Failure, setup};
use crate::attributes::Attributes;

/// Where something is mounted.
const POINT: &str = "/tmp";
/// `open_tree_attr`, newer than the libc crate.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;
const IORING_SETUP_NO_MMAP: u32 = 1 << 14;
const IORING_SETUP_REGISTERED_FD_ONLY: u32 = 1 << 15;
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;

/// Makes an attempt; `None` if there is none of that name.
pub(super) fn perform(name: &str) -> Option<Result<(), Failure>> {
    Some(match name.split_once('-').unwrap_or((name, "")) {
        ("Mount", "") => mount_(),
        ("Mount", how) => mounts(how),
        ("Ptrace", "") => trace("attach"),
        ("Ptrace", how) => trace(how),
        ("Bpf", "") => bpf("map"),
        ("Bpf", how) => bpf(how),
        ("UserNamespace", "") => user_namespace("unshare"),
        ("UserNamespace", how) => user_namespace(how),
        ("ModuleLoad", "") => module("finit"),
        ("ModuleLoad", how) => module(how),
        ("IoUring", "") => ring(0),
        ("IoUring", "registered") => ring(IORING_SETUP_NO_MMAP | IORING_SETUP_REGISTERED_FD_ONLY),
        ("proc", how) => proc(how),
        _ => return None,
    })
}

/// The answer of a raw system call.
pub(super) fn called(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn descriptor(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let number = called(result)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

fn mount_() -> Result<(), Failure> {
    let flags = MountFlags::empty();
    Ok(mount::mount("none", POINT, "tmpfs", flags, None)?)
}

fn mounts(how: &str) -> Result<(), Failure> {
    if how == "user-namespace" {
        // SAFETY: neither flag takes memory or descriptors apart.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)? };
        return mount_();
    }
    // What is mounted goes with this process.
    unshare(UnshareFlags::NEWNS)?;
    let cloned = OpenTreeFlags::OPEN_TREE_CLONE;
    match how {
        "bind" => mount::mount_bind("/proc", POINT)?,
        "move" => mount::mount_move("/proc", POINT)?,
        "remount" => {
            // Of this mount alone: the file system is everybody's.
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            mount::mount_remount("/proc", flags, "")?;
        }
        "propagation" => mount::mount_change("/", MountPropagationFlags::PRIVATE)?,
        "unmount" => mount::unmount("/proc", UnmountFlags::DETACH)?,
        "pivot" => rustix::process::pivot_root("/proc", "/proc")?,
        "fsopen" => drop(mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?),
        "fspick" => drop(mount::fspick(CWD, "/proc", FsPickFlags::empty())?),
        "open-tree" => drop(mount::open_tree(CWD, "/proc", cloned)?),
        "open-tree-attr" => {
            let how = libc::AT_EMPTY_PATH;
            // SAFETY: the path is a C string; no attributes are given.
            drop(descriptor(unsafe {
                libc::syscall(
                    SYS_OPEN_TREE_ATTR,
                    libc::AT_FDCWD,
                    c"/proc".as_ptr(),
                    cloned.bits().cast_signed() | how,
                    ptr::null::<u8>(),
                    0,
                )
            })?);
        }
        "setattr" => set_attributes()?,
        "move-mount" => {
            let flags = MoveMountFlags::empty();
            mount::move_mount(CWD, "/proc", CWD, POINT, flags)?;
        }
        "new-api" => {
            let context = mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            mount::fsconfig_create(&context)?;
            let attributes = MountAttrFlags::empty();
            let made = mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            mount::move_mount(&made, "", CWD, POINT, flags)?;
        }
        "fsopen-32-bit" => drop(fsopen_as_32_bit()?),
        "look" => {
            // A descriptor of what is there: no mount is made or changed.
            let flags = OpenTreeFlags::empty();
            drop(mount::open_tree(CWD, "/proc", flags)?);
            std::fs::read("/proc/self/mountinfo")
                .map_err(|error| Failure::Setup(error.to_string()))?;
        }
        other => return Err(Failure::Setup(format!("no way to mount: {other}"))),
    }
    Ok(())
}

/// `mount_setattr`: makes a mount read-only.
fn set_attributes() -> Result<(), Errno> {
    let attributes: [u64; 4] = [u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()), 0, 0, 0];
    // SAFETY: the path is a C string, the attributes have the size that is said.
    called(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/proc".as_ptr(),
            0,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    })?;
    Ok(())
}

/// `fsopen` as a process of 32 bits calls it.
fn fsopen_as_32_bit() -> Result<OwnedFd, Failure> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (flags, access) = (MapFlags::PRIVATE, ProtFlags::READ | ProtFlags::WRITE);
    let below_4_gib = flags | MapFlags::from_bits_retain(libc::MAP_32BIT as u32);
    // SAFETY: a new mapping where the kernel likes.
    let low = unsafe { mmap_anonymous(ptr::null_mut(), 4096, access, below_4_gib) };
    let low = setup("map low memory", low)?;
    let name = c"tmpfs".to_bytes_with_nul();
    // SAFETY: the page is ours and larger.
    unsafe {
        low.cast::<u8>()
            .copy_from_nonoverlapping(name.as_ptr(), name.len());
    };
    let mut answer: i64 = libc::SYS_fsopen;
    // SAFETY: a system call with a name that lives; it clobbers what is said.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {name}", "int 0x80", "xchg rbx, {name}",
            name = inout(reg) low => _,
            inout("rax") answer, in("rcx") 1,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if answer < 0 {
        return Err(Errno::from_raw_os_error(-(answer as i32)).into());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(answer as i32) })
}

fn trace(how: &str) -> Result<(), Failure> {
    let other = Other::start(|_| {})?;
    let id = other.id();
    let none = ptr::null_mut::<libc::c_void>();
    match how {
        // SAFETY: stops a child of ours, which is killed right after.
        "attach" => called(unsafe { libc::ptrace(libc::PTRACE_ATTACH, id, none, none) })?,
        // SAFETY: as above.
        "seize" => called(unsafe { libc::ptrace(libc::PTRACE_SEIZE, id, none, none) })?,
        "traceme" => return trace_me(),
        "vm-read" => called(copy_memory(libc::SYS_process_vm_readv, id))?,
        "vm-write" => called(copy_memory(libc::SYS_process_vm_writev, id))?,
        "memory" => {
            fs::open(format!("/proc/{id}/mem"), OFlags::RDWR, Mode::empty())?;
            0
        }
        "pidfd-getfd" => {
            // SAFETY: numbers alone.
            let pidfd = descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) });
            let pidfd = setup("pidfd_open", pidfd)?;
            // SAFETY: numbers alone.
            let got = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), 0, 0) };
            drop(descriptor(got)?);
            0
        }
        other => return Err(Failure::Setup(format!("no way to trace: {other}"))),
    };
    Ok(())
}

/// A child asks its parent to trace it, and ends with the errno.
fn trace_me() -> Result<(), Failure> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: this process has one thread, and the child only makes system calls.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe {
            let traced = libc::ptrace(libc::PTRACE_TRACEME, 0, none, none);
            libc::_exit(if traced < 0 {
                *libc::__errno_location()
            } else {
                0
            });
        }
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    match libc::WEXITSTATUS(status) {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno).into()),
    }
}

/// Copies from or to another process's stack, at the address of one of ours: a copy of the
/// same program may have something else there, so that only whether it may counts.
fn copy_memory(call: libc::c_long, id: i32) -> libc::c_long {
    let mut word = 0_u64;
    let vector = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: size_of_val(&word),
    };
    // As wide as the kernel reads them: of a narrower one on the stack only half is defined.
    let (one, no_flags): (libc::c_ulong, libc::c_ulong) = (1, 0);
    let vector = &raw const vector;
    // SAFETY: one vector each, of memory that lives; the other process is killed after.
    unsafe { libc::syscall(call, id, vector, one, vector, one, no_flags) }
}

/// What everybody may read of other processes, and of itself.
fn proc(how: &str) -> Result<(), Failure> {
    let other = Other::start(|_| {})?;
    match how {
        "of-others" => {
            for file in ["stat", "status", "maps", "environ", "cmdline"] {
                let path = format!("/proc/{}/{file}", other.id());
                std::fs::read(&path).map_err(|error| refused(&error))?;
            }
            fs::readlink(format!("/proc/{}/exe", other.id()), Vec::new())?;
        }
        "own-memory" => drop(fs::open("/proc/self/mem", OFlags::RDWR, Mode::empty())?),
        other => return Err(Failure::Setup(format!("nothing in /proc is {other}"))),
    }
    Ok(())
}

fn refused(error: &std::io::Error) -> Failure {
    Errno::from_io_error(error).unwrap_or(Errno::IO).into()
}

fn bpf(how: &str) -> Result<(), Failure> {
    let mut attributes = Attributes::default();
    let result = match how {
        "map" => {
            // An array of one word.
            for (offset, value) in [(0, 2), (4, 4), (8, 4), (12, 1)] {
                attributes.word(offset, value);
            }
            attributes.open(BPF_MAP_CREATE).map(drop)
        }
        "next-program" => attributes.call(BPF_PROG_GET_NEXT_ID).map(drop),
        other => return Err(Failure::Setup(format!("no command of bpf: {other}"))),
    };
    result.map_err(|error| refused(&error))
}

fn user_namespace(how: &str) -> Result<(), Failure> {
    let flags = libc::CLONE_NEWUSER;
    match how {
        // SAFETY: this process has one thread and ends soon.
        "unshare" => called(unsafe { libc::unshare(flags) }.into())?,
        "clone" => {
            // SAFETY: as `fork`; the child ends at once.
            let child = called(unsafe {
                libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0)
            })?;
            gone(child)
        }
        "clone3" => {
            let mut arguments = [0_u64; 11];
            arguments[0] = flags.cast_unsigned().into();
            arguments[4] = libc::SIGCHLD.cast_unsigned().into();
            let size = size_of_val(&arguments);
            // SAFETY: as `fork`; the child ends at once.
            let child =
                called(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size) })?;
            gone(child)
        }
        other => return Err(Failure::Setup(format!("no way to a namespace: {other}"))),
    };
    Ok(())
}

/// Ends if it is the child, and waits if it is the parent.
fn gone(child: libc::c_long) -> libc::c_long {
    if child == 0 {
        // SAFETY: ends the child without running anything of ours.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child as i32, ptr::null_mut(), 0) };
    child
}

fn module(how: &str) -> Result<(), Failure> {
    // No module: what counts is who says so.
    let bytes = [0_u8; 4096];
    match how {
        "finit" => {
            let file = std::fs::File::open(std::env::current_exe().unwrap_or_default());
            let file = file.map_err(|error| Failure::Setup(error.to_string()))?;
            Ok(rustix::system::finit_module(&file, c"", 0)?)
        }
        "init" => Ok(rustix::system::init_module(&bytes, c"")?),
        "kexec" => {
            // No segments: forget what was loaded.
            // SAFETY: nothing is read.
            called(unsafe { libc::syscall(libc::SYS_kexec_load, 0, 0, ptr::null::<u8>(), 0) })?;
            Ok(())
        }
        "request" => {
            // No module has this family, and the socket can't be had either way.
            let unknown = rustix::net::AddressFamily::from_raw(9);
            let kind = rustix::net::SocketType::SEQPACKET;
            rustix::net::socket(unknown, kind, None)?;
            Ok(())
        }
        other => Err(Failure::Setup(format!("no way to load code: {other}"))),
    }
}

/// `io_uring_setup` with one entry.
fn ring(flags: u32) -> Result<(), Failure> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let mut parameters = [0_u32; 30];
    parameters[2] = flags;
    if flags & IORING_SETUP_NO_MMAP != 0 {
        let (access, mapped) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // `sq_off.user_addr` and `cq_off.user_addr`
        for place in [18, 28] {
            // SAFETY: a new mapping where the kernel likes.
            let page = unsafe { mmap_anonymous(ptr::null_mut(), 4096, access, mapped) };
            let page = setup("map", page)? as u64;
            parameters[place] = page as u32;
            parameters[place + 1] = (page >> 32) as u32;
        }
    }
    // SAFETY: the parameters are as large as the kernel has them.
    called(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) })?;
    Ok(())
}
