//! Which paths patterns match once they are compiled.

use super::*;

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
