//! Addresses, kinds of sockets and capabilities: short ways to a row.

use crate::automaton::{start, step};
use crate::table::{At, Automaton, Table, header, state};

/// An IP address and port as the address automaton reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// IP protocol number: 6 TCP (262 MPTCP counts as 6), 17 UDP, 132 SCTP...; 0 for others above 255.
    pub protocol: u8,
    /// IPv6. Mapped IPv4 addresses are IPv4.
    pub v6: bool,
    /// The address's bytes, first byte in the highest bits; IPv4 in the upper half of `high`.
    pub high: u64,
    /// The second half of an IPv6 address.
    pub low: u64,
    /// Host byte order.
    pub port: u16,
}

impl Address {
    /// Symbols of an address: protocol, 4 or 6, address bytes, port high, port low.
    #[inline(always)]
    fn symbol(self, i: u64) -> u64 {
        let bytes = if self.v6 { 16 } else { 4 };
        if i == 0 {
            return u64::from(self.protocol);
        }
        if i == 1 {
            return if self.v6 { 6 } else { 4 };
        }
        let i = i - 2;
        if i < bytes {
            let half = if i < 8 { self.high } else { self.low };
            return (half >> (56 - 8 * (i & 7))) & 0xff;
        }
        let port = u64::from(self.port);
        if i == bytes { port >> 8 } else { port & 0xff }
    }

    /// The row of an address.
    #[inline(always)]
    pub fn row<T: Table>(self, table: T) -> u64 {
        let count = if self.v6 { 20 } else { 8 };
        let mut at = start(table, Automaton::Address);
        if at == 0 {
            return 0;
        }
        let mut i = 0;
        while i < 20 {
            if i >= count {
                break;
            }
            at = step(table, at, self.symbol(i));
            i += 1;
        }
        table.at(at << 4).u16(state::ROW)
    }
}

/// First symbol of an abstract name: a Unix socket's protocol.
pub const PROTOCOL_UNIX: u8 = 0;
/// Second symbol of an abstract name, beside the 4 and 6 of IP addresses.
pub const FAMILY_UNIX: u8 = 1;

/// The state of the address automaton before the bytes of a Unix socket's abstract name,
/// whose end has its row; 0 if no rule is about addresses.
#[inline(always)]
pub fn abstract_start<T: Table>(table: T) -> u64 {
    let at = start(table, Automaton::Address);
    if at == 0 {
        return 0;
    }
    step(
        table,
        step(table, at, PROTOCOL_UNIX.into()),
        FAMILY_UNIX.into(),
    )
}

/// The symbol of a socket kind: family and type as in `socket(2)`, flags removed.
#[inline(always)]
pub fn socket_symbol(family: u32, kind: u32) -> u64 {
    u64::from((family & 63) << 4 | kind & 15)
}

/// The row of a new socket.
#[inline(always)]
pub fn socket_row<T: Table>(table: T, family: u32, kind: u32) -> u64 {
    let start = start(table, Automaton::Socket);
    if start == 0 {
        return 0;
    }
    let at = step(table, start, socket_symbol(family, kind));
    table.at(at << 4).u16(state::ROW)
}

/// The row of a capability.
#[inline(always)]
pub fn capability_row<T: Table>(table: T, capability: u32) -> u64 {
    table
        .at(u64::from(capability & 63) * 2)
        .u16(header::CAPABILITY_ROWS)
}
