//! Words that are operations, and messages about those that aren't.

use super::*;

fn parse(words: &str) -> Result<Request, RequestError> {
    parse_request(&words.split(' ').collect::<Vec<_>>())
}

#[test]
fn paths_are_bytes_and_other_words_are_text() {
    let request = parse_request(&[&b"exec"[..], b"/a\xff"]).unwrap();
    let name = Name::Path(b"/a\xff".to_vec());
    let owned = false;
    assert_eq!(request.object, Object::File { name, owned });
    let error = parse_request(&[&b"ex\xffc"[..], b"/a"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r"`ex\xffc` is not UTF-8: only a PATH may be something else"
    );
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
        "listen tcp 0.0.0.0:22",
        Operation::Listen,
        address(6, "0.0.0.0", 22),
    );
    check(
        "accept tcp [::]:22",
        Operation::Accept,
        address(6, "::", 22),
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
    check(
        "connect unix /run/x.sock",
        Operation::Connect,
        Object::Unix(UnixSocket::Path(Name::Path(b"/run/x.sock".to_vec()))),
    );
    check(
        "listen unix @com.example",
        Operation::Listen,
        Object::Unix(UnixSocket::Abstract(b"com.example".to_vec())),
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
    let restricted = Operation::UserNamespace;
    check("restrict userNamespaces", restricted, Object::Anything);
    check("restrict usernamespaces", restricted, Object::Anything);
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
        ("restrict", "`restrict` needs a field such as `mounts`"),
        (
            "restrict ptraec",
            "unknown operation `restrict ptraec`, did you mean `ptrace`?",
        ),
        ("restrict bpf mounts", "unexpected `mounts`"),
        (
            "connect tcp 10.0.0.1",
            "`10.0.0.1` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443` (host names \
             are not resolved)",
        ),
        (
            "connect tcp fd00::1:70000",
            "`fd00::1:70000` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443` (host \
             names are not resolved)",
        ),
        (
            "connect tcp 10.0.0.1:65536",
            "port 65536 doesn't exist: ports are 0 to 65535",
        ),
        (
            "bind udp [fd00::1]:65536",
            "port 65536 doesn't exist: ports are 0 to 65535",
        ),
        (
            "connect tcp [fe80::1%2]:80",
            "`[fe80::1%2]:80` has a zone: write the address without `%...`",
        ),
        (
            "connect icmpv6 ::1",
            "`icmpv6` is judged as `icmp`: write that",
        ),
        (
            "connect tpc 10.0.0.1:1",
            "unknown protocol `tpc`, did you mean `tcp`?",
        ),
        (
            "connect quic 10.0.0.1:1",
            "unknown protocol `quic` (there are tcp, udp, sctp, icmp, and numbers up to 255)",
        ),
        (
            "socket pakcet raw",
            "unknown family `pakcet`, did you mean `packet`?",
        ),
        (
            "socket inet foo",
            "unknown type `foo` (there are stream, datagram, raw, seqpacket, and numbers up to \
             255)",
        ),
        (
            "capability FOO",
            "unknown capability `FOO`: capabilities(7) lists them",
        ),
        (
            "capability NET_RWA",
            "unknown capability `NET_RWA`, did you mean `NET_RAW`?",
        ),
    ] {
        assert_eq!(parse(words).unwrap_err().to_string(), message, "{words}");
    }
    let long = format!("exec {}", "x".repeat(300));
    assert_eq!(
        parse(&long).unwrap_err().to_string(),
        format!(
            "`{}...` is no canonical path: write it from `/` on",
            "x".repeat(80)
        )
    );
    assert_eq!(parse_request::<&str>(&[]), Err(RequestError::Empty));
}
