//! IP addresses as the kernel means them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_abi::op::Operation;

use crate::rule_map::{Cidr, Protocol};

/// The address that is judged: IPv4-mapped IPv6 is IPv4, and whoever connects or
/// sends to the unspecified address reaches the loopback.
pub(super) fn judged(address: IpAddr, operation: Operation) -> IpAddr {
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let goes_there = matches!(operation, Operation::Connect | Operation::Send);
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) if goes_there => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if goes_there => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    }
}

/// Whether an address is in a range.
pub(super) fn contains(range: Cidr, address: IpAddr) -> bool {
    // Bit by bit: `take(prefix)` is the definition of a CIDR.
    range.address.is_ipv4() == address.is_ipv4()
        && bits(range.address)
            .into_iter()
            .zip(bits(address))
            .take(usize::from(range.prefix))
            .all(|(network, host)| network == host)
}

/// The bits of an address, first bit first.
fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets
        .iter()
        .flat_map(|octet| (0..8).map(move |i| (octet >> (7 - i)) & 1 == 1))
        .collect()
}

/// Whether an IP protocol number (`IPPROTO_*`) is what a policy calls `protocol`.
pub(super) fn is_protocol(protocol: Protocol, number: u8) -> bool {
    match protocol {
        Protocol::Tcp => number == 6,
        Protocol::Udp => number == 17 || number == 136,
        Protocol::Sctp => number == 132,
        Protocol::Icmp => number == 1 || number == 58,
    }
}
