//! From globs to a deterministic automaton over the bytes of a name.

use super::super::automaton::State;
use super::super::intern::Interner;
use super::alphabet::STRAY;
use super::nfa::{Nfa, Reading};
use super::utf8::{Decoder, Step};

/// Reads names; state 0 is the start.
pub(super) struct Dfa {
    /// Rows are indices into `accepted`; edges are canonical: what byte 0 leads to has
    /// none.
    pub(super) states: Vec<State>,
    /// Sets of units, each sorted; the first is empty.
    pub(super) accepted: Vec<Vec<u32>>,
}

/// States that an automaton of places would have is over the limit.
pub(super) struct TooMany {
    /// How much they have to remember of a unit, by unit.
    pub(super) followed: Vec<u32>,
}

/// Deterministic over classes of characters.
struct Abstract {
    /// Next state by class.
    next: Vec<Vec<u32>>,
    accepted: Vec<u32>,
}

pub(super) fn determinise(nfa: &Nfa, units: usize, limit: usize) -> Result<Dfa, TooMany> {
    let mut accepted = Interner::new();
    accepted.number(Vec::new());
    let mut sets = Interner::new();
    sets.number(nfa.start());
    let mut plain = Abstract {
        next: Vec::new(),
        accepted: Vec::new(),
    };
    while plain.next.len() < sets.len() {
        if sets.len() > limit {
            return Err(too_many(nfa, &sets, units));
        }
        let places = sets.value(plain.next.len() as u32);
        plain.accepted.push(accepted.number(nfa.accepted(&places)));
        let next = (0..nfa.alphabet.len())
            .map(|class| sets.number(nfa.step(&places, class)))
            .collect();
        plain.next.push(next);
    }
    let states = match nfa.reading {
        Reading::Bytes => over_bytes(nfa, &plain),
        Reading::Characters => {
            over_sequences(nfa, &plain, limit).ok_or_else(|| too_many(nfa, &sets, units))?
        }
    };
    let accepted = accepted
        .values()
        .iter()
        .map(|units| units.to_vec())
        .collect();
    Ok(Dfa { states, accepted })
}

fn too_many(nfa: &Nfa, sets: &Interner<Vec<u32>>, units: usize) -> TooMany {
    let mut followed = vec![0; units];
    // Where every name starts says nothing about what made them many.
    let start = nfa.start();
    for places in sets.values() {
        for &place in places.iter() {
            if start.binary_search(&place).is_err() {
                followed[nfa.unit(place) as usize] += 1;
            }
        }
    }
    TooMany { followed }
}

fn over_bytes(nfa: &Nfa, plain: &Abstract) -> Vec<State> {
    let classes: Vec<u32> = (0..256).map(|byte| nfa.alphabet.class(byte)).collect();
    plain
        .next
        .iter()
        .zip(&plain.accepted)
        .map(|(next, &row)| state(row, |byte| next[classes[usize::from(byte)] as usize]))
        .collect()
}

/// A state whose next states are given by a function.
fn state(row: u32, next: impl Fn(u8) -> u32) -> State {
    let default = next(0);
    let edges = (1..=255)
        .map(|byte| (u32::from(byte), next(byte)))
        .filter(|edge| edge.1 != default)
        .collect();
    State {
        row,
        default,
        edges,
        ..State::default()
    }
}

/// The product with the UTF-8 decoder: a state is one of `plain` and a node, or a
/// boundary between two characters.
fn over_sequences(nfa: &Nfa, plain: &Abstract, limit: usize) -> Option<Vec<State>> {
    let decoder = Decoder::new(&nfa.alphabet);
    let stray = nfa.alphabet.class(STRAY);
    let ascii: Vec<u32> = (0..128).map(|byte| nfa.alphabet.class(byte)).collect();
    let mut pairs: Interner<(u32, Option<u32>)> = Interner::new();
    pairs.number((0, None));
    let mut states = Vec::new();
    while states.len() < pairs.len() {
        if pairs.len() > limit {
            return None;
        }
        let (at, inside) = *pairs.value(states.len() as u32);
        let node = inside.map(|node| decoder.node_at(node));
        // Where reading goes on if what was read of a sequence is no character.
        let pending = node.as_ref().map_or(0, |node| node.pending);
        let broken = (0..pending).fold(at, |at, _| plain.next[at as usize][stray as usize]);
        let next: Vec<u32> = (0..=255_u8)
            .map(|byte| {
                let step = node.as_ref().and_then(|node| {
                    node.next
                        .iter()
                        .find(|(first, last, _)| (*first..=*last).contains(&byte))
                });
                pairs.number(match step {
                    Some((.., Step::Node(node))) => (at, Some(*node)),
                    Some((.., Step::Class(class))) => {
                        (plain.next[at as usize][*class as usize], None)
                    }
                    None => {
                        let class = ascii.get(usize::from(byte)).copied();
                        match (class, decoder.lead(byte)) {
                            (None, Some(node)) => (broken, Some(node)),
                            (class, _) => {
                                let class = class.unwrap_or(stray);
                                (plain.next[broken as usize][class as usize], None)
                            }
                        }
                    }
                })
            })
            .collect();
        states.push(state(plain.accepted[broken as usize], |byte| {
            next[usize::from(byte)]
        }));
    }
    Some(states)
}
