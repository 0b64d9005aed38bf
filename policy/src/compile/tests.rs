use std::net::IpAddr;

use bartizan_abi::limits::TABLE_SIZE;
use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation};
use bartizan_abi::table::{At, Bytes, Table, header};
use bartizan_abi::verdict::Outcome;

use super::*;
use crate::evaluate::{check_table, evaluate};
use crate::operation::{Caller, Name, Object, Request, Verdict};
use crate::pattern::Pattern;
use crate::reference;
use crate::rule_map::{Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, SocketKind};

/// A rule map of one enforced and one audited policy.
#[derive(Default)]
struct Map(RuleMap);

impl Map {
    fn new() -> Self {
        let policy = |name: &str, mode| PolicyInfo {
            namespace: Some("shop".into()),
            name: name.into(),
            mode,
            severity: None,
            message: None,
            tags: Vec::new(),
        };
        Self(RuleMap {
            policies: vec![policy("web", Mode::Enforce), policy("trial", Mode::Audit)],
            rules: Vec::new(),
        })
    }

    fn rule(mut self, effect: Effect, matcher: Matcher, change: impl FnOnce(&mut Rule)) -> Self {
        let name = format!("rule-{}", self.0.rules.len());
        let mut rule = Rule {
            policy: 0,
            name,
            effect,
            matcher,
            from: Vec::new(),
            except_from: Vec::new(),
            unless_owner: false,
        };
        change(&mut rule);
        self.0.rules.push(rule);
        self
    }

    fn deny_exec(self, paths: &[&str]) -> Self {
        self.rule(
            Effect::Deny,
            Matcher::Process {
                paths: patterns(paths),
            },
            |_| (),
        )
    }

    fn deny_files(self, paths: &[&str], change: impl FnOnce(&mut Rule)) -> Self {
        self.rule(Effect::Deny, files(paths), change)
    }

    fn default_deny(self, category: Category) -> Self {
        self.rule(Effect::DefaultDeny, Matcher::Default(category), |_| ())
    }

    fn table(&self) -> Compiled<'_> {
        let table = compile(&self.0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(check_table(&table), Ok(()));
        Compiled {
            map: &self.0,
            table,
        }
    }
}

struct Compiled<'a> {
    map: &'a RuleMap,
    table: Vec<u8>,
}

impl Compiled<'_> {
    /// What the table says; the reference must say the same.
    #[track_caller]
    fn ask(&self, request: &Request) -> Verdict {
        let verdict = evaluate(&self.table, request);
        assert_eq!(
            verdict,
            reference::evaluate(self.map, request),
            "{request:?}"
        );
        verdict
    }

    #[track_caller]
    fn file(&self, operation: Operation, path: &str) -> Outcome {
        self.ask(&request(operation, file(path, false), "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn exec(&self, path: &[u8]) -> Outcome {
        let object = Object::File {
            name: Name::Path(path.to_vec()),
            owned: false,
        };
        self.ask(&request(Operation::Exec, object, "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn connect(&self, protocol: u8, address: &str, port: u16) -> Outcome {
        let address: IpAddr = address.parse().unwrap();
        let object = Object::Address {
            protocol,
            address,
            port,
        };
        self.ask(&request(Operation::Connect, object, "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn socket(&self, family: u8, kind: u8) -> Outcome {
        let object = Object::Socket { family, kind };
        self.ask(&request(Operation::Socket, object, "/usr/bin/caller"))
            .outcome
    }
}

fn patterns(texts: &[impl AsRef<str>]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::parse(text.as_ref()).unwrap())
        .collect()
}

fn files(paths: &[&str]) -> Matcher {
    Matcher::Files {
        paths: patterns(paths),
        operations: FILE_OPS,
    }
}

fn file(path: &str, owned: bool) -> Object {
    Object::File {
        name: Name::Path(path.into()),
        owned,
    }
}

fn request(operation: Operation, object: Object, caller: &str) -> Request {
    Request {
        operation,
        object,
        caller: Caller::Executable(Name::Path(caller.into())),
    }
}

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// Programs that a deny rule with these patterns denies, and some that it doesn't.
#[track_caller]
fn check(paths: &[&str], denied: &[&str], allowed: &[&str]) {
    let map = Map::new().deny_exec(paths);
    let table = map.table();
    for path in denied {
        assert_eq!(
            table.exec(path.as_bytes()),
            Outcome::Deny,
            "{paths:?} {path}"
        );
    }
    for path in allowed {
        assert_eq!(
            table.exec(path.as_bytes()),
            Outcome::Allow,
            "{paths:?} {path}"
        );
    }
}

#[test]
fn below_a_directory_is_not_the_directory() {
    check(
        &["/a/**"],
        &["/a/b", "/a/b/c"],
        &["/a", "/", "/b", "/b/a/c"],
    );
    check(&["/a"], &["/a"], &["/", "/a/b", "/b/a"]);
    check(&["/"], &["/"], &["/a"]);
    check(
        &["/a/**/b"],
        &["/a/b", "/a/x/b", "/a/b/b"],
        &["/a", "/b", "/a/b/c", "/x/a/b"],
    );
    check(&["/*/**"], &["/a/b", "/a/b/c"], &["/", "/a"]);
}

#[test]
fn any_depth_starts_at_the_root() {
    check(
        &["**/curl"],
        &["/curl", "/a/curl", "/a/b/curl"],
        &["/curl/a", "/curlx", "/"],
    );
    check(
        &["**/a/b"],
        &["/a/b", "/x/a/b", "/a/a/b"],
        &["/b", "/a", "/a/b/c"],
    );
    check(&["**/a/**"], &["/a/b", "/x/a/y/z"], &["/a", "/x/a"]);
    check(&["**/*.so"], &["/x.so", "/a/b/.so"], &["/x.so/a", "/x"]);
    check(&["/**"], &["/", "/a", "/a/b"], &[]);
    check(&["**/*"], &["/", "/a", "/a/b"], &[]);
    check(&["**/?*"], &["/a", "/a/b"], &["/"]);
}

#[test]
fn globs_match_inside_one_component() {
    check(
        &["/a/x*z/c"],
        &["/a/xz/c", "/a/xyz/c"],
        &["/a/x/z/c", "/a/xy/c", "/a/xz"],
    );
    check(
        &["/[a-c]/[!x]"],
        &["/a/a", "/c/\u{e9}"],
        &["/d/a", "/a/x", "/a/xx"],
    );
    check(
        &["/{apt,dpkg}*/{x,y}"],
        &["/apt/x", "/dpkg-q/y"],
        &["/ap/x", "/apt/z"],
    );
    check(&["/*"], &["/a"], &["/", "/a/b"]);
    check(&["/a/*/b"], &["/a/x/b", "/a/b/b"], &["/a/b", "/a/x/y/b"]);
    check(&["/?"], &["/a", "/\u{1f980}"], &["/ab", "/"]);
}

#[test]
fn literals_know_the_globs_they_match() {
    let paths = [
        "/a/abc", "/a/ab*/x", "/a/*c/y", "/b/abc/z", "**/abc", "**/a*d",
    ];
    check(
        &paths,
        &[
            "/a/abc", "/a/abc/x", "/a/abc/y", "/b/abc/z", "/q/abc", "/axd",
        ],
        &["/b/ab/z"],
    );
}

#[test]
fn names_that_are_no_utf8_are_names() {
    let map = Map::new().deny_exec(&["/?", "/[!a]b", "/x*"]);
    let table = map.table();
    for path in [
        &b"/\xff"[..],
        b"/\xc3b",
        b"/\x80b",
        b"/x\xc3\x28",
        b"/x\xff\xff",
    ] {
        assert_eq!(table.exec(path), Outcome::Deny, "{}", path.escape_ascii());
    }
    for path in [
        &b"/\xff\xff"[..],
        b"/\xc3\xa9\xa9",
        b"/\xc3\xc3b",
        b"/\xe2\x82",
    ] {
        assert_eq!(table.exec(path), Outcome::Allow, "{}", path.escape_ascii());
    }
}

#[test]
fn literals_of_any_length_are_told_apart() {
    for length in [
        1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 41, 254, 255,
    ] {
        let name = "n".repeat(length);
        let other = format!("{}x", &name[1..]);
        let path = format!("/{name}/{name}");
        let first = format!("/x{}/{name}", &name[1..]);
        check(
            &[&path, "/a-name-of-more-than-24-bytes/x"],
            &[&path],
            &[
                &format!("/{name}/{other}"),
                &first,
                &format!("/{name}"),
                &format!("{path}/{name}"),
            ],
        );
    }
}

#[test]
fn hundreds_of_globs_in_one_directory_work_at_once() {
    let mut map = Map::new();
    for number in 0..300 {
        let glob = match number % 3 {
            0 => format!("/d/name{number}*"),
            1 => format!("/d/*.ext{number}"),
            _ => format!("/d/in-*-{number}"),
        };
        map = map.deny_exec(&[&glob]);
    }
    let table = map.table();
    for (path, rule) in [
        ("/d/name0", Some(0)),
        ("/d/name297x.ext298", Some(297)),
        ("/d/a.ext298", Some(298)),
        ("/d/in-x-299", Some(299)),
        ("/d/name3.ext1", Some(1)),
        ("/d/in-299", None),
        ("/e/name0", None),
    ] {
        let verdict = table.ask(&request(Operation::Exec, file(path, false), "/x"));
        assert_eq!(verdict.rule, rule, "{path}");
    }
}

#[test]
fn what_is_protected_cant_be_moved_with_its_directories() {
    let map = Map::new().deny_files(&["/srv/*/key", "**/x/y"], |rule| {
        rule.matcher = Matcher::Files {
            paths: patterns(&["/srv/*/key"]),
            operations: Operation::Read.bit(),
        };
        rule.except_from = patterns(&["/usr/bin/mv"]);
    });
    let map = map.deny_exec(&["**/x/y", "**/curl"]);
    let table = map.table();
    for (path, rename, link) in [
        ("/srv/a/key", Outcome::Deny, Outcome::Deny),
        ("/srv/a", Outcome::Deny, Outcome::Allow),
        ("/srv", Outcome::Deny, Outcome::Allow),
        ("/srv/a/other", Outcome::Allow, Outcome::Allow),
        ("/a/x/y", Outcome::Deny, Outcome::Deny),
        ("/a/x", Outcome::Deny, Outcome::Allow),
        ("/a", Outcome::Allow, Outcome::Allow),
        ("/a/curl", Outcome::Deny, Outcome::Deny),
    ] {
        assert_eq!(table.file(Operation::Rename, path), rename, "rename {path}");
        assert_eq!(table.file(Operation::Link, path), link, "link {path}");
    }
    let excepted = request(Operation::Rename, file("/srv/a", false), "/usr/bin/mv");
    assert_eq!(table.ask(&excepted).outcome, Outcome::Allow);
}

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
fn no_rules_make_a_table_that_allows() {
    let map = Map::new();
    let table = map.table();
    assert_eq!(table.exec(b"/bin/sh"), Outcome::Allow);
    assert_eq!(Bytes(&table.table).header().u32(header::SUBJECTS), 1);
    assert_eq!(Bytes(&table.table).header().u32(header::JUDGED), 0);
}

#[test]
fn order_of_rules_changes_no_outcome_and_the_same_map_gives_the_same_bytes() {
    let paths = [
        "/a/*b",
        "/a/b*",
        "**/c*",
        "/a/**",
        "**/d",
        "/e/{f,g}/h",
        "/a/[x-z]?",
    ];
    let forward = paths
        .iter()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    let backward = paths
        .iter()
        .rev()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    assert_eq!(forward.table().table, forward.table().table);
    let (forward, backward) = (forward.table(), backward.table());
    for path in [
        "/a/b", "/a/bb", "/x/cc", "/e/f/h", "/e/f", "/d", "/a/xx", "/q", "/",
    ] {
        assert_eq!(
            forward.exec(path.as_bytes()),
            backward.exec(path.as_bytes()),
            "{path}"
        );
    }
}

#[test]
fn many_infix_globs_of_one_rule_or_effect_are_fine() {
    let paths: Vec<String> = (0..40).map(|n| format!("**/*secret{n}*")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    check(
        &paths,
        &["/a/my-secret7-x", "/secret39"],
        &["/secret", "/secret7/x"],
    );
    let map = paths
        .iter()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    let both = request(Operation::Exec, file("/secret8-secret3", false), "/x");
    assert_eq!(map.table().ask(&both).rule, Some(3));
}

#[test]
fn ten_thousand_ranges_fit() {
    let addresses = (0..10_000_u32).map(|n| {
        cidr(&format!(
            "{}.{}.{}.0/24",
            n % 223,
            n / 223,
            n.wrapping_mul(7919) % 256
        ))
    });
    let matcher = Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: Vec::new(),
        addresses: addresses.collect(),
        ports: vec![80..=80],
    };
    let map = Map::new().rule(Effect::Deny, matcher, |_| ());
    let table = map.table();
    assert_eq!(table.connect(6, "1.0.239.77", 80), Outcome::Deny);
    assert_eq!(table.connect(6, "1.0.239.77", 81), Outcome::Allow);
    assert_eq!(table.connect(6, "1.0.240.77", 80), Outcome::Allow);
}

#[test]
fn too_many_combinations_are_refused_with_the_rules_that_make_them() {
    let harmless = Map::new().deny_exec(&["/bin/sh", "/etc/**", "**/curl", "/a/*b*"]);
    let map = (0..20).fold(harmless, |map, number| {
        map.deny_files(&[&format!("/srv/**/x{number}/**/y{number}")], |_| ())
    });
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "StateExplosion");
    let CompileError::StateExplosion { what, culprits } = &error else {
        panic!("{error}")
    };
    assert_eq!(*what, "paths of files");
    assert!(
        culprits.iter().all(|culprit| culprit.policy == "shop/web"),
        "{error}"
    );
    assert!(
        culprits.iter().all(|culprit| culprit.rule != "rule-0"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("`/srv/**/x0/**/y0` of rule `rule-1`"),
        "{error}"
    );

    let map = Map::new()
        .deny_exec(&["/bin/sh", "/d/*.conf"])
        .deny_exec(&[&format!("/d/*a{}", "?".repeat(20))]);
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "StateExplosion");
    assert!(error.to_string().contains("`rule-1`"), "{error}");
    assert!(!error.to_string().contains("`rule-0`"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_rules_that_cost_most() {
    let addresses = (0..60_000_u32).map(|n| {
        let n = n.wrapping_mul(2_654_435_761);
        Cidr {
            address: IpAddr::from(n.to_be_bytes()),
            prefix: 32,
        }
    });
    let matcher = Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: Vec::new(),
        addresses: addresses.collect(),
        ports: Vec::new(),
    };
    let map = Map::new()
        .deny_exec(&["/bin/sh"])
        .rule(Effect::Deny, matcher, |_| ());
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "TableTooLarge");
    let CompileError::TooLarge { bytes, culprits } = &error else {
        panic!("{error}")
    };
    assert!(*bytes > TABLE_SIZE as usize);
    assert_eq!(
        culprits
            .iter()
            .map(|culprit| &culprit.rule[..])
            .collect::<Vec<_>>(),
        ["rule-1"]
    );
}

#[test]
fn limits_are_errors() {
    let mut map = Map::new().deny_exec(&["/a"]);
    let rule = map.0.rules[0].clone();
    map.0.rules = vec![rule; MAX_RULES + 1];
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TooManyRules");

    let map = (0..MAX_SUBJECTS).fold(Map::new(), |map, number| {
        map.deny_files(&["/a"], |rule| {
            rule.from = patterns(&[format!("/bin/program-{number}")]);
        })
    });
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "TooManySubjects", "{error}");
}

#[test]
fn numbers_of_16_bits_are_never_cut() {
    // 2,400 names of 255 bytes have more words than there are numbers, within the size.
    let paths: Vec<String> = (0..2400)
        .map(|n| format!("/{}{n:04}", "n".repeat(251)))
        .collect();
    let map = Map::new().rule(
        Effect::Deny,
        Matcher::Process {
            paths: patterns(&paths),
        },
        |_| (),
    );
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TooManyNumbers");

    let paths: Vec<String> = (0..40_000).map(|n| format!("/{n}")).collect();
    let map = Map::new().rule(
        Effect::Deny,
        Matcher::Process {
            paths: patterns(&paths),
        },
        |_| (),
    );
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TableTooLarge");
}
