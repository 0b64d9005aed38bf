//! One concrete operation of one caller, as `explain`, the reference evaluator and
//! the test tables ask about it.

use std::net::IpAddr;

use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;

/// Something with or without a name in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Absolute path as the container's creator sees it, bytes without NUL: `/`, `/a/b`.
    Path(Vec<u8>),
    /// No such name: memfd, deleted, foreign file system.
    Unresolved,
}

/// A Unix socket by its name. Those without one are not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// The path of its file.
    Path(Name),
    /// The bytes of its abstract name.
    Abstract(Vec<u8>),
}

/// The calling executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A program of the container (or one without a name).
    Executable(Name),
    /// The runtime that starts the container: in no `from` and no `exceptFrom`.
    Runtime,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A file or program; with [`Operation`]s of the categories Process and Files.
    File {
        /// Its name.
        name: Name,
        /// The caller owns it.
        owned: bool,
    },
    /// An IP address; with Connect, Bind, Send, Listen, Accept.
    Address {
        /// IP protocol number (6 TCP, 17 UDP).
        protocol: u8,
        /// Address; IPv4-mapped IPv6 is judged as IPv4.
        address: IpAddr,
        /// Port.
        port: u16,
    },
    /// A Unix socket; with the same.
    Unix(UnixSocket),
    /// A new socket; with Socket.
    Socket {
        /// `AF_*`
        family: u8,
        /// `SOCK_*`
        kind: u8,
    },
    /// A capability number; with Capable.
    Capability(u8),
    /// Whatever it is; with operations of the category Restrict.
    Anything,
}

/// One operation to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is done.
    pub operation: Operation,
    /// To what.
    pub object: Object,
    /// By whom.
    pub caller: Caller,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ends. `Unresolved` where it goes on but its object has no name, and
    /// the rule map has a rule or default for the operation's category.
    pub outcome: Outcome,
    /// The rule that decided, as its number in the rule map. `None` for Allow.
    pub rule: Option<usize>,
}
