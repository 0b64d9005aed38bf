//! Decodes the kernel's ring-buffer records.
//!
//! The bytes come from the kernel and are still not trusted: every length is
//! checked, unknown numbers are errors, and nothing here can panic (a fuzz target
//! calls [`decode`]). The result is typed but knows only numbers; [`crate::report`]
//! gives them names.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_abi::event::{Event, PATH_ABSTRACT, PATH_CUT, PATH_NONE, PATH_UNRESOLVED, PathBytes};
use bartizan_abi::op::{ADDRESS_OPS, Operation};
use bartizan_abi::table::NO_RULE;
use bartizan_abi::verdict::Outcome;

/// Bytes that [`decode`] expects.
pub const EVENT_SIZE: usize = size_of::<Event>();

/// One decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// Generation of the binding that decided.
    pub generation: u64,
    /// Workload number.
    pub workload: u32,
    /// Table number.
    pub table: u32,
    /// Rule number in that table's rule map.
    pub rule: Option<u16>,
    /// What was tried.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// What it was tried on.
    pub target: Target,
    /// The calling executable.
    pub executable: Option<Path>,
    /// The parent's executable.
    pub parent_executable: Option<Path>,
}

/// The object of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, a program, or a Unix socket by its path.
    File(Option<Path>),
    /// An IP address.
    Address {
        /// IP protocol number; 0 for those above 255.
        protocol: u8,
        /// Address.
        address: IpAddr,
        /// Port, host byte order.
        port: u16,
    },
    /// A Unix socket's abstract name.
    Abstract(Vec<u8>),
    /// A new socket.
    Socket {
        /// `AF_*`
        family: u16,
        /// `SOCK_*`
        kind: u16,
    },
    /// A capability number.
    Capability(u32),
    /// Another process, by its id in the initial pid namespace.
    Process(u32),
    /// A command of `bpf(2)`.
    BpfCommand(u32),
}

/// A path as the kernel found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Number of the mount point it starts at; without meaning if `unresolved`.
    pub mount: u32,
    /// It has no name in the container: the components are the file system's own.
    pub unresolved: bool,
    /// Components at the root's end are missing.
    pub cut: bool,
    /// Root to leaf; none of them empty.
    pub components: Vec<Vec<u8>>,
}

/// Bytes that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the size of an event.
    #[error("the record has {0} bytes, not {EVENT_SIZE}")]
    Size(usize),
    /// No such operation.
    #[error("unknown operation {0}")]
    Operation(u8),
    /// No such outcome.
    #[error("unknown outcome {0}")]
    Outcome(u8),
    /// A path longer than its buffer.
    #[error("a path of {0} bytes")]
    PathLength(u32),
}

impl DecodeError {
    /// The error's kind as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Size(_) => "Size",
            Self::Operation(_) => "Operation",
            Self::Outcome(_) => "Outcome",
            Self::PathLength(_) => "PathLength",
        }
    }
}

/// Decodes the bytes of a [`bartizan_abi::event::Event`].
pub fn decode(bytes: &[u8]) -> Result<Denial, DecodeError> {
    if bytes.len() != EVENT_SIZE {
        return Err(DecodeError::Size(bytes.len()));
    }
    let record = Record(bytes);
    let number = record.u8(offset_of!(Event, operation));
    let operation = Operation::from_number(number).ok_or(DecodeError::Operation(number))?;
    let rule = record.u16(offset_of!(Event, rule));
    Ok(Denial {
        time: record.u64(offset_of!(Event, time)),
        generation: record.u64(offset_of!(Event, generation)),
        workload: record.u32(offset_of!(Event, workload)),
        table: record.u32(offset_of!(Event, table)),
        rule: (rule != NO_RULE).then_some(rule),
        operation,
        outcome: outcome(record.u8(offset_of!(Event, outcome)))?,
        pid: record.u32(offset_of!(Event, pid)),
        uid: record.u32(offset_of!(Event, uid)),
        target: record.target(operation)?,
        executable: record.path(offset_of!(Event, executable))?,
        parent_executable: record.path(offset_of!(Event, parent_executable))?,
    })
}

/// The outcome with that number.
pub fn outcome(number: u8) -> Result<Outcome, DecodeError> {
    use Outcome::{Allow, Audit, Deny, Unresolved, WouldDeny};
    [Allow, Deny, WouldDeny, Audit, Unresolved]
        .into_iter()
        .find(|outcome| *outcome as u8 == number)
        .ok_or(DecodeError::Outcome(number))
}

/// A record's bytes; reads beyond the end give zeroes.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn read<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0
            .get(offset..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .unwrap_or([0; N])
    }

    fn u8(&self, offset: usize) -> u8 {
        u8::from_ne_bytes(self.read(offset))
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_ne_bytes(self.read(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.read(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.read(offset))
    }

    fn target(&self, operation: Operation) -> Result<Target, DecodeError> {
        let detail = self.u32(offset_of!(Event, detail));
        Ok(match operation {
            Operation::Socket => Target::Socket {
                family: detail as u16,
                kind: (detail >> 16) as u16,
            },
            Operation::Capable => Target::Capability(detail),
            Operation::Ptrace => Target::Process(detail),
            Operation::Bpf => Target::BpfCommand(detail),
            op if op.bit() & ADDRESS_OPS != 0 && !self.has_target_path() => {
                let high = self.u64(offset_of!(Event, high));
                let low = self.u64(offset_of!(Event, low));
                let address = if detail >> 24 == 0 {
                    IpAddr::V4(Ipv4Addr::from((high >> 32) as u32))
                } else {
                    IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)))
                };
                Target::Address {
                    protocol: (detail >> 16) as u8,
                    address,
                    port: detail as u16,
                }
            }
            _ if self.target_flags() & PATH_ABSTRACT != 0 => {
                Target::Abstract(self.path_bytes(offset_of!(Event, target))?.to_vec())
            }
            _ => Target::File(self.path(offset_of!(Event, target))?),
        })
    }

    fn target_flags(&self) -> u32 {
        self.u32(offset_of!(Event, target) + offset_of!(PathBytes, flags))
    }

    fn has_target_path(&self) -> bool {
        self.target_flags() & PATH_NONE == 0
    }

    fn path_bytes(&self, at: usize) -> Result<&[u8], DecodeError> {
        let len = self.u32(at + offset_of!(PathBytes, len));
        let start = at + offset_of!(PathBytes, bytes);
        let room = size_of::<PathBytes>() - offset_of!(PathBytes, bytes);
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= room)
            .and_then(|len| self.0.get(start..start + len))
            .ok_or(DecodeError::PathLength(len))
    }

    fn path(&self, at: usize) -> Result<Option<Path>, DecodeError> {
        let flags = self.u32(at + offset_of!(PathBytes, flags));
        if flags & PATH_NONE != 0 {
            return Ok(None);
        }
        let bytes = self.path_bytes(at)?;
        // A file system's root has the name `/`, which is no component.
        let mut components: Vec<Vec<u8>> = bytes
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty() && *name != b"/")
            .map(<[u8]>::to_vec)
            .collect();
        components.reverse();
        Ok(Some(Path {
            mount: self.u32(at + offset_of!(PathBytes, mount)),
            unresolved: flags & PATH_UNRESOLVED != 0,
            cut: flags & PATH_CUT != 0,
            components,
        }))
    }
}

#[cfg(test)]
mod tests;
