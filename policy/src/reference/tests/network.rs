//! Addresses and sockets.

use super::*;

#[test]
fn addresses_are_judged_as_the_kernel_means_them() {
    let rule = |effect, addresses: &[(&str, u8)], ports| {
        rule(
            effect,
            Matcher::Network {
                operations: Operation::Connect.bit() | Operation::Bind.bit(),
                protocols: vec![Protocol::Tcp],
                addresses: addresses
                    .iter()
                    .map(|(address, prefix)| Cidr {
                        address: address.parse().unwrap(),
                        prefix: *prefix,
                    })
                    .collect(),
                ports,
            },
        )
    };
    let map = map([
        (
            0,
            rule(Effect::Deny, &[("10.0.0.0", 9), ("127.0.0.1", 32)], vec![]),
        ),
        (0, rule(Effect::Deny, &[("::", 0)], vec![443..=444])),
    ]);
    let request = |operation, address: &str, port| Request {
        operation,
        object: Object::Address {
            protocol: 6,
            address: address.parse::<IpAddr>().unwrap(),
            port,
        },
        caller: Caller::Runtime,
    };
    let connect = |address, port| request(Operation::Connect, address, port);
    check(&map, &connect("10.127.255.255", 1), Deny, Some(0));
    check(&map, &connect("10.128.0.0", 1), Allow, None);
    check(&map, &connect("::ffff:10.0.0.1", 1), Deny, Some(0));
    check(&map, &connect("0.0.0.0", 1), Deny, Some(0));
    check(&map, &connect("::ffff:0.0.0.0", 1), Deny, Some(0));
    check(&map, &request(Operation::Bind, "0.0.0.0", 1), Allow, None);
    check(&map, &request(Operation::Send, "10.0.0.1", 1), Allow, None);
    check(&map, &connect("::", 443), Deny, Some(1));
    check(&map, &connect("fd00::1", 444), Deny, Some(1));
    check(&map, &connect("fd00::1", 445), Allow, None);
    check(&map, &connect("192.0.2.1", 443), Allow, None);
}

#[test]
fn a_default_covers_the_unusual_sockets() {
    let map = map([
        (
            0,
            rule(
                Effect::Allow,
                Matcher::Sockets {
                    kinds: vec![SocketKind::IpType(3)],
                },
            ),
        ),
        (0, default(Category::Network)),
    ]);
    let check = |family, kind, outcome, rule| {
        let request = Request {
            operation: Operation::Socket,
            object: Object::Socket { family, kind },
            caller: Caller::Runtime,
        };
        check(&map, &request, outcome, rule);
    };
    check(2, 1, Allow, None);
    check(10, 2, Allow, None);
    check(1, 5, Allow, None);
    check(16, 3, Allow, None);
    check(2, 3, Allow, None);
    check(2, 5, Deny, Some(1));
    check(17, 3, Deny, Some(1));
}
