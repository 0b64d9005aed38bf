//! Operations on sockets with an address or a name.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use bartizan_abi::op::Operation;
use bartizan_policy::operation::{Name, UnixSocket};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    self, AddressFamily, RawProtocol, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::{Failure, setup};

/// A Unix socket that must not be connected to.
pub(crate) const PEER: &str = "/data/peer";
/// Another, by its abstract name.
pub(crate) const ABSTRACT_PEER: &[u8] = b"bartizan-peer";

/// Attempts to reach somebody by another way than `connect` and an address.
pub(super) fn attempt(name: &str) -> Result<(), Failure> {
    let flags = SendFlags::from_bits_retain(libc::MSG_FASTOPEN.cast_unsigned());
    // Sending to the first is allowed and connecting isn't; with the second it is the
    // other way round.
    let [send, connect] = [9, 10].map(|last| Ipv4Addr::new(127, 0, 0, last));
    match name {
        "fast-open" => {
            let socket = socket(AddressFamily::INET, SocketType::STREAM)?;
            net::sendto(&socket, b"x", flags, &SocketAddr::from((send, 9)))?;
        }
        "fast-open-mapped" => {
            let socket = socket(AddressFamily::INET6, SocketType::STREAM)?;
            let mapped = SocketAddr::from((send.to_ipv6_mapped(), 9));
            net::sendto(&socket, b"x", flags, &mapped)?;
        }
        "fast-open-datagram" => {
            let socket = socket(AddressFamily::INET, SocketType::DGRAM)?;
            net::sendto(&socket, b"x", flags, &SocketAddr::from((connect, 9)))?;
        }
        "listen-unbound" => {
            net::listen(&socket(AddressFamily::INET, SocketType::STREAM)?, 1)?;
        }
        "raw-without-family" => raw_without_family()?,
        "unix-path-of-link" => {
            setup("symlink", rustix::fs::symlink(PEER, "/tmp/peer-link"))?;
            let address = setup("name", SocketAddrUnix::new("/tmp/peer-link"))?;
            let socket = socket(AddressFamily::UNIX, SocketType::STREAM)?;
            net::connect(&socket, &address)?;
        }
        "unix-abstract" => {
            let address = SocketAddrUnix::new_abstract_name(ABSTRACT_PEER);
            let socket = socket(AddressFamily::UNIX, SocketType::STREAM)?;
            net::connect(&socket, &setup("name", address)?)?;
        }
        "unix-pair" => {
            for kind in [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET] {
                let flags = SocketFlags::CLOEXEC;
                let (one, _other) = net::socketpair(AddressFamily::UNIX, kind, flags, None)?;
                net::send(&one, b"x", SendFlags::empty())?;
            }
        }
        other => return Err(Failure::Setup(format!("no attempt {other}"))),
    }
    Ok(())
}

fn raw_without_family() -> Result<(), Failure> {
    // For experiments (RFC 3692).
    let protocol = rustix::net::Protocol::from_raw(RawProtocol::new(253).expect("it is not 0"));
    let kind = SocketType::RAW;
    let socket = net::socket(AddressFamily::INET6, kind, Some(protocol));
    let socket = setup("raw socket", socket)?;
    // struct sockaddr_in6: family, port, flow, address, scope.
    let mut address = [0_u8; 28];
    address[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
    // SAFETY: both buffers are there, with these lengths.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            1,
            0,
            address.as_ptr().cast(),
            28,
        )
    };
    if sent < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO).into());
    }
    Ok(())
}

fn socket(family: AddressFamily, kind: SocketType) -> Result<OwnedFd, Failure> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    setup("socket", net::socket_with(family, kind, flags, None))
}

/// An operation on an IP address.
pub(super) fn on_address(
    operation: Operation,
    protocol: u8,
    to: SocketAddr,
) -> Result<(), Failure> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let kind = if protocol == 6 {
        SocketType::STREAM
    } else {
        SocketType::DGRAM
    };
    let socket = socket(family, kind)?;
    // Without an address of its own a socket gets one when it listens.
    let has_address = !to.ip().is_unspecified() || to.port() != 0;
    perform(operation, &socket, &to, has_address)
}

/// An operation on the name of a Unix socket.
pub(super) fn on_unix(operation: Operation, name: &UnixSocket) -> Result<(), Failure> {
    let address = match name {
        UnixSocket::Path(Name::Path(path)) => SocketAddrUnix::new(path.as_slice()),
        UnixSocket::Path(Name::Unresolved) => Err(Errno::NOENT),
        UnixSocket::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
    };
    let address = setup("name", address)?;
    let kind = if operation == Operation::Send {
        SocketType::DGRAM
    } else {
        SocketType::STREAM
    };
    perform(
        operation,
        &socket(AddressFamily::UNIX, kind)?,
        &address,
        true,
    )
}

fn perform(
    operation: Operation,
    socket: &OwnedFd,
    address: &impl SocketAddrArg,
    has_address: bool,
) -> Result<(), Failure> {
    match operation {
        Operation::Bind => net::bind(socket, address)?,
        Operation::Send => {
            net::sendto(socket, b"x", SendFlags::empty(), address)?;
        }
        Operation::Listen => {
            if has_address {
                setup("bind", net::bind(socket, address))?;
            }
            net::listen(socket, 1)?;
        }
        Operation::Accept => {
            setup("bind", net::bind(socket, address))?;
            setup("listen", net::listen(socket, 1))?;
            return match net::accept(socket) {
                // It may, but nobody connects.
                Ok(_) | Err(Errno::AGAIN) => Ok(()),
                Err(errno) => Err(errno.into()),
            };
        }
        _ => net::connect(socket, address)?,
    }
    Ok(())
}
