//! Operations on sockets with an address or a name.

use std::io::IoSlice;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};

use bartizan_abi::op::Operation;
use bartizan_policy::operation::{Name, UnixSocket};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    self, AddressFamily, MMsgHdr, RawProtocol, SendAncillaryBuffer, SendFlags, SocketAddrAny,
    SocketAddrUnix, SocketFlags, SocketType,
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
        "send-without-family" => {
            let socket = socket(AddressFamily::INET, SocketType::DGRAM)?;
            send_to(&socket, &ipv4(libc::AF_UNSPEC, DENIED))?;
        }
        "bind-without-family" => {
            let socket = socket(AddressFamily::INET, SocketType::STREAM)?;
            let any = ipv4(libc::AF_UNSPEC, Ipv4Addr::UNSPECIFIED);
            // SAFETY: an address with its length.
            let bound =
                unsafe { libc::bind(socket.as_raw_fd(), (&raw const any).cast(), length_of(&any)) };
            failed_if(bound < 0)?;
        }
        "send-many" => send_many(send)?,
        "socket-vsock" => drop(net::socket(AddressFamily::VSOCK, SocketType::STREAM, None)?),
        "socket-packet" => drop(net::socket(AddressFamily::PACKET, SocketType::RAW, None)?),
        "socket-smc" => {
            drop(net::socket(
                AddressFamily::from_raw(AF_SMC),
                SocketType::STREAM,
                None,
            )?);
        }
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
        other => connect_elsewhere(other, connect)?,
    }
    Ok(())
}

/// Attempts to connect to what is not `allowed` by an address that hides it.
fn connect_elsewhere(name: &str, allowed: Ipv4Addr) -> Result<(), Failure> {
    match name {
        "connect-again" | "connect-after-unspec" => {
            let socket = socket(AddressFamily::INET, SocketType::DGRAM)?;
            setup(
                "connect",
                net::connect(&socket, &SocketAddr::from((allowed, 9))),
            )?;
            if name == "connect-after-unspec" {
                setup("disconnect", net::connect_unspec(&socket))?;
            }
            net::connect(&socket, &SocketAddr::from((DENIED, 9)))?;
        }
        "connect-unspecified" => {
            // It leads to the socket's own address.
            let socket = socket(AddressFamily::INET, SocketType::DGRAM)?;
            let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 12), 0));
            setup("bind", net::bind(&socket, &own))?;
            net::connect(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9)))?;
        }
        "connect-unspecified-mapped" => {
            // It leads to the IPv4 loopback.
            let socket = socket(AddressFamily::INET6, SocketType::STREAM)?;
            let own = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0));
            setup("bind", net::bind(&socket, &own))?;
            net::connect(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9)))?;
        }
        "connect-mapped" => {
            let socket = socket(AddressFamily::INET6, SocketType::STREAM)?;
            net::connect(&socket, &SocketAddr::from((DENIED.to_ipv6_mapped(), 9)))?;
        }
        "connect-scoped" => {
            let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
            let to = SocketAddrV6::new(local, 9, 0, LOOPBACK);
            net::connect(&socket(AddressFamily::INET6, SocketType::STREAM)?, &to)?;
        }
        "connect-multipath" => {
            // Counts as TCP.
            let protocol = net::Protocol::from_raw(RawProtocol::new(262).expect("it is not 0"));
            let flags = SocketFlags::NONBLOCK;
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let socket = setup(
                "socket",
                net::socket_with(family, kind, flags, Some(protocol)),
            )?;
            net::connect(&socket, &SocketAddr::from((DENIED, 9)))?;
        }
        other => return Err(Failure::Setup(format!("no attempt {other}"))),
    }
    Ok(())
}

/// Nothing may be done with this one.
pub(super) const DENIED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The number of `lo` in every network namespace.
const LOOPBACK: u32 = 1;
const AF_SMC: u16 = 43;

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
    Ok(failed_if(sent < 0)?)
}

/// An IPv4 address as system calls take it, whatever its family says.
fn ipv4(family: i32, address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(family).unwrap_or_default(),
        sin_port: 9_u16.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(address).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn length_of<T>(value: &T) -> libc::socklen_t {
    size_of_val(value).try_into().unwrap_or_default()
}

/// What the last call said if it has failed.
fn failed_if(failed: bool) -> Result<(), Errno> {
    if !failed {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn send_to(socket: &OwnedFd, to: &libc::sockaddr_in) -> Result<(), Errno> {
    let (to, length) = (std::ptr::from_ref(to), length_of(to));
    // SAFETY: a byte, and an address with its length.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            c"x".as_ptr().cast(),
            1,
            0,
            to.cast(),
            length,
        )
    };
    failed_if(sent < 0)
}

/// `sendmmsg`: a message that may be sent, and one that may not. What there is to say of the
/// second is kept for the next call.
fn send_many(allowed: Ipv4Addr) -> Result<(), Failure> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM)?;
    let addresses = [allowed, DENIED].map(|address| SocketAddr::from((address, 9)).as_any());
    let send = |addresses: &[SocketAddrAny]| {
        let byte = [IoSlice::new(b"x")];
        let mut controls = [(); 2].map(|()| SendAncillaryBuffer::default());
        let mut messages: Vec<_> = addresses
            .iter()
            .zip(&mut controls)
            .map(|(address, control)| MMsgHdr::new_with_addr(address, &byte, control))
            .collect();
        net::sendmmsg(&socket, &mut messages, SendFlags::empty())
    };
    if setup("send", send(&addresses))? == 1 {
        send(&addresses[1..])?;
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
