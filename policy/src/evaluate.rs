//! What a compiled table says of an operation, found exactly as the kernel finds it.
//!
//! The walk and the decision are the code in `bartizan_abi`; only where a name's bytes
//! come from is different. Any bytes are a table here: reads beyond its end give zeroes
//! and every loop is bounded, so a damaged table gives wrong answers, not a crash. See
//! [`check_table`] for refusing one.

mod check;
mod path;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_abi::address::{Address, abstract_start, capability_row, socket_row};
use bartizan_abi::automaton::{match_name, row_of, start};
use bartizan_abi::op::{Category, Operation};
use bartizan_abi::rows::{defaults, is_settled, masks, record_at, rule, unresolved_defaults};
use bartizan_abi::table::{
    At, Automaton, Bytes, NO_RULE, SUBJECT_RUNTIME, SUBJECT_UNRESOLVED, Table, header,
};
use bartizan_abi::verdict::{Outcome, decide};
use bartizan_abi::walk::{Classes, leaf_rows};

use self::path::{NameWords, PathCursor};
use crate::operation::{Caller, Name, Object, Request, UnixSocket, Verdict};

pub use check::{TableError, check_table};

/// Decides one operation by a table.
pub fn evaluate(table: &[u8], request: &Request) -> Verdict {
    let table = Bytes(table);
    let operation = request.operation;
    let allowed = Verdict {
        outcome: Outcome::Allow,
        rule: None,
    };
    let Some(rows) = object_rows(table, operation, &request.object) else {
        return allowed;
    };
    let [row, leaf] = rows.numbers;
    if !rows.unresolved && is_settled(table, row, leaf, operation.bit()) {
        return allowed;
    }
    let subject = subject(table, &request.caller);
    let owned = matches!(request.object, Object::File { owned: true, .. });
    let records = rows
        .numbers
        .map(|row| record_at(table, row, subject, || owned));
    let said = masks(table, records[0]).union(masks(table, records[1]));
    let default = if rows.unresolved {
        unresolved_defaults(table)
    } else {
        defaults(table)
    };
    let outcome = decide(said, default, operation.bit()).outcome;
    let judged = table.header().u32(header::JUDGED) & u64::from(operation.bit()) != 0;
    if outcome == Outcome::Allow && rows.unresolved && judged {
        return Verdict {
            outcome: Outcome::Unresolved,
            rule: None,
        };
    }
    let rule = rule(table, records, outcome, operation);
    Verdict {
        outcome,
        rule: (rule != u64::from(NO_RULE)).then_some(rule as usize),
    }
}

/// Rows of an object; two of them, whose masks are united.
struct Rows {
    numbers: [u64; 2],
    unresolved: bool,
}

impl Rows {
    fn one(row: u64) -> Self {
        Self {
            numbers: [row, 0],
            unresolved: false,
        }
    }
}

/// `None` if the operation isn't done to such objects.
fn object_rows(table: Bytes<'_>, operation: Operation, object: &Object) -> Option<Rows> {
    Some(match (operation.category(), object) {
        (Category::Process, Object::File { name, .. }) => {
            file_rows(table, Automaton::Process, name)
        }
        (Category::Files, Object::File { name, .. }) => file_rows(table, Automaton::Files, name),
        (
            Category::Network,
            Object::Address {
                protocol,
                address,
                port,
            },
        ) if operation != Operation::Socket => {
            Rows::one(judged_address(operation, *protocol, *address, *port).row(table))
        }
        (Category::Network, Object::Unix(UnixSocket::Path(name)))
            if operation != Operation::Socket =>
        {
            file_rows(table, Automaton::Files, name)
        }
        (Category::Network, Object::Unix(UnixSocket::Abstract(name)))
            if operation != Operation::Socket =>
        {
            Rows::one(abstract_row(table, name))
        }
        (Category::Network, Object::Socket { family, kind }) if operation == Operation::Socket => {
            Rows::one(socket_row(table, u32::from(*family), u32::from(*kind)))
        }
        (Category::Capabilities, Object::Capability(number)) => {
            Rows::one(capability_row(table, u32::from(*number)))
        }
        (Category::Restrict, Object::Anything) => {
            Rows::one(table.header().u32(header::RESTRICT_ROW))
        }
        _ => return None,
    })
}

fn file_rows(table: Bytes<'_>, automaton: Automaton, name: &Name) -> Rows {
    named_rows(table, automaton, name).unwrap_or_else(|| {
        let row = table
            .header()
            .u32(header::UNRESOLVED_ROWS + automaton as u32 * 4);
        Rows {
            numbers: [row, 0],
            unresolved: true,
        }
    })
}

/// Rows of a path and of its leaf; `None` if it has no name that can be judged.
fn named_rows(table: Bytes<'_>, automaton: Automaton, name: &Name) -> Option<Rows> {
    let Name::Path(path) = name else { return None };
    let components = path::components(path)?;
    let cursor = PathCursor::new(table, &components);
    let mut classes = Classes::new();
    let found = classes.classify(cursor)?;
    let start = start(table, automaton);
    if found.depth == 0 {
        return Some(Rows::one(row_of(table, start)));
    }
    let row = classes.row(cursor, start, found.depth)?;
    let leaf = match (automaton, leaf_rows(table, found.leaf)) {
        (Automaton::Process, (process, _)) => process,
        (Automaton::Files, (_, files)) => files,
        _ => 0,
    };
    Some(Rows {
        numbers: [row, leaf],
        unresolved: false,
    })
}

fn abstract_row(table: Bytes<'_>, name: &[u8]) -> u64 {
    let start = abstract_start(table);
    if start == 0 {
        return 0;
    }
    match_name(table, NameWords(name), name.len() as u64, start)
        .expect("bytes in memory can be read")
}

fn subject(table: Bytes<'_>, caller: &Caller) -> u64 {
    if table.header().u32(header::SUBJECTS) <= 1 {
        return 0;
    }
    match caller {
        Caller::Runtime => SUBJECT_RUNTIME,
        Caller::Executable(name) => named_rows(table, Automaton::Subject, name)
            .map_or(SUBJECT_UNRESOLVED, |rows| rows.numbers[0]),
    }
}

/// An address as the kernel programs judge it.
fn judged_address(operation: Operation, protocol: u8, address: IpAddr, port: u16) -> Address {
    let goes_there = matches!(operation, Operation::Connect | Operation::Send);
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match address {
        IpAddr::V4(v4) => {
            let v4 = if goes_there && v4.is_unspecified() {
                Ipv4Addr::LOCALHOST
            } else {
                v4
            };
            let high = u64::from(u32::from(v4)) << 32;
            Address {
                protocol,
                v6: false,
                high,
                low: 0,
                port,
            }
        }
        IpAddr::V6(v6) => {
            let v6 = if goes_there && v6.is_unspecified() {
                Ipv6Addr::LOCALHOST
            } else {
                v6
            };
            let bits = u128::from(v6);
            Address {
                protocol,
                v6: true,
                high: (bits >> 64) as u64,
                low: bits as u64,
                port,
            }
        }
    }
}
