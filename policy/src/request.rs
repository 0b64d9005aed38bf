//! Operations as words: `exec /usr/bin/apt --by /bin/sh`, `connect tcp 10.0.0.1:443`.
//!
//! One syntax for the command line and for the tests' tables of cases.

mod error;

use std::net::{IpAddr, SocketAddr};

use bartizan_abi::op::{Category, Operation};

use crate::nearest::{nearest, suggestion};
use crate::operation::{Caller, Name, Object, Request};
use crate::{capability, socket};

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
socket FAMILY TYPE              create a socket (unix, inet, inet6, netlink, packet, ...;
                                stream, dgram, raw, seqpacket)
capability NAME                 use a capability, such as NET_RAW

With --by PATH the caller is that program; without, one that is in no `from` and no
`exceptFrom`. PATH is absolute, or `unnamed` for what has no name: a memfd, a deleted
file, a file of a foreign file system.";

/// Word for an object or caller without a name.
const UNNAMED: &str = "unnamed";

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
mod tests;
