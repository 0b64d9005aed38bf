//! Sockets: creation by kind; connect, bind and send by the address given, listen and
//! accept by the one that the socket has.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::address::{Address, socket_row};
use bartizan_abi::op::Operation;

use crate::hooks::unix::{judge_abstract, judge_by_name};
use crate::identity::{Identity, Rules, identify};
use crate::judge::{Target, judge_row};
use crate::kernel::{
    INET_SOURCE, MSG_FLAGS, MSG_NAME, Object, SOCK_ADDRESS, SOCK_ADDRESS6, SOCK_FAMILY, SOCK_PORT,
    SOCK_PROTOCOL, SOCKET_SK, address, errno_eperm, load, peek, try_peek,
};

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_SMC: u16 = 43;
const SOCK_TYPE_MASK: u32 = 0xf;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_UDPLITE: u16 = 136;
const IPPROTO_SMC: u16 = 256;
const IPPROTO_MPTCP: u16 = 262;
/// `sendmsg` connects, and then sends.
const MSG_FASTOPEN: u32 = 0x2000_0000;

/// A socket's protocol as the network automaton wants it. What makes TCP connections of its
/// own, in the kernel and past all hooks, counts as TCP.
#[inline(always)]
fn protocol_of(sk: Object) -> u8 {
    if load::<u16>(sk, &SOCK_FAMILY) == AF_SMC {
        return IPPROTO_TCP as u8;
    }
    match load::<u16>(sk, &SOCK_PROTOCOL) {
        IPPROTO_MPTCP | IPPROTO_SMC => IPPROTO_TCP as u8,
        other if other < 256 => other as u8,
        _ => 0,
    }
}

/// Reads a socket address (in kernel memory) as the network automaton wants it.
#[inline(always)]
fn read_address(socket: Object, name: u64, op: Operation) -> Option<Address> {
    let sk: Object = load(socket, &SOCKET_SK);
    if sk.is_null() {
        return None;
    }
    let own: u16 = load(sk, &SOCK_FAMILY);
    let mut family: u16 = try_peek(name)?;
    if family == AF_UNSPEC && own == AF_INET && op != Operation::Connect {
        // Binding and sending take it for AF_INET; connecting, for a disconnect.
        family = AF_INET;
    }
    let port: u16 = u16::from_be(peek(name + 2));
    let protocol = protocol_of(sk);
    let is_datagram = matches!(u16::from(protocol), IPPROTO_UDP | IPPROTO_UDPLITE);
    if family == AF_UNSPEC && own == AF_INET6 && op == Operation::Send && !is_datagram {
        // Raw sockets take it for AF_INET6, UDP for no address.
        family = AF_INET6;
    }
    if family == AF_INET {
        return Some(v4(protocol, destination(sk, peek(name + 4), op), port));
    }
    if family != AF_INET6 {
        return None;
    }
    let bytes: [u64; 2] = peek(name + 8);
    Some(match (V6::new(bytes), goes_there(op)) {
        (V6::Mapped(word), _) => v4(protocol, destination(sk, word, op), port),
        // What the kernel takes it for.
        (V6::Unspecified, true) => match V6::new(peek(address(sk) + SOCK_ADDRESS6.get() as u64)) {
            V6::Mapped(_) => v4(protocol, LOOPBACK, port),
            _ => v6(protocol, 0, 1, port),
        },
        (V6::Unspecified, false) => v6(protocol, 0, 0, port),
        (V6::Other(high, low), _) => v6(protocol, high, low, port),
    })
}

/// The address that a socket has.
#[inline(always)]
fn own_address(sk: Object) -> Option<Address> {
    let family: u16 = load(sk, &SOCK_FAMILY);
    let port: u16 = load(sk, &SOCK_PORT);
    let protocol = protocol_of(sk);
    if family == AF_INET {
        return Some(v4(protocol, load(sk, &SOCK_ADDRESS), port));
    }
    if family == AF_SMC {
        // The address is that of a TCP socket inside, which was judged when it was bound.
        return Some(v4(protocol, 0, 0));
    }
    if family != AF_INET6 {
        return None;
    }
    Some(
        match V6::new(peek(address(sk) + SOCK_ADDRESS6.get() as u64)) {
            V6::Mapped(word) => v4(protocol, word, port),
            V6::Unspecified => v6(protocol, 0, 0, port),
            V6::Other(high, low) => v6(protocol, high, low, port),
        },
    )
}

/// Whether something is sent to the address.
#[inline(always)]
fn goes_there(op: Operation) -> bool {
    matches!(op, Operation::Connect | Operation::Send)
}

/// 127.0.0.1, as it is in memory.
const LOOPBACK: u32 = 0x7f00_0001_u32.to_be();

/// Where an IPv4 address leads: from a socket that has an address, the unspecified one leads
/// there, otherwise to loopback.
#[inline(always)]
fn destination(sk: Object, bytes: u32, op: Operation) -> u32 {
    if bytes != 0 || !goes_there(op) {
        return bytes;
    }
    let own: u32 = if load::<u16>(sk, &SOCK_FAMILY) == AF_SMC {
        0
    } else {
        peek(address(sk) + INET_SOURCE.get() as u64)
    };
    if own == 0 { LOOPBACK } else { own }
}

/// What an IPv6 address is.
enum V6 {
    /// IPv4, as it is in memory.
    Mapped(u32),
    Unspecified,
    /// Its upper and lower half.
    Other(u64, u64),
}

impl V6 {
    /// From its bytes as they are in memory.
    #[inline(always)]
    fn new(bytes: [u64; 2]) -> Self {
        let [high, low] = bytes.map(u64::from_be);
        if high != 0 {
            return Self::Other(high, low);
        }
        if low >> 32 == 0xffff {
            return Self::Mapped((low as u32).to_be());
        }
        if low == 0 {
            return Self::Unspecified;
        }
        Self::Other(high, low)
    }
}

#[inline(always)]
fn v6(protocol: u8, high: u64, low: u64, port: u16) -> Address {
    Address {
        protocol,
        v6: true,
        high,
        low,
        port,
    }
}

/// From the four bytes as they are in memory.
#[inline(always)]
fn v4(protocol: u8, bytes: u32, port: u16) -> Address {
    Address {
        protocol,
        v6: false,
        high: u64::from(u32::from_be(bytes)) << 32,
        low: 0,
        port,
    }
}

/// Judges an operation on an address; true: deny.
#[inline(always)]
fn judge_address(socket: Object, name: u64, op: Operation) -> bool {
    match identify(op.bit()) {
        Identity::Unjudged => false,
        Identity::Broken => true,
        Identity::Managed(rules) => judge_address_by(&rules, read_address(socket, name, op), op),
    }
}

/// Judges an operation on the address that a socket has; true: deny.
#[inline(always)]
fn judge_own(socket: Object, op: Operation) -> bool {
    let rules = match identify(op.bit()) {
        Identity::Unjudged => return false,
        Identity::Broken => return true,
        Identity::Managed(rules) => rules,
    };
    let sk: Object = load(socket, &SOCKET_SK);
    if sk.is_null() {
        return false;
    }
    if load::<u16>(sk, &SOCK_FAMILY) == AF_UNIX {
        return judge_by_name(&rules, address(sk), op);
    }
    judge_address_by(&rules, own_address(sk), op)
}

/// Other families have no rules.
#[inline(always)]
fn judge_address_by(rules: &Rules, address: Option<Address>, op: Operation) -> bool {
    let Some(address) = address else {
        return false;
    };
    let target = Target {
        dentry: 0,
        high: address.high,
        low: address.low,
        detail: address.port as u32
            | (address.protocol as u32) << 16
            | if address.v6 { 1 << 24 } else { 0 },
    };
    let row = address.row(rules.table);
    judge_row(rules, row, op.bit(), &target, false)
}

/// `socket` and `socketpair`.
#[lsm(hook = "socket_create")]
pub fn socket_create(ctx: LsmContext) -> i32 {
    let family: u32 = ctx.arg(0);
    let kind: u32 = ctx.arg(1);
    let kernel: u32 = ctx.arg(3);
    let ops = Operation::Socket.bit();
    if kernel != 0 {
        return 0;
    }
    let rules = match identify(ops) {
        Identity::Unjudged => return 0,
        Identity::Broken => return errno_eperm(),
        Identity::Managed(rules) => rules,
    };
    let kind = kind & SOCK_TYPE_MASK;
    let target = Target {
        dentry: 0,
        high: 0,
        low: 0,
        detail: family & 0xffff | kind << 16,
    };
    let row = socket_row(rules.table, family, kind);
    if judge_row(&rules, row, ops, &target, false) {
        return errno_eperm();
    }
    0
}

/// `connect`
#[lsm(hook = "socket_connect")]
pub fn socket_connect(ctx: LsmContext) -> i32 {
    let socket: Object = ctx.arg(0);
    let name: Object = ctx.arg(1);
    if judge_address(socket, address(name), Operation::Connect) {
        return errno_eperm();
    }
    0
}

/// `bind`
#[lsm(hook = "socket_bind")]
pub fn socket_bind(ctx: LsmContext) -> i32 {
    let socket: Object = ctx.arg(0);
    let name: Object = ctx.arg(1);
    let length: u32 = ctx.arg(2);
    let name = address(name);
    let denied = if is_abstract(name, length) {
        judge_abstract_bind(name, length)
    } else {
        judge_address(socket, name, Operation::Bind)
    };
    if denied {
        return errno_eperm();
    }
    0
}

/// Whether a socket address is an abstract name. Neither is a path, which becomes a file,
/// nor none at all, for which the kernel chooses one.
#[inline(always)]
fn is_abstract(name: u64, length: u32) -> bool {
    length > 2 && peek::<u16>(name) == AF_UNIX && peek::<u8>(name + 2) == 0
}

#[inline(always)]
fn judge_abstract_bind(name: u64, length: u32) -> bool {
    match identify(Operation::Bind.bit()) {
        Identity::Unjudged => false,
        Identity::Broken => true,
        Identity::Managed(rules) => judge_abstract(&rules, name, length, Operation::Bind),
    }
}

/// `listen`
#[lsm(hook = "socket_listen")]
pub fn socket_listen(ctx: LsmContext) -> i32 {
    if judge_own(ctx.arg(0), Operation::Listen) {
        return errno_eperm();
    }
    0
}

/// `accept`, before there is a connection.
#[lsm(hook = "socket_accept")]
pub fn socket_accept(ctx: LsmContext) -> i32 {
    if judge_own(ctx.arg(0), Operation::Accept) {
        return errno_eperm();
    }
    0
}

/// `sendto`, `sendmsg`, `sendmmsg` with an address.
#[lsm(hook = "socket_sendmsg")]
pub fn socket_sendmsg(ctx: LsmContext) -> i32 {
    let socket: Object = ctx.arg(0);
    let message: Object = ctx.arg(1);
    let name: Object = load(message, &MSG_NAME);
    if name.is_null() {
        return 0;
    }
    let flags: u32 = load(message, &MSG_FLAGS);
    let op = if flags & MSG_FASTOPEN != 0 && is_tcp(socket) {
        Operation::Connect
    } else {
        Operation::Send
    };
    if judge_address(socket, address(name), op) {
        return errno_eperm();
    }
    0
}

/// Other protocols ignore `MSG_FASTOPEN`.
#[inline(always)]
fn is_tcp(socket: Object) -> bool {
    let sk: Object = load(socket, &SOCKET_SK);
    !sk.is_null() && protocol_of(sk) == IPPROTO_TCP as u8
}
