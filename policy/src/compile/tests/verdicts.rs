//! Which rule decides, for whom, and what is no path.

use super::*;

#[test]
fn the_lowest_rule_is_named_and_owners_are_excepted() {
    let map = Map::new()
        .deny_files(&["/home/**"], |rule| rule.unless_owner = true)
        .deny_files(&["**/*.key"], |rule| rule.policy = 1)
        .deny_files(&["/home/secret"], |_| ());
    let table = map.table();
    for (path, owned, outcome, rule) in [
        ("/home/a", false, Outcome::Deny, Some(0)),
        ("/home/a", true, Outcome::Allow, None),
        ("/home/secret", false, Outcome::Deny, Some(0)),
        ("/home/secret", true, Outcome::Deny, Some(2)),
        ("/home/a.key", true, Outcome::WouldDeny, Some(1)),
        ("/a.key", false, Outcome::WouldDeny, Some(1)),
    ] {
        let verdict = table.ask(&request(Operation::Read, file(path, owned), "/x"));
        assert_eq!(verdict, Verdict { outcome, rule }, "{path} {owned}");
    }
}

#[test]
fn callers_are_told_apart_by_from_and_except_from() {
    let map = Map::new()
        .deny_files(&["/a"], |rule| {
            rule.from = patterns(&["/usr/bin/*", "**/sh"]);
        })
        .deny_files(&["/b"], |rule| rule.except_from = patterns(&["/usr/bin/*"]))
        .rule(Effect::Allow, files(&["/**"]), |rule| {
            rule.from = patterns(&["/**"]);
        })
        .default_deny(Category::Files);
    let table = map.table();
    let path = |path: &str| Caller::Executable(Name::Path(path.into()));
    let unresolved = Caller::Executable(Name::Unresolved);
    for (target, caller, rule) in [
        ("/a", path("/usr/bin/cat"), Some(0)),
        ("/a", path("/opt/sh"), Some(0)),
        ("/a", path("/opt/cat"), None),
        ("/a", unresolved.clone(), Some(0)),
        ("/a", Caller::Runtime, Some(3)),
        ("/b", path("/usr/bin/cat"), None),
        ("/b", path("/opt/cat"), Some(1)),
        ("/b", unresolved.clone(), Some(1)),
        ("/b", Caller::Runtime, Some(1)),
        ("/c", unresolved, Some(3)),
    ] {
        let request = Request {
            operation: Operation::Read,
            object: file(target, false),
            caller,
        };
        assert_eq!(table.ask(&request).rule, rule, "{request:?}");
    }
}

#[test]
fn things_without_a_name_are_only_in_everything() {
    let unnamed = |operation| Request {
        operation,
        object: Object::File {
            name: Name::Unresolved,
            owned: false,
        },
        caller: Caller::Runtime,
    };
    let map = Map::new().deny_exec(&["/*", "/*/**", "**/?*"]);
    let verdict = map.table().ask(&unnamed(Operation::Exec));
    assert_eq!(verdict.outcome, Outcome::Unresolved);
    let map = Map::new().deny_exec(&["**/*"]);
    let table = map.table();
    assert_eq!(table.ask(&unnamed(Operation::Map)).outcome, Outcome::Deny);
    assert_eq!(
        table.ask(&unnamed(Operation::Rename)).outcome,
        Outcome::Deny
    );
    assert_eq!(table.ask(&unnamed(Operation::Read)).outcome, Outcome::Allow);
    let map = Map::new().default_deny(Category::Process);
    let table = map.table();
    assert_eq!(table.ask(&unnamed(Operation::Map)).outcome, Outcome::Deny);
    assert_eq!(table.file(Operation::Map, "/lib/libc.so"), Outcome::Allow);
    assert_eq!(table.file(Operation::Exec, "/bin/sh"), Outcome::Deny);
    let deep = "/x".repeat(65);
    assert_eq!(table.file(Operation::Map, &deep), Outcome::Deny);
    assert_eq!(table.file(Operation::Map, &deep[2..]), Outcome::Allow);
}

#[test]
fn addresses_match_by_protocol_range_and_port() {
    let network = |protocols: &[Protocol], addresses: &[&str], ports| Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: protocols.to_vec(),
        addresses: addresses.iter().map(|text| cidr(text)).collect(),
        ports,
    };
    let map = Map::new()
        .rule(
            Effect::Deny,
            network(
                &[Protocol::Tcp],
                &["10.0.0.0/9", "fd00::/8"],
                vec![443..=443, 8000..=9000],
            ),
            |_| (),
        )
        .rule(
            Effect::Deny,
            network(&[Protocol::Udp], &[], vec![53..=53]),
            |_| (),
        )
        .rule(
            Effect::Deny,
            network(&[], &["127.0.0.1/32", "10.1.2.3/32"], vec![]),
            |_| (),
        );
    let table = map.table();
    for (protocol, address, port, outcome) in [
        (6, "10.0.0.1", 443, Outcome::Deny),
        (6, "10.127.255.255", 8500, Outcome::Deny),
        (6, "10.128.0.0", 443, Outcome::Allow),
        (6, "10.0.0.1", 444, Outcome::Allow),
        (6, "10.0.0.1", 7999, Outcome::Allow),
        (6, "10.0.0.1", 9001, Outcome::Allow),
        (6, "fdff::1", 9000, Outcome::Deny),
        (6, "fe00::1", 9000, Outcome::Allow),
        (6, "::ffff:10.1.1.1", 443, Outcome::Deny),
        (17, "10.0.0.1", 443, Outcome::Allow),
        (17, "1.2.3.4", 53, Outcome::Deny),
        (136, "2001::1", 53, Outcome::Deny),
        (132, "1.2.3.4", 53, Outcome::Allow),
        (132, "10.1.2.3", 1, Outcome::Deny),
        (6, "0.0.0.0", 1, Outcome::Deny),
        (6, "::", 1, Outcome::Allow),
    ] {
        assert_eq!(
            table.connect(protocol, address, port),
            outcome,
            "{protocol} {address} {port}"
        );
    }
}

#[test]
fn a_default_of_deny_leaves_sockets_that_are_judged_by_address() {
    let map = Map::new()
        .rule(
            Effect::Deny,
            Matcher::Sockets {
                kinds: vec![SocketKind::Family(1)],
            },
            |_| (),
        )
        .rule(
            Effect::Allow,
            Matcher::Sockets {
                kinds: vec![SocketKind::IpType(3)],
            },
            |_| (),
        )
        .default_deny(Category::Network);
    let table = map.table();
    for (family, kind, outcome) in [
        (2, 1, Outcome::Allow),
        (10, 2, Outcome::Allow),
        (2, 3, Outcome::Allow),
        (10, 5, Outcome::Deny),
        (16, 3, Outcome::Allow),
        (17, 3, Outcome::Deny),
        (1, 1, Outcome::Deny),
        (40, 1, Outcome::Deny),
    ] {
        assert_eq!(table.socket(family, kind), outcome, "{family} {kind}");
    }
    assert_eq!(table.connect(6, "1.2.3.4", 80), Outcome::Deny);
}

#[test]
fn capabilities_are_rows_of_their_own() {
    let map = Map::new().rule(
        Effect::Deny,
        Matcher::Capabilities {
            capabilities: vec![0, 13, 63],
        },
        |_| (),
    );
    let table = map.table();
    for (capability, outcome) in [
        (0, Outcome::Deny),
        (13, Outcome::Deny),
        (63, Outcome::Deny),
        (21, Outcome::Allow),
    ] {
        let request = request(Operation::Capable, Object::Capability(capability), "/x");
        assert_eq!(table.ask(&request).outcome, outcome, "{capability}");
    }
}

#[test]
fn restrictions_share_a_row_and_have_rules_of_their_own() {
    let map = Map::new()
        .rule(Effect::Deny, Matcher::Restrict(Operation::Ptrace), |_| ())
        .rule(Effect::Deny, Matcher::Restrict(Operation::IoUring), |_| ());
    let table = map.table();
    for (operation, rule) in [
        (Operation::Ptrace, Some(0)),
        (Operation::IoUring, Some(1)),
        (Operation::Mount, None),
        (Operation::Bpf, None),
    ] {
        let verdict = table.ask(&request(operation, Object::Anything, "/x"));
        assert_eq!(verdict.rule, rule, "{operation:?}");
        let is_denied = verdict.outcome == Outcome::Deny;
        assert_eq!(is_denied, rule.is_some(), "{operation:?}");
    }
}

#[test]
fn no_rules_make_a_table_that_allows() {
    let map = Map::new();
    let table = map.table();
    assert_eq!(table.exec(b"/bin/sh"), Outcome::Allow);
    assert_eq!(Bytes(&table.table).header().u32(header::SUBJECTS), 1);
    assert_eq!(Bytes(&table.table).header().u32(header::JUDGED), 0);
}
