//! Paths, addresses, sockets and capabilities as policies and `explain` write them.

use bartizan_policy::printable::push_path;
use bartizan_policy::{capability, socket};

use crate::events::{Path, Target};

/// A path with its mount point in front.
///
/// `...` in front stands for components that were cut, `?` for the root of a file
/// system that has no place in the container. Bytes that are not UTF-8 are `\xNN`, a
/// backslash is `\\`.
pub fn path_text<'a>(path: &Path, point: impl Fn(u32) -> Option<&'a [u8]>) -> String {
    let mut text = String::new();
    let known = if path.unresolved {
        None
    } else {
        point(path.mount)
    };
    match known {
        None => text.push('?'),
        Some(_) if path.cut => {}
        Some(point) if point == b"/" => {}
        Some(point) => push_path(&mut text, point),
    }
    if path.cut {
        text.push_str("...");
    }
    for component in &path.components {
        text.push('/');
        push_path(&mut text, component);
    }
    if text.is_empty() {
        text.push('/');
    }
    text
}

/// The object of an operation; `None` for a file that the kernel had no path of, and for
/// operations that have none.
pub fn target_text<'a>(target: &Target, point: impl Fn(u32) -> Option<&'a [u8]>) -> Option<String> {
    Some(match target {
        Target::File(path) => path_text(path.as_ref()?, point),
        Target::Address {
            protocol,
            address,
            port,
        } => {
            let name = socket::protocol_name(*protocol).map(str::to_lowercase);
            let name = name.unwrap_or_else(|| format!("protocol {protocol}"));
            format!("{name} {}", std::net::SocketAddr::new(*address, *port))
        }
        Target::Abstract(name) => {
            let mut text = "@".to_owned();
            push_path(&mut text, name);
            text
        }
        Target::Socket { family, kind } => {
            let name = |known: Option<&str>, number: u16| {
                known.map_or_else(|| number.to_string(), str::to_owned)
            };
            let of = |number: u16, names: fn(u8) -> Option<&'static str>| {
                name(u8::try_from(number).ok().and_then(names), number)
            };
            format!(
                "{} {}",
                of(*family, socket::family_name),
                of(*kind, socket::kind_name)
            )
        }
        Target::Capability(number) => u8::try_from(*number)
            .ok()
            .and_then(capability::name)
            .map_or_else(|| number.to_string(), str::to_owned),
        Target::Process(id) => format!("process {id}"),
        Target::BpfCommand(number) => format!("command {number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(number: u32) -> Option<&'static [u8]> {
        [&b"/"[..], b"/data"].get(number as usize).copied()
    }

    fn path(mount: u32, components: &[&[u8]]) -> Path {
        Path {
            mount,
            unresolved: false,
            cut: false,
            components: components.iter().map(|name| name.to_vec()).collect(),
        }
    }

    #[test]
    fn a_path_has_its_mount_point_in_front() {
        assert_eq!(path_text(&path(0, &[b"usr", b"bin"]), points), "/usr/bin");
        assert_eq!(path_text(&path(1, &[b"x"]), points), "/data/x");
        assert_eq!(path_text(&path(1, &[]), points), "/data");
        assert_eq!(path_text(&path(0, &[]), points), "/");
    }

    #[test]
    fn what_is_missing_is_marked() {
        let cut = Path {
            cut: true,
            ..path(1, &[b"a", b"b"])
        };
        assert_eq!(path_text(&cut, points), ".../a/b");
        let nameless = Path {
            unresolved: true,
            ..path(1, &[b"memfd:x"])
        };
        assert_eq!(path_text(&nameless, points), "?/memfd:x");
        assert_eq!(path_text(&path(9, &[b"x"]), points), "?/x");
    }

    #[test]
    fn odd_bytes_are_escaped() {
        let odd = path(0, &[b"a\\b", b"\xff\xc3\xa4"]);
        assert_eq!(path_text(&odd, points), "/a\\\\b/\\xff\u{e4}");
    }

    #[test]
    fn other_targets_read_as_explain_takes_them() {
        let text = |target| target_text(&target, points);
        let address = |protocol, address: &str, port| Target::Address {
            protocol,
            address: address.parse().unwrap(),
            port,
        };
        assert_eq!(
            text(address(6, "10.0.0.1", 443)).unwrap(),
            "tcp 10.0.0.1:443"
        );
        assert_eq!(
            text(address(17, "fd00::1", 53)).unwrap(),
            "udp [fd00::1]:53"
        );
        assert_eq!(
            text(address(99, "10.0.0.1", 0)).unwrap(),
            "protocol 99 10.0.0.1:0"
        );
        assert_eq!(
            text(Target::Socket {
                family: 17,
                kind: 3
            })
            .unwrap(),
            "Packet Raw"
        );
        assert_eq!(
            text(Target::Socket {
                family: 300,
                kind: 9
            })
            .unwrap(),
            "300 9"
        );
        assert_eq!(
            text(Target::Abstract(b"x\\\xff".to_vec())).unwrap(),
            r"@x\\\xff"
        );
        assert_eq!(text(Target::Capability(13)).unwrap(), "NET_RAW");
        assert_eq!(text(Target::Process(42)).unwrap(), "process 42");
        assert_eq!(text(Target::BpfCommand(5)).unwrap(), "command 5");
        assert_eq!(text(Target::File(None)), None);
    }
}
