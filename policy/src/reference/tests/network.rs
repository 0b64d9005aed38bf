//! Addresses and sockets.

use super::*;
use crate::operation::UnixSocket;
use crate::unix::UnixName;

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

#[test]
fn unix_sockets_are_judged_by_name_and_stay_under_it() {
    let names = ["@bus", "@shim/*"].map(|text| match UnixName::parse(text) {
        Ok(UnixName::Abstract(name)) => name,
        other => panic!("{other:?}"),
    });
    let unix = Matcher::Unix {
        operations: Operation::Connect.bit(),
        paths: patterns(&["/run/docker.sock", "/run/crio/**"]),
        names: names.to_vec(),
    };
    let addresses = Matcher::Network {
        operations: Operation::Send.bit(),
        protocols: vec![],
        addresses: vec![],
        ports: vec![],
    };
    let map = map([
        (0, rule(Effect::Deny, unix)),
        (0, rule(Effect::Deny, addresses)),
        (1, default(Category::Network)),
    ]);
    let request = |operation, object| Request {
        operation,
        object,
        caller: Caller::Runtime,
    };
    let by_name = |name: &[u8]| Object::Unix(UnixSocket::Abstract(name.to_vec()));
    let path = |path: &str| Object::Unix(UnixSocket::Path(Name::Path(path.into())));
    let file = |path: &str| Object::File {
        name: Name::Path(path.into()),
        owned: false,
    };
    for (operation, object, outcome, rule) in [
        (Operation::Connect, by_name(b"bus"), Deny, Some(0)),
        (Operation::Connect, by_name(b"bus\0"), WouldDeny, Some(2)),
        (Operation::Connect, by_name(b"shim/"), Deny, Some(0)),
        (Operation::Connect, by_name(b"shim/\xff"), Deny, Some(0)),
        (Operation::Connect, path("/run/docker.sock"), Deny, Some(0)),
        (
            Operation::Listen,
            path("/run/docker.sock"),
            WouldDeny,
            Some(2),
        ),
        // A rule about IP addresses has nothing to say.
        (Operation::Send, path("/run/x"), WouldDeny, Some(2)),
        (Operation::Rename, file("/run/docker.sock"), Deny, Some(0)),
        (Operation::Link, file("/run/crio/crio.sock"), Deny, Some(0)),
        (Operation::Rename, file("/run"), Deny, Some(0)),
        (Operation::Read, file("/run/docker.sock"), Allow, None),
    ] {
        check(&map, &request(operation, object), outcome, rule);
    }
    let unnamed = Object::Unix(UnixSocket::Path(Name::Unresolved));
    check(
        &map,
        &request(Operation::Connect, unnamed),
        WouldDeny,
        Some(2),
    );
}
