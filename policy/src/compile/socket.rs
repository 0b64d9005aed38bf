//! The socket automaton: one symbol, the kind of a new socket.

use std::collections::BTreeMap;

use bartizan_abi::address::socket_symbol;

use super::automaton::{Automaton, State};
use super::effect::Tag;
use crate::rule_map::SocketKind;

/// Number of symbols.
pub(super) const ALPHABET: u32 = 1024;

const UNIX: u8 = 1;
const INET: u8 = 2;
const INET6: u8 = 10;
const NETLINK: u8 = 16;
const STREAM: u8 = 1;
const DATAGRAM: u8 = 2;
/// Families and types have fewer values than this in every kernel.
const FAMILIES: u8 = 64;
const TYPES: u8 = 16;

/// The automaton of all rules. `exempt` is the tag that takes sockets out of a default
/// of Deny: those that are judged by address, and those that stay on the machine.
pub(super) fn automaton(
    rules: &[(Tag, &[SocketKind])],
    exempt: Option<Tag>,
    mut row: impl FnMut(Vec<Tag>) -> u32,
) -> Automaton {
    let mut by_symbol: BTreeMap<u32, Vec<Tag>> = BTreeMap::new();
    let mut add = |family: u8, kind: u8, tag: Tag| {
        let symbol = socket_symbol(u32::from(family), u32::from(kind)) as u32;
        by_symbol.entry(symbol).or_default().push(tag);
    };
    for &(tag, kinds) in rules {
        for kind in kinds {
            match *kind {
                SocketKind::Family(family) if family < FAMILIES => {
                    (0..TYPES).for_each(|kind| add(family, kind, tag));
                }
                SocketKind::IpType(kind) if kind < TYPES => {
                    add(INET, kind, tag);
                    add(INET6, kind, tag);
                }
                // The kernel has no such sockets.
                SocketKind::Family(_) | SocketKind::IpType(_) => {}
            }
        }
    }
    if let Some(tag) = exempt {
        for family in [UNIX, NETLINK] {
            (0..TYPES).for_each(|kind| add(family, kind, tag));
        }
        for family in [INET, INET6] {
            add(family, STREAM, tag);
            add(family, DATAGRAM, tag);
        }
    }
    // State 0 reads the symbol, state 1 is any other socket.
    let mut states = vec![
        State {
            default: 1,
            ..State::default()
        },
        State {
            default: 1,
            ..State::default()
        },
    ];
    let mut by_row: BTreeMap<u32, u32> = BTreeMap::from([(0, 1)]);
    for (symbol, tags) in by_symbol {
        let row = row(tags);
        let next = *by_row.entry(row).or_insert(states.len() as u32);
        if next == states.len() as u32 {
            states.push(State {
                row,
                default: next,
                ..State::default()
            });
        }
        if next != 1 {
            states[0].edges.push((symbol, next));
        }
    }
    Automaton {
        states,
        starts: vec![0],
    }
}
