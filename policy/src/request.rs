//! Operations as words: `exec /usr/bin/apt --by /bin/sh`, `connect tcp 10.0.0.1:443`.
//!
//! One syntax for the command line and for the tests' tables of cases.

mod error;

use std::net::{IpAddr, SocketAddr};

use bartizan_abi::op::{Category, Operation};

use crate::excerpt::excerpt;
use crate::nearest::{nearest, suggestion};
use crate::operation::{Caller, Name, Object, Request, UnixSocket};
use crate::printable::push_path;
use crate::{capability, restriction, socket};

pub use error::RequestError;

/// The syntax, for help texts.
pub const SYNTAX: &str = "\
exec PATH                       run a program
map PATH                        map a file executable, as ld.so does
file OPERATION PATH [--owner]   read, write, append, truncate, create, delete, rename,
                                link, chmod or chown a file; --owner: the caller owns it
connect PROTOCOL ADDRESS:PORT   connect a socket (tcp, udp, sctp, icmp or a number)
bind PROTOCOL ADDRESS:PORT      bind a socket
send PROTOCOL ADDRESS:PORT      send to an address given with the message
listen PROTOCOL ADDRESS:PORT    let a socket with that address listen
accept PROTOCOL ADDRESS:PORT    take a connection at the address of a listening socket
... unix NAME                   the same with a Unix socket, by its PATH or, behind an @,
                                its abstract name
socket FAMILY TYPE              create a socket (unix, inet, inet6, netlink, packet, ...;
                                stream, dgram, raw, seqpacket)
capability NAME                 use a capability, such as NET_RAW
restrict FIELD                  do what a field of `restrict` can deny: mounts, ptrace, bpf,
                                userNamespaces, moduleLoad, ioUring

With --by PATH the caller is that program; without, one that is in no `from` and no
`exceptFrom`. PATH is absolute, or `unnamed` for what has no name: a memfd, a deleted
file, a file of a foreign file system.";

/// Word for an object or caller without a name.
const UNNAMED: &str = "unnamed";

/// Parses the words of an operation; see [`SYNTAX`].
///
/// Words are bytes, because paths are.
pub fn parse_request<W: AsRef<[u8]>>(words: &[W]) -> Result<Request, RequestError> {
    let mut plain = Vec::new();
    let mut caller = Caller::Runtime;
    let mut owned = false;
    let mut rest = words.iter().map(AsRef::as_ref);
    while let Some(word) = rest.next() {
        match word {
            b"--by" => {
                let path = rest.next().ok_or_else(|| missing("--by", "a PATH"))?;
                caller = Caller::Executable(name(path)?);
            }
            b"--owner" => owned = true,
            word if let Some(path) = word.strip_prefix(b"--by=") => {
                caller = Caller::Executable(name(path)?);
            }
            word if word.starts_with(b"--") => {
                return Err(RequestError::Unexpected(shown(word)));
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
        return Err(RequestError::Unexpected(shown(word)));
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

impl<'a, I: Iterator<Item = &'a [u8]>> Words<'a, I> {
    fn take(&mut self, what: &'static str) -> Result<&'a [u8], RequestError> {
        self.words.next().ok_or_else(|| missing(self.first, what))
    }

    /// A word that is no path.
    fn take_text(&mut self, what: &'static str) -> Result<&'a str, RequestError> {
        text(self.take(what)?)
    }

    fn operation(&mut self, owned: bool) -> Result<(Operation, Object), RequestError> {
        const FIRST: [&str; 11] = [
            "exec",
            "map",
            "file",
            "connect",
            "bind",
            "send",
            "listen",
            "accept",
            "socket",
            "capability",
            "restrict",
        ];
        self.first = text(self.words.next().ok_or(RequestError::Empty)?)?;
        Ok(match self.first.to_ascii_lowercase().as_str() {
            "exec" => (Operation::Exec, self.file(owned)?),
            "map" => (Operation::Map, self.file(owned)?),
            "file" => (self.file_operation()?, self.file(owned)?),
            "connect" => (Operation::Connect, self.address()?),
            "bind" => (Operation::Bind, self.address()?),
            "send" => (Operation::Send, self.address()?),
            "listen" => (Operation::Listen, self.address()?),
            "accept" => (Operation::Accept, self.address()?),
            "socket" => (Operation::Socket, self.socket()?),
            "capability" => (Operation::Capable, self.capability()?),
            "restrict" => (self.restricted()?, Object::Anything),
            _ => {
                return Err(RequestError::Operation {
                    word: excerpt(self.first).into_owned(),
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
        let word = self.take_text("an operation such as `read` and a PATH")?;
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
                    word: format!("file {}", excerpt(word)),
                    suggestion: suggestion(word, &lower),
                }
            })
    }

    fn restricted(&mut self) -> Result<Operation, RequestError> {
        let word = self.take_text("a field such as `mounts`")?;
        let mut fields = restriction::FIELDS.iter();
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(word));
        field.map(|(_, operation)| *operation).ok_or_else(|| {
            let known: Vec<&str> = restriction::fields().collect();
            RequestError::Operation {
                word: format!("restrict {}", excerpt(word)),
                suggestion: suggestion(word, &known),
            }
        })
    }

    fn address(&mut self) -> Result<Object, RequestError> {
        let word = self.take_text("a protocol such as `tcp` and an ADDRESS:PORT")?;
        if word.eq_ignore_ascii_case("unix") {
            let word = self.take("a PATH or an @NAME")?;
            return Ok(Object::Unix(match word.strip_prefix(b"@") {
                Some(name) => UnixSocket::Abstract(name.to_vec()),
                None => UnixSocket::Path(name(word)?),
            }));
        }
        if ["icmpv6", "icmp6", "ipv6-icmp"].contains(&word.to_ascii_lowercase().as_str()) {
            return Err(RequestError::Icmpv6(word.to_owned()));
        }
        let protocol = number(word, "protocol", socket::protocol, &socket::protocols())?;
        let text = self.take_text("an ADDRESS:PORT")?;
        let (address, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            _ if text.contains('%') => return Err(RequestError::Zone(excerpt(text).into_owned())),
            (Ok(both), _) => (both.ip(), both.port()),
            // Ping has no ports.
            (_, Ok(address)) if socket::protocol_name(protocol) == Some("ICMP") => (address, 0),
            _ => return Err(no_address(text)),
        };
        Ok(Object::Address {
            protocol,
            address: address.to_canonical(),
            port,
        })
    }

    fn socket(&mut self) -> Result<Object, RequestError> {
        let family = self.take_text("a FAMILY and a TYPE")?;
        let family = number(family, "family", socket::family, &socket::families())?;
        let kind = self.take_text("a TYPE")?;
        let kind = number(kind, "type", socket::kind, &socket::kinds())?;
        Ok(Object::Socket { family, kind })
    }

    fn capability(&mut self) -> Result<Object, RequestError> {
        let word = self.take_text("a NAME")?;
        let upper = word.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        capability::number(bare)
            .map(Object::Capability)
            .ok_or_else(|| RequestError::Capability {
                word: excerpt(word).into_owned(),
                hint: match nearest(bare, capability::NAMES) {
                    Some(name) => format!(", did you mean `{name}`?"),
                    None => ": capabilities(7) lists them".to_owned(),
                },
            })
    }
}

/// A word as messages repeat it.
fn shown(word: &[u8]) -> String {
    let mut text = String::new();
    push_path(&mut text, word);
    excerpt(&text).into_owned()
}

fn text(word: &[u8]) -> Result<&str, RequestError> {
    std::str::from_utf8(word).map_err(|_invalid| RequestError::NoText(shown(word)))
}

/// A word of a table, or a number.
fn number(
    word: &str,
    what: &'static str,
    table: fn(&str) -> Option<u8>,
    words: &[String],
) -> Result<u8, RequestError> {
    table(word)
        .or_else(|| word.parse().ok())
        .ok_or_else(|| RequestError::Word {
            what,
            word: excerpt(word).into_owned(),
            hint: match nearest(word, words.iter().map(String::as_str)) {
                Some(near) => format!(", did you mean `{near}`?"),
                None => format!(" (there are {}, and numbers up to 255)", words.join(", ")),
            },
        })
}

/// What is wrong with an address and port.
fn no_address(text: &str) -> RequestError {
    if let Some((address, port)) = text.rsplit_once(':')
        && address
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_ipv4() || address.starts_with('['))
        && !port.is_empty()
        && port.bytes().all(|c| c.is_ascii_digit())
    {
        return RequestError::Port(excerpt(port).into_owned());
    }
    RequestError::Address(excerpt(text).into_owned())
}

fn name(path: &[u8]) -> Result<Name, RequestError> {
    if path == UNNAMED.as_bytes() {
        return Ok(Name::Unresolved);
    }
    let wrong = |why| {
        Err(RequestError::Path {
            path: shown(path),
            why,
        })
    };
    let Some(relative) = path.strip_prefix(b"/") else {
        return wrong("write it from `/` on");
    };
    if path.contains(&0) {
        return wrong("it has a NUL");
    }
    if !relative.is_empty() {
        for component in relative.split(|&byte| byte == b'/') {
            match component {
                b"" => return wrong("it has an empty component"),
                b"." | b".." => return wrong("it has a `.` or `..`"),
                _ if component.len() > 255 => return wrong("a component is over 255 bytes long"),
                _ => {}
            }
        }
    }
    Ok(Name::Path(path.to_vec()))
}

#[cfg(test)]
mod tests;
