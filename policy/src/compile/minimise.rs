//! The smallest automaton that does the same.
//!
//! Partition refinement: states start in one block per row and are split as long as two
//! of a block go to different blocks. Only states with a successor that moved are looked
//! at again, and the largest part of a block stays where it can.

use std::collections::BTreeMap;

use super::automaton::{Automaton, State};

/// Merges states that no input tells apart, and drops those that none reaches.
///
/// Requires that the symbol 0, or another one that no state has an edge for, leads to
/// each state's default: defaults are then part of what a state does.
pub(super) fn minimise(automaton: &Automaton) -> Automaton {
    let states = &automaton.states;
    let block = refine(states);
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    let mut order: Vec<u32> = Vec::new();
    let mut number = |state: u32, order: &mut Vec<u32>| {
        *numbers.entry(block[state as usize]).or_insert_with(|| {
            order.push(state);
            order.len() as u32 - 1
        })
    };
    let starts = automaton
        .starts
        .iter()
        .map(|&start| number(start, &mut order))
        .collect();
    let mut smallest = Vec::new();
    while let Some(&state) = order.get(smallest.len()) {
        let old = &states[state as usize];
        let default = number(old.default, &mut order);
        let edges = old
            .edges
            .iter()
            .map(|&(symbol, next)| (symbol, number(next, &mut order)))
            .filter(|edge| edge.1 != default)
            .collect();
        smallest.push(State {
            row: old.row,
            default,
            edges,
            gates: old.gates,
        });
    }
    Automaton {
        states: smallest,
        starts,
    }
}

/// The block of every state.
fn refine(states: &[State]) -> Vec<u32> {
    let before = Predecessors::new(states);
    let mut first = BTreeMap::new();
    let mut block: Vec<u32> = Vec::with_capacity(states.len());
    let mut sizes: Vec<usize> = Vec::new();
    for state in states {
        let next = first.len() as u32;
        let number = *first.entry((state.row, state.gates)).or_insert(next);
        if number == next && sizes.len() <= number as usize {
            sizes.push(0);
        }
        sizes[number as usize] += 1;
        block.push(number);
    }
    let mut dirty: Vec<u32> = (0..states.len() as u32).collect();
    while !dirty.is_empty() {
        let mut signed: Vec<(u32, Vec<u32>, u32)> = dirty
            .iter()
            .map(|&state| {
                (
                    block[state as usize],
                    signature(&states[state as usize], &block),
                    state,
                )
            })
            .collect();
        signed.sort_unstable();
        let mut moved = Vec::new();
        for of_block in signed.chunk_by(|a, b| a.0 == b.0) {
            let number = of_block[0].0;
            let parts: Vec<_> = of_block.chunk_by(|a, b| a.1 == b.1).collect();
            // States that aren't dirty differ from all that are, and keep the number.
            let all_dirty = sizes[number as usize] == of_block.len();
            let largest = (0..parts.len()).max_by_key(|&part| parts[part].len());
            for (at, part) in parts.iter().enumerate() {
                if all_dirty && Some(at) == largest {
                    continue;
                }
                sizes[number as usize] -= part.len();
                let new = sizes.len() as u32;
                sizes.push(part.len());
                for (_, _, state) in *part {
                    block[*state as usize] = new;
                    moved.push(*state);
                }
            }
        }
        dirty = moved
            .iter()
            .flat_map(|&state| before.of(state))
            .copied()
            .collect();
        dirty.sort_unstable();
        dirty.dedup();
    }
    block
}

/// What a state does, in terms of blocks: the default's, then symbols that go elsewhere.
fn signature(state: &State, block: &[u32]) -> Vec<u32> {
    let default = block[state.default as usize];
    let mut signature = vec![default];
    for &(symbol, next) in &state.edges {
        let next = block[next as usize];
        if next != default {
            signature.extend([symbol, next]);
        }
    }
    signature
}

/// For each state those that lead to it.
struct Predecessors {
    ends: Vec<usize>,
    sources: Vec<u32>,
}

impl Predecessors {
    fn new(states: &[State]) -> Self {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (source, state) in states.iter().enumerate() {
            pairs.push((state.default, source as u32));
            pairs.extend(state.edges.iter().map(|edge| (edge.1, source as u32)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let ends = (0..states.len() as u32)
            .map(|state| pairs.partition_point(|pair| pair.0 <= state))
            .collect();
        Self {
            ends,
            sources: pairs.into_iter().map(|pair| pair.1).collect(),
        }
    }

    fn of(&self, state: u32) -> &[u32] {
        let start = state
            .checked_sub(1)
            .map_or(0, |before| self.ends[before as usize]);
        &self.sources[start..self.ends[state as usize]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(row: u32, default: u32, edges: &[(u32, u32)]) -> State {
        State {
            row,
            default,
            edges: edges.to_vec(),
            ..State::default()
        }
    }

    #[test]
    fn states_that_no_input_tells_apart_are_merged() {
        let automaton = Automaton {
            states: vec![
                state(0, 5, &[(1, 1), (2, 2)]),
                state(0, 5, &[(1, 3)]),
                state(0, 5, &[(1, 4), (2, 5)]),
                state(7, 5, &[]),
                state(7, 5, &[]),
                state(0, 5, &[]),
                state(0, 6, &[(1, 3)]),
            ],
            starts: vec![0],
        };
        let smallest = minimise(&automaton);
        assert_eq!(
            smallest.states,
            [
                state(0, 1, &[(1, 2), (2, 2)]),
                state(0, 1, &[]),
                state(0, 1, &[(1, 3)]),
                state(7, 1, &[]),
            ]
        );
        assert_eq!(minimise(&smallest), smallest);
    }

    #[test]
    fn a_long_chain_stays_a_chain() {
        let length = 2000;
        let mut states: Vec<State> = (0..length)
            .map(|at| state(0, length + 1, &[(1, at + 1)]))
            .collect();
        states.push(state(1, length + 1, &[]));
        states.push(state(0, length + 1, &[]));
        let automaton = Automaton {
            states,
            starts: vec![0],
        };
        assert_eq!(minimise(&automaton).states.len(), length as usize + 2);
    }

    #[test]
    fn loops_that_do_the_same_are_one() {
        let automaton = Automaton {
            states: vec![
                state(3, 1, &[(9, 2)]),
                state(3, 2, &[(9, 0)]),
                state(3, 0, &[(9, 1)]),
            ],
            starts: vec![0],
        };
        assert_eq!(minimise(&automaton).states, [state(3, 0, &[])]);
    }
}
