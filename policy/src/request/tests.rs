//! Words that are operations, and messages about those that aren't.

use super::*;

fn parse(words: &str) -> Result<Request, RequestError> {
    parse_request(&words.split(' ').collect::<Vec<_>>())
}

fn file(path: &str, owned: bool) -> Object {
    Object::File {
        name: Name::Path(path.into()),
        owned,
    }
}

#[track_caller]
fn check(words: &str, operation: Operation, object: Object) {
    let caller = Caller::Runtime;
    assert_eq!(
        parse(words),
        Ok(Request {
            operation,
            object,
            caller
        })
    );
}

#[test]
fn every_operation_has_its_words() {
    check("exec /bin/sh", Operation::Exec, file("/bin/sh", false));
    check("map /", Operation::Map, file("/", false));
    for operation in Operation::ALL
        .iter()
        .filter(|op| op.category() == Category::Files)
    {
        let words = format!("file {} /a/b --owner", operation.name().to_lowercase());
        check(&words, *operation, file("/a/b", true));
    }
    let address = |protocol, address: &str, port| Object::Address {
        protocol,
        address: address.parse().unwrap(),
        port,
    };
    check(
        "connect tcp 10.0.0.1:443",
        Operation::Connect,
        address(6, "10.0.0.1", 443),
    );
    check("bind udp [::1]:53", Operation::Bind, address(17, "::1", 53));
    check(
        "send 136 1.2.3.4:1",
        Operation::Send,
        address(136, "1.2.3.4", 1),
    );
    check(
        "connect icmp 10.0.0.1",
        Operation::Connect,
        address(1, "10.0.0.1", 0),
    );
    check(
        "connect tcp [::ffff:10.0.0.1]:1",
        Operation::Connect,
        address(6, "10.0.0.1", 1),
    );
    let socket = Object::Socket {
        family: 17,
        kind: 3,
    };
    check("socket packet raw", Operation::Socket, socket);
    check(
        "capability cap_net_raw",
        Operation::Capable,
        Object::Capability(13),
    );
}

#[test]
fn the_caller_is_a_program_a_nameless_one_or_in_no_list() {
    let caller = |words: &str| parse(words).map(|request| request.caller);
    let sh = Caller::Executable(Name::Path(b"/bin/sh".to_vec()));
    assert_eq!(caller("exec /x --by /bin/sh"), Ok(sh.clone()));
    assert_eq!(caller("--by=/bin/sh exec /x"), Ok(sh));
    assert_eq!(
        caller("exec /x --by unnamed"),
        Ok(Caller::Executable(Name::Unresolved))
    );
    assert_eq!(caller("exec unnamed"), Ok(Caller::Runtime));
}

#[test]
fn what_is_no_operation_is_refused_with_the_reason() {
    for (words, message) in [
        ("exce /x", "unknown operation `exce`, did you mean `exec`?"),
        ("exec", "`exec` needs a PATH"),
        ("exec x", "`x` is no canonical path: write it from `/` on"),
        (
            "exec /a//b",
            "`/a//b` is no canonical path: it has an empty component",
        ),
        (
            "exec /a/../b",
            "`/a/../b` is no canonical path: it has a `.` or `..`",
        ),
        ("exec /a b", "unexpected `b`"),
        ("exec /a --owner", "unexpected `--owner`"),
        ("exec /a --by", "`--by` needs a PATH"),
        ("exec /a --bye /b", "unexpected `--bye`"),
        (
            "file raed /a",
            "unknown operation `file raed`, did you mean `read`?",
        ),
        (
            "connect tcp 10.0.0.1",
            "`10.0.0.1` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443`",
        ),
        ("connect tpc 10.0.0.1:1", "unknown protocol `tpc`"),
        ("socket pakcet raw", "unknown family `pakcet`"),
        (
            "capability NET_RWA",
            "unknown capability `NET_RWA`, did you mean `NET_RAW`?",
        ),
    ] {
        assert_eq!(parse(words).unwrap_err().to_string(), message, "{words}");
    }
    assert_eq!(parse_request(&[]), Err(RequestError::Empty));
}
