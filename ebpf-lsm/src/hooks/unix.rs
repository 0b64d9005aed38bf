//! Unix sockets: by the path of their file, or by abstract name. What has no name, as both
//! ends of a pair, is not judged.
//!
//! A path is bound by making a file, which is judged where that is (`path_mknod`).

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use bartizan_abi::address::abstract_start;
use bartizan_abi::event::ABSTRACT_NAME;
use bartizan_abi::op::Operation;
use bartizan_abi::table::Automaton;

use crate::dentry::match_glob;
use crate::identity::{Identity, Rules, identify};
use crate::judge::{Target, judge_file, judge_row};
use crate::kernel::{
    Object, SOCKET_SK, UNIX_ADDRESS, UNIX_ADDRESS_LENGTH, UNIX_ADDRESS_NAME, UNIX_DENTRY, address,
    errno_eperm, load, peek,
};
use crate::walks::walk;

/// Bytes of a `struct sockaddr_un` before the bytes of an abstract name: the family and
/// the NUL that makes it one.
const BEFORE_NAME: u64 = 3;

/// Judges an operation on a socket (a `struct unix_sock`) by its name; true: deny.
#[inline(always)]
pub fn judge_by_name(rules: &Rules, sk: u64, op: Operation) -> bool {
    let dentry: u64 = peek(sk + UNIX_DENTRY.get() as u64);
    if dentry != 0 {
        let rows = walk(rules, dentry, Automaton::Files);
        return judge_file(rules, rows, Automaton::Files, op.bit(), dentry, || 0);
    }
    let name: u64 = peek(sk + UNIX_ADDRESS.get() as u64);
    if name == 0 {
        return false;
    }
    let length: u32 = peek(name + UNIX_ADDRESS_LENGTH.get() as u64);
    judge_abstract(rules, name + UNIX_ADDRESS_NAME.get() as u64, length, op)
}

/// Judges an operation on an abstract name, in a `struct sockaddr_un` of that length; true:
/// deny.
#[inline(always)]
pub fn judge_abstract(rules: &Rules, sockaddr: u64, length: u32, op: Operation) -> bool {
    let name = sockaddr + BEFORE_NAME;
    let length = u64::from(length).saturating_sub(BEFORE_NAME) & 0xff;
    let start = abstract_start(rules.table);
    let row = if start == 0 {
        0
    } else {
        let row = match_glob(rules.table_value(), name, length, start);
        if row > 0xffff {
            // It can't be read, so nobody knows what it is.
            return true;
        }
        row
    };
    let target = Target {
        dentry: 0,
        high: name,
        low: length,
        detail: ABSTRACT_NAME,
    };
    judge_row(rules, row, op.bit(), &target, false)
}

/// Judges an operation on another socket; true: deny.
#[inline(always)]
fn judge_peer(sk: u64, op: Operation) -> bool {
    match identify(op.bit()) {
        Identity::Unjudged => false,
        Identity::Broken => true,
        Identity::Managed(rules) => judge_by_name(&rules, sk, op),
    }
}

/// `connect` of stream and sequenced-packet sockets.
#[lsm(hook = "unix_stream_connect")]
pub fn unix_stream_connect(ctx: LsmContext) -> i32 {
    let peer: Object = ctx.arg(1);
    if judge_peer(address(peer), Operation::Connect) {
        return errno_eperm();
    }
    0
}

/// Datagrams: each that is sent, and `connect`, which only chooses where.
#[lsm(hook = "unix_may_send")]
pub fn unix_may_send(ctx: LsmContext) -> i32 {
    let peer: Object = ctx.arg(1);
    let sk: Object = load(peer, &SOCKET_SK);
    if sk.is_null() {
        return 0;
    }
    if judge_peer(address(sk), Operation::Send) {
        return errno_eperm();
    }
    0
}
