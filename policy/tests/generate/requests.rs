//! Requests, most of them made from a rule so that they hit it or nearly do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_abi::op::{MOVE_OPS, Operation, PROCESS_OPS};
use bartizan_policy::operation::{Caller, Name, Object, Request, UnixSocket};
use bartizan_policy::rule_map::{Cidr, Matcher};

use super::Choices;
use super::patterns::{self, Tree};
use super::rules::{Case, RESTRICTED};

/// One request for a rule map.
pub(crate) fn request(choices: &mut Choices, case: &Case) -> Request {
    let (operation, object, about) = match choices.pick(11) {
        0..=4 => file(choices, case),
        5 => address(choices, case),
        6 => unix(choices, case),
        7 => {
            let family = choices.of(&[2, 10, 1, 16, 17, 38, 44, 40, 0]);
            let kind = choices.of(&[1, 2, 3, 5, 4, 10]);
            (Operation::Socket, Object::Socket { family, kind }, None)
        }
        8 => (choices.of(&RESTRICTED), Object::Anything, None),
        _ => (
            Operation::Capable,
            Object::Capability(choices.pick(64) as u8),
            None,
        ),
    };
    let caller = caller(choices, case, about);
    Request {
        operation,
        object,
        caller,
    }
}

/// A caller, of the rule that the request is about if it has a say in callers.
fn caller(choices: &mut Choices, case: &Case, about: Option<usize>) -> Caller {
    let own: Vec<_> = case
        .callers
        .iter()
        .filter(|(rule, _)| Some(*rule) == about)
        .cloned()
        .collect();
    match choices.pick(8) {
        0 => Caller::Executable(Name::Path(b"/usr/bin/app".to_vec())),
        1 => Caller::Runtime,
        2 => Caller::Executable(Name::Unresolved),
        3..=5 if !own.is_empty() => Caller::Executable(name(choices, &own).0),
        _ => Caller::Executable(name(choices, &case.callers).0),
    }
}

/// A name made from one of the trees, half of the time one that should match, and the
/// rule of that tree.
fn name(choices: &mut Choices, trees: &[(usize, Tree)]) -> (Name, Option<usize>) {
    if choices.one_in(12) {
        return (Name::Unresolved, None);
    }
    if trees.is_empty() || choices.one_in(6) {
        return (Name::Path(patterns::join(&patterns::path(choices))), None);
    }
    let (rule, tree) = &trees[choices.pick(trees.len())];
    let mut path = tree.sample(choices);
    while choices.one_in(2) {
        path = patterns::mutate(path, choices);
    }
    (Name::Path(patterns::join(&path)), Some(*rule))
}

fn file(choices: &mut Choices, case: &Case) -> (Operation, Object, Option<usize>) {
    const ANY: [Operation; 14] = [
        Operation::Rename,
        Operation::Link,
        Operation::Exec,
        Operation::Read,
        Operation::Write,
        Operation::Map,
        Operation::Append,
        Operation::Truncate,
        Operation::Create,
        Operation::Delete,
        Operation::Chmod,
        Operation::Chown,
        Operation::Rename,
        Operation::Exec,
    ];
    let (name, about) = name(choices, &case.paths);
    let object = Object::File {
        name,
        owned: choices.one_in(3),
    };
    let mut operations = Vec::from(ANY);
    if let Some(rule) = about
        && choices.one_in(2)
    {
        let listed = match &case.map.rules[rule].matcher {
            Matcher::Files { operations, .. } => *operations,
            Matcher::Unix { .. } => MOVE_OPS,
            _ => PROCESS_OPS,
        };
        operations.retain(|operation| operation.bit() & listed != 0);
    }
    (choices.of(&operations), object, about)
}

/// A Unix socket, by any path that rules are about or by an abstract name.
fn unix(choices: &mut Choices, case: &Case) -> (Operation, Object, Option<usize>) {
    let names: [&[u8]; 9] = [
        b"",
        b"a",
        b"ab",
        b"abc",
        b"ab\0",
        b"b",
        b"com.example",
        b"com.example.bus",
        "\u{e4}".as_bytes(),
    ];
    let operation = choices.of(&ADDRESS);
    let (socket, about) = if choices.one_in(2) {
        (UnixSocket::Abstract(choices.of(&names).to_vec()), None)
    } else {
        let (name, about) = name(choices, &case.paths);
        (UnixSocket::Path(name), about)
    };
    (operation, Object::Unix(socket), about)
}

/// What is done with addresses.
const ADDRESS: [Operation; 5] = [
    Operation::Connect,
    Operation::Bind,
    Operation::Send,
    Operation::Listen,
    Operation::Accept,
];

fn address(choices: &mut Choices, case: &Case) -> (Operation, Object, Option<usize>) {
    let rules: Vec<_> = case
        .map
        .rules
        .iter()
        .enumerate()
        .filter_map(|(number, rule)| match &rule.matcher {
            Matcher::Network {
                addresses, ports, ..
            } => Some((number, addresses, ports)),
            _ => None,
        })
        .collect();
    let mut about = None;
    let mut address = any_address(choices);
    let mut port = choices.of(&[0, 1, 53, 80, 443, 65535]);
    if !rules.is_empty() && !choices.one_in(4) {
        let (rule, addresses, ports) = rules[choices.pick(rules.len())];
        about = Some(rule);
        if !addresses.is_empty() {
            let range = choices.of(addresses);
            address = near(choices, range);
        }
        if !ports.is_empty() {
            let range = &ports[choices.pick(ports.len())];
            port = choices.of(&[
                *range.start(),
                *range.end(),
                range.start().wrapping_sub(1),
                range.end().wrapping_add(1),
                range.start().midpoint(*range.end()),
            ]);
        }
    }
    if let IpAddr::V4(v4) = address
        && choices.one_in(4)
    {
        address = IpAddr::V6(v4.to_ipv6_mapped());
    }
    let protocol = choices.of(&[6, 17, 132, 1, 58, 136, 0, 255]);
    let operation = choices.of(&ADDRESS);
    (
        operation,
        Object::Address {
            protocol,
            address,
            port,
        },
        about,
    )
}

fn any_address(choices: &mut Choices) -> IpAddr {
    choices.of(&[
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)),
        IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(Ipv6Addr::from_bits(0xfd00 << 112 | 5)),
        // IPv4-compatible, not mapped: it stays IPv6.
        IpAddr::V6(Ipv6Addr::from_bits(0x0a01_0203)),
    ])
}

/// The first or last address of a range, or the one next to it, or one inside.
fn near(choices: &mut Choices, range: Cidr) -> IpAddr {
    let steps = choices.pick(5);
    match range.address {
        IpAddr::V4(v4) => {
            let first = v4.to_bits();
            let last = first | u32::MAX.checked_shr(u32::from(range.prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(match steps {
                0 => first,
                1 => last,
                2 => first.wrapping_sub(1),
                3 => last.wrapping_add(1),
                _ => first.midpoint(last),
            }))
        }
        IpAddr::V6(v6) => {
            let first = v6.to_bits();
            let last = first | u128::MAX.checked_shr(u32::from(range.prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(match steps {
                0 => first,
                1 => last,
                2 => first.wrapping_sub(1),
                3 => last.wrapping_add(1),
                _ => first.midpoint(last),
            }))
        }
    }
}
