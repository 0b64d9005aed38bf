//! Sockets: creation by kind; connect, bind and send by address.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::address::{Address, socket_row};
use bartizan_abi::op::Operation;

use crate::identity::{Identity, Rules, identify};
use crate::judge::{Target, judge_row};
use crate::kernel::{
    MSG_NAME, Object, SOCK_FAMILY, SOCK_PROTOCOL, SOCKET_SK, address, errno_eperm, load, peek,
    try_peek,
};

const AF_UNSPEC: u16 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_TYPE_MASK: u32 = 0xf;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;

/// Reads a socket address (in kernel memory) as the network automaton wants it.
#[inline(always)]
fn read_address(socket: Object, name: u64, op: Operation) -> Option<Address> {
    let sk: Object = load(socket, &SOCKET_SK);
    if sk.is_null() {
        return None;
    }
    let protocol: u16 = load(sk, &SOCK_PROTOCOL);
    let own: u16 = load(sk, &SOCK_FAMILY);
    let mut family: u16 = try_peek(name)?;
    if family == AF_UNSPEC && own == AF_INET && op != Operation::Connect {
        // Binding and sending take it for AF_INET; connecting, for a disconnect.
        family = AF_INET;
    }
    let port: u16 = u16::from_be(peek(name + 2));
    let protocol = match protocol {
        IPPROTO_MPTCP => IPPROTO_TCP as u8,
        other if other < 256 => other as u8,
        _ => 0,
    };
    if family == AF_INET {
        let word = u32::from_be(peek(name + 4));
        return Some(v4(protocol, word, port, op));
    }
    if family != AF_INET6 {
        return None;
    }
    let high = u64::from_be(peek(name + 8));
    let low = u64::from_be(peek(name + 16));
    if high == 0 && low >> 32 == 0xffff {
        return Some(v4(protocol, low as u32, port, op));
    }
    // The kernel takes the unspecified address for loopback.
    let low = if high == 0 && low == 0 && op != Operation::Bind {
        1
    } else {
        low
    };
    Some(Address {
        protocol,
        v6: true,
        high,
        low,
        port,
    })
}

#[inline(always)]
fn v4(protocol: u8, word: u32, port: u16, op: Operation) -> Address {
    let word = if word == 0 && op != Operation::Bind {
        0x7f00_0001
    } else {
        word
    };
    Address {
        protocol,
        v6: false,
        high: u64::from(word) << 32,
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
        Identity::Managed(rules) => judge_address_by(&rules, socket, name, op),
    }
}

/// A function of its own, for its stack.
#[inline(never)]
fn judge_address_by(rules: &Rules, socket: Object, name: u64, op: Operation) -> bool {
    let Some(address) = read_address(socket, name, op) else {
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
    if judge_address(socket, address(name), Operation::Bind) {
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
    if judge_address(socket, address(name), Operation::Send) {
        return errno_eperm();
    }
    0
}
