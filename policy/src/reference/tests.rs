//! The page's own examples and its odd corners, by hand: whatever is compared with
//! the reference is only as right as these.

mod network;

use std::net::IpAddr;

use bartizan_abi::op::{Category, FILE_OPS, Operation, Ops};
use bartizan_abi::verdict::Outcome::{self, Allow, Audit, Deny, Unresolved, WouldDeny};

use super::*;
use crate::operation::{Caller, Name, Object};
use crate::pattern::Pattern;
use crate::rule_map::{Cidr, Matcher, PolicyInfo, Protocol, SocketKind};

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::parse(text).unwrap())
        .collect()
}

fn rule(effect: Effect, matcher: Matcher) -> Rule {
    Rule {
        policy: 0,
        name: String::new(),
        effect,
        matcher,
        from: Vec::new(),
        except_from: Vec::new(),
        unless_owner: false,
    }
}

fn files(effect: Effect, operations: Ops, paths: &[&str]) -> Rule {
    rule(
        effect,
        Matcher::Files {
            paths: patterns(paths),
            operations,
        },
    )
}

fn process(effect: Effect, paths: &[&str]) -> Rule {
    rule(
        effect,
        Matcher::Process {
            paths: patterns(paths),
        },
    )
}

fn default(category: Category) -> Rule {
    rule(Effect::DefaultDeny, Matcher::Default(category))
}

/// Policy 0 enforces, policy 1 audits.
fn map<const N: usize>(rules: [(usize, Rule); N]) -> RuleMap {
    let policies = [Mode::Enforce, Mode::Audit]
        .map(|mode| PolicyInfo {
            namespace: None,
            name: String::new(),
            mode,
            severity: None,
            message: None,
            tags: Vec::new(),
        })
        .to_vec();
    let rules = rules.map(|(policy, rule)| Rule { policy, ..rule }).to_vec();
    RuleMap { policies, rules }
}

fn name(path: &str) -> Name {
    if path == "?" {
        Name::Unresolved
    } else {
        Name::Path(path.as_bytes().to_vec())
    }
}

fn on_file(operation: Operation, path: &str) -> Request {
    Request {
        operation,
        object: Object::File {
            name: name(path),
            owned: false,
        },
        caller: Caller::Executable(name("/bin/caller")),
    }
}

fn by(caller: &str, request: Request) -> Request {
    Request {
        caller: Caller::Executable(name(caller)),
        ..request
    }
}

#[track_caller]
fn check(map: &RuleMap, request: &Request, outcome: Outcome, rule: Option<usize>) {
    assert_eq!(
        evaluate(map, request),
        Verdict { outcome, rule },
        "{request:?}"
    );
}

/// A map with one deny rule for reading.
fn deny_read(paths: &[&str]) -> RuleMap {
    map([(0, files(Effect::Deny, Operation::Read.bit(), paths))])
}

#[track_caller]
fn check_pattern(pattern: &str, yes: &[&str], no: &[&str]) {
    let map = deny_read(&[pattern]);
    for path in yes {
        check(&map, &on_file(Operation::Read, path), Deny, Some(0));
    }
    for path in no {
        let outcome = if *path == "?" { Unresolved } else { Allow };
        check(&map, &on_file(Operation::Read, path), outcome, None);
    }
}

#[test]
fn patterns_match_component_by_component() {
    check_pattern(
        "/a/*/c",
        &["/a/b/c", "/a/.../c"],
        &["/a/c", "/a/b/b/c", "/a/b/c/d", "?"],
    );
    check_pattern("/d/**", &["/d/x", "/d/x/y"], &["/d", "/", "/dd", "?"]);
    check_pattern(
        "/a/**/z",
        &["/a/z", "/a/b/z", "/a/b/c/z"],
        &["/a", "/z", "/a/z/b"],
    );
    check_pattern("**/x", &["/x", "/a/x", "/x/x"], &["/", "/xx", "/x/y", "?"]);
    check_pattern("/**", &["/", "/a", "?"], &[]);
    check_pattern("**/*", &["/", "/a", "/a/b", "?"], &[]);
    check_pattern("/**/*/b", &["/a/b", "/c/a/b"], &["/b", "?"]);
    check_pattern("/", &["/"], &["/a", "?"]);
    check_pattern("/A", &["/A"], &["/a"]);
    check_pattern(r"/\*", &["/*"], &["/a"]);
    check_pattern("/{a,b*}c", &["/ac", "/bc", "/bxc"], &["/c", "/axc"]);
    check_pattern("/[a-c]", &["/a", "/c"], &["/d", "/ab", "/"]);
    check_pattern("/?", &["/é", "/日"], &["/éé"]);
    check_pattern("/*?", &["/é"], &[]);
}

#[test]
fn a_byte_outside_of_utf8_is_a_character() {
    let map = deny_read(&["/??", "/[!a]x"]);
    let read = |path: &[u8]| Request {
        object: Object::File {
            name: Name::Path(path.to_vec()),
            owned: false,
        },
        ..on_file(Operation::Read, "")
    };
    check(&map, &read(b"/\xff\xff"), Deny, Some(0));
    check(&map, &read(b"/\xc3\xa9\xff"), Deny, Some(0));
    check(&map, &read(b"/\xe6\x97"), Deny, Some(0));
    check(&map, &read(b"/\xe6\x97\xa5"), Allow, None);
    check(&map, &read(b"/\xffx"), Deny, Some(0));
}

#[test]
fn deeper_than_the_limit_has_no_name() {
    let map = deny_read(&["/a/**"]);
    check(
        &map,
        &on_file(Operation::Read, &"/a".repeat(64)),
        Deny,
        Some(0),
    );
    check(
        &map,
        &on_file(Operation::Read, &"/a".repeat(65)),
        Unresolved,
        None,
    );
    check(
        &map,
        &on_file(Operation::Read, &format!("/a/{}", "n".repeat(255))),
        Deny,
        Some(0),
    );
    check(
        &map,
        &on_file(Operation::Read, &format!("/a/{}", "n".repeat(256))),
        Unresolved,
        None,
    );
}

#[test]
fn deny_beats_allow_beats_default() {
    let map = map([
        (0, process(Effect::Deny, &["/bin/no"])),
        (0, process(Effect::Allow, &["/bin/*"])),
        (0, default(Category::Process)),
    ]);
    check(&map, &on_file(Operation::Exec, "/bin/no"), Deny, Some(0));
    check(&map, &on_file(Operation::Exec, "/bin/yes"), Allow, None);
    check(&map, &on_file(Operation::Exec, "/sbin/x"), Deny, Some(2));
    check(&map, &on_file(Operation::Exec, "?"), Deny, Some(2));
    check(&map, &on_file(Operation::Read, "/sbin/x"), Allow, None);
    assert_eq!(
        matching_rules(&map, &on_file(Operation::Exec, "/bin/no")),
        [0, 1, 2]
    );
}

#[test]
fn audited_policies_only_would_deny() {
    let map = map([
        (0, process(Effect::Allow, &["/a", "/c"])),
        (0, process(Effect::Audit, &["/**"])),
        (1, process(Effect::Deny, &["/a"])),
        (1, process(Effect::Allow, &["/b"])),
        (1, default(Category::Process)),
    ]);
    check(&map, &on_file(Operation::Exec, "/a"), WouldDeny, Some(2));
    check(&map, &on_file(Operation::Exec, "/b"), Audit, Some(1));
    check(&map, &on_file(Operation::Exec, "/c"), Audit, Some(1));
    check(&map, &on_file(Operation::Exec, "/d"), WouldDeny, Some(4));
}

#[test]
fn an_audited_allow_does_not_open_an_enforced_default() {
    let map = map([
        (0, default(Category::Files)),
        (1, files(Effect::Allow, FILE_OPS, &["/**"])),
    ]);
    check(&map, &on_file(Operation::Read, "/a"), Deny, Some(0));
}

#[test]
fn mapping_is_under_deny_rules_and_names() {
    let map = map([
        (0, process(Effect::Deny, &["/bin/no"])),
        (0, process(Effect::Allow, &["/bin/yes"])),
        (0, default(Category::Process)),
    ]);
    check(&map, &on_file(Operation::Map, "/bin/no"), Deny, Some(0));
    check(&map, &on_file(Operation::Map, "/lib/libc.so"), Allow, None);
    check(&map, &on_file(Operation::Map, "?"), Deny, Some(2));
}

#[test]
fn nothing_is_moved_out_from_under_a_deny_rule() {
    let mut shadow = files(
        Effect::Deny,
        Operation::Read.bit(),
        &["/etc/shadow", "/srv/*/key"],
    );
    shadow.from = patterns(&["/bin/cat"]);
    shadow.except_from = patterns(&["/bin/passwd"]);
    let map = map([(0, shadow), (0, process(Effect::Deny, &["**/curl"]))]);
    let rename = |path: &str| on_file(Operation::Rename, path);
    check(&map, &on_file(Operation::Read, "/etc/shadow"), Allow, None);
    check(
        &map,
        &by("/bin/cat", on_file(Operation::Read, "/etc/shadow")),
        Deny,
        Some(0),
    );
    check(&map, &rename("/etc/shadow"), Deny, Some(0));
    check(
        &map,
        &on_file(Operation::Link, "/etc/shadow"),
        Deny,
        Some(0),
    );
    check(
        &map,
        &on_file(Operation::Delete, "/etc/shadow"),
        Allow,
        None,
    );
    check(&map, &rename("/etc"), Deny, Some(0));
    check(&map, &on_file(Operation::Link, "/etc"), Allow, None);
    check(&map, &by("/bin/passwd", rename("/etc")), Allow, None);
    check(&map, &rename("/srv"), Deny, Some(0));
    check(&map, &rename("/srv/x"), Deny, Some(0));
    check(&map, &rename("/srv/x/y"), Allow, None);
    check(&map, &rename("/usr/bin"), Allow, None);
    check(&map, &rename("/usr/bin/curl"), Deny, Some(1));
    check(
        &map,
        &on_file(Operation::Delete, "/usr/bin/curl"),
        Allow,
        None,
    );
}

#[test]
fn a_leading_deep_component_has_ancestors_behind_its_first_name() {
    let map = map([(
        0,
        files(Effect::Deny, Operation::Read.bit(), &["**/.ssh/id"]),
    )]);
    check(&map, &on_file(Operation::Rename, "/home/ann"), Allow, None);
    check(
        &map,
        &on_file(Operation::Rename, "/home/ann/.ssh"),
        Deny,
        Some(0),
    );
}

#[test]
fn audit_rules_protect_nothing() {
    let map = map([(
        0,
        files(Effect::Audit, Operation::Read.bit(), &["/etc/shadow"]),
    )]);
    check(
        &map,
        &on_file(Operation::Read, "/etc/shadow"),
        Audit,
        Some(0),
    );
    check(
        &map,
        &on_file(Operation::Rename, "/etc/shadow"),
        Allow,
        None,
    );
    check(&map, &on_file(Operation::Rename, "/etc"), Allow, None);
}

#[test]
fn owners_may() {
    let mut rule = files(Effect::Deny, Operation::Read.bit(), &["/home/*/key"]);
    rule.unless_owner = true;
    let map = map([(0, rule)]);
    for operation in [Operation::Read, Operation::Rename] {
        let request = on_file(operation, "/home/a/key");
        check(&map, &request, Deny, Some(0));
        let object = Object::File {
            name: name("/home/a/key"),
            owned: true,
        };
        check(&map, &Request { object, ..request }, Allow, None);
    }
}

#[test]
fn callers_without_a_name_get_the_strict_reading() {
    let with = |effect, from: &[&str], except: &[&str]| Rule {
        from: patterns(from),
        except_from: patterns(except),
        ..process(effect, &["/x"])
    };
    let exec = || on_file(Operation::Exec, "/x");
    let runtime = || Request {
        caller: Caller::Runtime,
        ..exec()
    };
    let denied = map([(0, with(Effect::Deny, &["/a"], &[]))]);
    check(&denied, &by("?", exec()), Deny, Some(0));
    check(&denied, &by("/a", exec()), Deny, Some(0));
    check(&denied, &by("/b", exec()), Allow, None);
    check(&denied, &runtime(), Allow, None);
    let excepted = map([(0, with(Effect::Deny, &[], &["/**"]))]);
    check(&excepted, &by("?", exec()), Deny, Some(0));
    check(&excepted, &by("/b", exec()), Allow, None);
    check(&excepted, &runtime(), Deny, Some(0));
    let allowed = map([
        (0, with(Effect::Allow, &["/**"], &[])),
        (0, default(Category::Process)),
    ]);
    check(&allowed, &by("?", exec()), Deny, Some(1));
    check(&allowed, &by("/b", exec()), Allow, None);
    check(&allowed, &runtime(), Deny, Some(1));
}

#[test]
fn what_has_no_name_is_reported_where_something_is_judged() {
    let map = map([(0, files(Effect::Deny, Operation::Read.bit(), &["/a"]))]);
    check(&map, &on_file(Operation::Read, "?"), Unresolved, None);
    check(&map, &on_file(Operation::Rename, "?"), Unresolved, None);
    check(&map, &on_file(Operation::Write, "?"), Allow, None);
    check(&map, &on_file(Operation::Exec, "?"), Allow, None);
}
