//! Symbols of the path automata: literals and sets of globs that no state tells apart
//! are one.

use std::collections::BTreeMap;

use super::automaton::Automaton;
use super::intern::Interner;
use super::path::SET;

/// Numbers of symbols. 0 is a name that nothing is known of.
pub(super) struct Symbols {
    /// By literal; never 0, which would have the name's bytes looked at.
    pub(super) literals: Vec<u32>,
    /// By set of units.
    pub(super) sets: Vec<u32>,
    /// One more than the highest.
    pub(super) count: u32,
}

/// Renames the symbols of all path automata at once, as few and as dense as possible.
pub(super) fn assign(automata: &mut [Automaton], literals: usize, sets: usize) -> Symbols {
    let mut uses: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut state_number = 0;
    for automaton in automata.iter() {
        for state in &automaton.states {
            for &(symbol, next) in &state.edges {
                let of_symbol = uses.entry(symbol).or_insert_with(|| {
                    order.push(symbol);
                    Vec::new()
                });
                of_symbol.extend([state_number, next]);
            }
            state_number += 1;
        }
    }
    // Symbols that are used in the same states get neighbouring numbers.
    let mut columns = Interner::new();
    columns.number(Vec::new());
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for symbol in order {
        numbers.insert(
            symbol,
            columns.number(uses.remove(&symbol).unwrap_or_default()),
        );
    }
    let mut count = columns.len() as u32;
    let mut without_edges = None;
    let literals = (0..literals as u32)
        .map(|literal| {
            numbers.get(&literal).copied().unwrap_or_else(|| {
                *without_edges.get_or_insert_with(|| {
                    count += 1;
                    count - 1
                })
            })
        })
        .collect();
    let sets = (0..sets as u32)
        .map(|set| numbers.get(&(SET | set)).copied().unwrap_or(0))
        .collect();
    for automaton in automata {
        for state in &mut automaton.states {
            for edge in &mut state.edges {
                edge.0 = numbers[&edge.0];
            }
            state.edges.sort_unstable();
            state.edges.dedup();
        }
    }
    Symbols {
        literals,
        sets,
        count,
    }
}
