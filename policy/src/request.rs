//! Operations as words: `exec /usr/bin/apt --by /bin/sh`, `connect tcp 10.0.0.1:443`.
//!
//! One syntax for the command line and for the tests' tables of cases.

use std::net::{IpAddr, SocketAddr};

use bartizan_abi::op::{Category, Operation};

use crate::nearest::{nearest, suggestion};
use crate::operation::{Caller, Name, Object, Request};
use crate::{capability, socket};

/// The syntax, for help texts.
pub const SYNTAX: &str = "\
exec PATH                       run a program
map PATH                        map a file executable, as ld.so does
file OPERATION PATH [--owner]   read, write, append, truncate, create, delete, rename,
                                link, chmod or chown a file; --owner: the caller owns it
connect PROTOCOL ADDRESS:PORT   connect a socket (tcp, udp, sctp, icmp or a number)
bind PROTOCOL ADDRESS:PORT      bind a socket
send PROTOCOL ADDRESS:PORT      send to an address given with the message
socket FAMILY TYPE              create a socket (unix, inet, inet6, netlink, packet, ...;
                                stream, dgram, raw, seqpacket)
capability NAME                 use a capability, such as NET_RAW

With --by PATH the caller is that program; without, one that is in no `from` and no
`exceptFrom`. PATH is absolute, or `unnamed` for what has no name: a memfd, a deleted
file, a file of a foreign file system.";

/// Word for an object or caller without a name.
const UNNAMED: &str = "unnamed";

/// Why words are no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No words.
    #[error("no operation: write one such as `exec /usr/bin/apt`")]
    Empty,
    /// The first word.
    #[error("unknown operation `{word}`{suggestion}")]
    Operation {
        /// As written.
        word: String,
        /// The nearest, or all.
        suggestion: String,
    },
    /// Too few words.
    #[error("`{operation}` needs {what}")]
    Missing {
        /// The first word.
        operation: String,
        /// What comes next.
        what: &'static str,
    },
    /// A word too many.
    #[error("unexpected `{0}`")]
    Unexpected(String),
    /// A path that could not be a name in a container.
    #[error("`{path}` is no canonical path: {why}")]
    Path {
        /// As written.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Not `ADDRESS:PORT`.
    #[error("`{0}` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443`")]
    Address(String),
    /// Not a word or number of a table.
    #[error("unknown {what} `{word}`")]
    Word {
        /// What was expected.
        what: &'static str,
        /// As written.
        word: String,
    },
    /// A capability that doesn't exist.
    #[error("unknown capability `{word}`{hint}")]
    Capability {
        /// As written.
        word: String,
        /// The nearest, if one is near.
        hint: String,
    },
}

/// Parses the words of an operation; see [`SYNTAX`].
pub fn parse_request(words: &[&str]) -> Result<Request, RequestError> {
    let mut plain = Vec::new();
    let mut caller = Caller::Runtime;
    let mut owned = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--by" => {
                let path = rest.next().ok_or_else(|| missing("--by", "a PATH"))?;
                caller = Caller::Executable(name(path)?);
            }
            "--owner" => owned = true,
            word if word.starts_with("--by=") => {
                caller = Caller::Executable(name(&word["--by=".len()..])?);
            }
            word if word.starts_with("--") => {
                return Err(RequestError::Unexpected(word.to_owned()));
            }
            word => plain.push(word),
        }
    }
    let mut words = Words {
        words: plain.into_iter(),
        first: "",
    };
    let (operation, object) = words.operation(owned)?;
    if let Some(word) = words.words.next() {
        return Err(RequestError::Unexpected(word.to_owned()));
    }
    let is_file = matches!(object, Object::File { .. });
    if owned && !(is_file && operation.category() == Category::Files) {
        return Err(RequestError::Unexpected("--owner".to_owned()));
    }
    Ok(Request {
        operation,
        object,
        caller,
    })
}

fn missing(operation: &str, what: &'static str) -> RequestError {
    RequestError::Missing {
        operation: operation.to_owned(),
        what,
    }
}

struct Words<'a, I> {
    words: I,
    first: &'a str,
}

impl<'a, I: Iterator<Item = &'a str>> Words<'a, I> {
    fn take(&mut self, what: &'static str) -> Result<&'a str, RequestError> {
        self.words.next().ok_or_else(|| missing(self.first, what))
    }

    fn operation(&mut self, owned: bool) -> Result<(Operation, Object), RequestError> {
        const FIRST: [&str; 8] = [
            "exec",
            "map",
            "file",
            "connect",
            "bind",
            "send",
            "socket",
            "capability",
        ];
        self.first = self.words.next().ok_or(RequestError::Empty)?;
        Ok(match self.first.to_ascii_lowercase().as_str() {
            "exec" => (Operation::Exec, self.file(owned)?),
            "map" => (Operation::Map, self.file(owned)?),
            "file" => (self.file_operation()?, self.file(owned)?),
            "connect" => (Operation::Connect, self.address()?),
            "bind" => (Operation::Bind, self.address()?),
            "send" => (Operation::Send, self.address()?),
            "socket" => (Operation::Socket, self.socket()?),
            "capability" => (Operation::Capable, self.capability()?),
            _ => {
                return Err(RequestError::Operation {
                    word: self.first.to_owned(),
                    suggestion: suggestion(self.first, &FIRST),
                });
            }
        })
    }

    fn file(&mut self, owned: bool) -> Result<Object, RequestError> {
        Ok(Object::File {
            name: name(self.take("a PATH")?)?,
            owned,
        })
    }

    fn file_operation(&mut self) -> Result<Operation, RequestError> {
        let word = self.take("an operation such as `read` and a PATH")?;
        let files = Operation::ALL
            .iter()
            .filter(|op| op.category() == Category::Files);
        let words: Vec<&str> = files.clone().map(|op| op.name()).collect();
        files
            .copied()
            .find(|op| op.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| {
                let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
                let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
                RequestError::Operation {
                    word: format!("file {word}"),
                    suggestion: suggestion(word, &lower),
                }
            })
    }

    fn address(&mut self) -> Result<Object, RequestError> {
        let word = self.take("a protocol such as `tcp` and an ADDRESS:PORT")?;
        let protocol = number(word, "protocol", socket::protocol)?;
        let text = self.take("an ADDRESS:PORT")?;
        let (address, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(both), _) => (both.ip(), both.port()),
            // Ping has no ports.
            (_, Ok(address)) if socket::protocol_name(protocol) == Some("ICMP") => (address, 0),
            _ => return Err(RequestError::Address(text.to_owned())),
        };
        Ok(Object::Address {
            protocol,
            address: address.to_canonical(),
            port,
        })
    }

    fn socket(&mut self) -> Result<Object, RequestError> {
        let family = number(self.take("a FAMILY and a TYPE")?, "family", socket::family)?;
        let kind = number(self.take("a TYPE")?, "type", socket::kind)?;
        Ok(Object::Socket { family, kind })
    }

    fn capability(&mut self) -> Result<Object, RequestError> {
        let word = self.take("a NAME")?;
        let upper = word.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        capability::number(bare)
            .map(Object::Capability)
            .ok_or_else(|| RequestError::Capability {
                word: word.to_owned(),
                hint: nearest(bare, capability::NAMES)
                    .map(|name| format!(", did you mean `{name}`?"))
                    .unwrap_or_default(),
            })
    }
}

/// A word of a table, or a number.
fn number(
    word: &str,
    what: &'static str,
    table: fn(&str) -> Option<u8>,
) -> Result<u8, RequestError> {
    table(word)
        .or_else(|| word.parse().ok())
        .ok_or_else(|| RequestError::Word {
            what,
            word: word.to_owned(),
        })
}

fn name(path: &str) -> Result<Name, RequestError> {
    if path == UNNAMED {
        return Ok(Name::Unresolved);
    }
    let wrong = |why| {
        Err(RequestError::Path {
            path: path.to_owned(),
            why,
        })
    };
    let Some(relative) = path.strip_prefix('/') else {
        return wrong("write it from `/` on");
    };
    if path.contains('\0') {
        return wrong("it has a NUL");
    }
    if !relative.is_empty() {
        for component in relative.split('/') {
            match component {
                "" => return wrong("it has an empty component"),
                "." | ".." => return wrong("it has a `.` or `..`"),
                _ if component.len() > 255 => return wrong("a component is over 255 bytes long"),
                _ => {}
            }
        }
    }
    Ok(Name::Path(path.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
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
}
