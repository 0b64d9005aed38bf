//! The operations, as bare as they can be made: one system call each (two where something
//! has to be closed again), nothing allocated.
//!
//! Each is written `NAME` or `NAME:PATH`.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ptr;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Mode, OFlags, chmod, mkdir, open, rename, unlink};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, SocketType, connect, sendto, socket};

use crate::clock::median;

/// Nobody listens there; connecting a UDP socket doesn't ask.
const PORT: u16 = 4433;

/// Nanoseconds of one operation.
pub(crate) fn measure(what: &str) -> Result<f64> {
    let (name, path) = what.split_once(':').unwrap_or((what, ""));
    match name {
        "open" => open_and_close(path),
        "exec" => exec(path),
        "chmod" => changing_mode(path),
        "unlink" => unlinking(path),
        "rename" => renaming(path),
        "connect" => connecting(),
        "sendto" => sending(),
        "socket" => making_sockets(),
        "capable" => asking_for_a_capability(),
        _ => bail!("no such operation"),
    }
    .with_context(|| format!("can't {what}"))
}

fn open_and_close(path: &str) -> Result<f64> {
    let name = CString::new(path)?;
    Ok(median(|| {
        open(&*name, OFlags::RDONLY, Mode::empty()).map(drop)
    })?)
}

/// Of a text file: the kernel opens it, asks the hook, and then finds that it is no program
/// (`ENOEXEC`). Starting one costs a hundred times what is to be seen.
fn exec(path: &str) -> Result<f64> {
    let name = CString::new(path)?;
    let arguments = [name.as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    Ok(median(|| {
        // SAFETY: strings end with a zero and lists with a null pointer, and all live here.
        unsafe { libc::execve(name.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOEXEC) => Ok(()),
            _ => Err(error),
        }
    })?)
}

/// To the mode that it has.
fn changing_mode(path: &str) -> Result<f64> {
    let name = CString::new(path)?;
    let mode = Mode::from_raw_mode(0o755);
    Ok(median(|| chmod(&*name, mode))?)
}

/// Of a directory: the kernel asks the hook before it finds that `rmdir` is wanted. (What
/// freeing a name costs depends on what was freed before.)
fn unlinking(path: &str) -> Result<f64> {
    let directory = CString::new(format!("{path}-d"))?;
    match mkdir(&*directory, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(median(|| match unlink(&*directory) {
        Err(Errno::ISDIR) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(Errno::NOTDIR),
    })?)
}

/// To another name in the same directory, and back the next time.
fn renaming(path: &str) -> Result<f64> {
    let mut names = [CString::new(path)?, CString::new(format!("{path}1"))?];
    Ok(median(|| {
        rename(&*names[0], &*names[1])?;
        names.swap(0, 1);
        Ok::<_, Errno>(())
    })?)
}

/// A UDP socket to 127.0.0.1.
fn connecting() -> Result<f64> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    Ok(median(|| connect(&socket, &to))?)
}

/// A datagram to a socket whose buffer is full after the first few: it is dropped there.
/// (Without a socket, the kernel would answer, but only so many times a second.)
fn sending() -> Result<f64> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    set_socket_recv_buffer_size(&receiver, 1)?;
    let to = receiver.local_addr()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    Ok(median(|| {
        sendto(&socket, b"x", rustix::net::SendFlags::empty(), &to).map(drop)
    })?)
}

/// And closing them.
fn making_sockets() -> Result<f64> {
    Ok(median(|| {
        socket(AddressFamily::INET, SocketType::DGRAM, None).map(drop)
    })?)
}

/// `CAP_NET_ADMIN`, for a larger buffer than others get: the system call does little else.
fn asking_for_a_capability() -> Result<f64> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    Ok(median(|| {
        set_socket_recv_buffer_size_force(&socket, 65_536)
    })?)
}

/// Whether opening a file, or connecting to an address, is refused by a policy.
pub(crate) fn is_denied(target: &str) -> Result<bool> {
    let tried = match target.parse::<IpAddr>() {
        Ok(address) => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            connect(&socket, &SocketAddr::from((address, PORT)))
        }
        Err(_) => open(target, OFlags::RDONLY, Mode::empty()).map(drop),
    };
    match tried {
        Ok(()) => Ok(false),
        Err(Errno::ACCESS | Errno::PERM) => Ok(true),
        Err(error) => Err(error).context("it failed for another reason"),
    }
}
