//! Globs as one nondeterministic automaton over characters or over bytes.
//!
//! Bytes will do as long as no token has to know where a character ends, which is the
//! usual case and gives much smaller automata: UTF-8 sequences can't overlap, so a
//! literal matches its bytes only where its characters are.

use super::alphabet::{Alphabet, STRAY};
use crate::pattern::{Glob, Token};

/// What a name is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Bytes,
    Characters,
}

/// One place in a glob; consumes a character or accepts.
#[derive(Clone, Debug)]
enum Node {
    /// Any character, once.
    Any { next: u32 },
    /// Any characters, also none.
    Run { next: u32 },
    /// A character of a set of the alphabet.
    Set { set: u32, next: u32 },
    /// Reads nothing.
    Either { next: Vec<u32> },
    /// The end of a glob.
    Accept,
}

/// Globs of several units. A unit matches if any of its globs does.
pub(super) struct Nfa {
    nodes: Vec<Node>,
    /// Unit of each node.
    units: Vec<u32>,
    /// Nodes that a node stands for, itself included unless it reads nothing; sorted.
    closures: Vec<Vec<u32>>,
    starts: Vec<u32>,
    /// Units that need not be followed once a unit is certain to match.
    covered: Vec<Vec<u32>>,
    pub(super) reading: Reading,
    pub(super) alphabet: Alphabet,
}

impl Nfa {
    /// `covered[u]` are the units that add nothing where unit `u` matches.
    pub(super) fn new(units: &[Vec<&Glob>], covered: Vec<Vec<u32>>) -> Self {
        let bytewise = units
            .iter()
            .flatten()
            .all(|glob| glob.tokens().iter().all(is_bytewise));
        let reading = if bytewise {
            Reading::Bytes
        } else {
            Reading::Characters
        };
        let mut builder = Builder {
            nodes: Vec::new(),
            units: Vec::new(),
            sets: Vec::new(),
            reading,
            unit: 0,
        };
        let mut starts = Vec::new();
        for (unit, globs) in units.iter().enumerate() {
            builder.unit = unit as u32;
            for glob in globs {
                let end = builder.node(Node::Accept);
                starts.push(builder.tokens(glob.tokens(), end));
            }
        }
        let alphabet = Alphabet::new(&builder.sets);
        let mut nfa = Self {
            closures: Vec::with_capacity(builder.nodes.len()),
            nodes: builder.nodes,
            units: builder.units,
            starts,
            covered,
            reading,
            alphabet,
        };
        // A node's successors were made before it.
        for node in 0..nfa.nodes.len() {
            let mut closure = match &nfa.nodes[node] {
                Node::Either { next } => next
                    .iter()
                    .flat_map(|&next| nfa.closures[next as usize].clone())
                    .collect(),
                Node::Run { next } => {
                    let mut closure = nfa.closures[*next as usize].clone();
                    closure.push(node as u32);
                    closure
                }
                _ => vec![node as u32],
            };
            closure.sort_unstable();
            closure.dedup();
            nfa.closures.push(closure);
        }
        nfa
    }

    /// The places before the first character.
    pub(super) fn start(&self) -> Vec<u32> {
        let starts = self
            .starts
            .iter()
            .flat_map(|&start| &self.closures[start as usize]);
        self.pruned(starts.copied().collect())
    }

    /// The places after a character of a class.
    pub(super) fn step(&self, places: &[u32], class: u32) -> Vec<u32> {
        let mut reached = Vec::new();
        for &place in places {
            let next = match self.nodes[place as usize] {
                Node::Any { next } => next,
                Node::Run { .. } => place,
                Node::Set { set, next } if self.alphabet.contains(set, class) => next,
                _ => continue,
            };
            reached.extend_from_slice(&self.closures[next as usize]);
        }
        self.pruned(reached)
    }

    /// Units that match a name that ends here; sorted, none that another one covers.
    pub(super) fn accepted(&self, places: &[u32]) -> Vec<u32> {
        let mut units: Vec<u32> = places
            .iter()
            .filter(|place| matches!(self.nodes[**place as usize], Node::Accept))
            .map(|place| self.units[*place as usize])
            .collect();
        units.sort_unstable();
        units.dedup();
        let all = units.clone();
        units.retain(|unit| {
            !all.iter()
                .any(|by| self.covered[*by as usize].contains(unit))
        });
        units
    }

    /// The unit that a place is in.
    pub(super) fn unit(&self, place: u32) -> u32 {
        self.units[place as usize]
    }

    /// Sorted, and without places that can't change what is accepted.
    fn pruned(&self, mut places: Vec<u32>) -> Vec<u32> {
        places.sort_unstable();
        places.dedup();
        let certain: Vec<(u32, u32, u32)> = places
            .iter()
            .filter_map(|&place| match self.nodes[place as usize] {
                Node::Run { next } if matches!(self.nodes[next as usize], Node::Accept) => {
                    Some((self.units[place as usize], place, next))
                }
                _ => None,
            })
            .collect();
        let mut done: Vec<u32> = Vec::new();
        for &(unit, run, end) in &certain {
            if done.contains(&unit) {
                continue;
            }
            done.push(unit);
            places.retain(|&place| {
                let of = self.units[place as usize];
                place == run
                    || place == end
                    || (of != unit && !self.covered[unit as usize].contains(&of))
            });
        }
        places
    }
}

struct Builder {
    nodes: Vec<Node>,
    units: Vec<u32>,
    sets: Vec<Vec<(u32, u32)>>,
    reading: Reading,
    unit: u32,
}

impl Builder {
    fn node(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.units.push(self.unit);
        self.nodes.len() as u32 - 1
    }

    fn tokens(&mut self, tokens: &[Token], end: u32) -> u32 {
        tokens
            .iter()
            .rev()
            .fold(end, |next, token| self.token(token, next))
    }

    fn token(&mut self, token: &Token, next: u32) -> u32 {
        match token {
            Token::AnyRun => self.node(Node::Run { next }),
            Token::AnyChar => self.node(Node::Any { next }),
            Token::Class { negated, ranges } => {
                let ranges = ranges
                    .iter()
                    .map(|(first, last)| (*first as u32, *last as u32));
                let set = if *negated {
                    complement(ranges)
                } else {
                    ranges.collect()
                };
                self.set(set, next)
            }
            Token::Literal(name) => match (self.reading, std::str::from_utf8(name)) {
                (Reading::Characters, Ok(name)) => name
                    .chars()
                    .rev()
                    .fold(next, |next, c| self.set(vec![(c as u32, c as u32)], next)),
                _ => name
                    .iter()
                    .rev()
                    .fold(next, |next, &b| self.set(vec![(b.into(), b.into())], next)),
            },
            Token::Alternatives(all) => {
                let next = all.iter().map(|tokens| self.tokens(tokens, next)).collect();
                self.node(Node::Either { next })
            }
        }
    }

    fn set(&mut self, set: Vec<(u32, u32)>, next: u32) -> u32 {
        let set = self
            .sets
            .iter()
            .position(|known| *known == set)
            .unwrap_or_else(|| {
                self.sets.push(set);
                self.sets.len() - 1
            });
        self.node(Node::Set {
            set: set as u32,
            next,
        })
    }
}

/// Whether a token matches the same read byte by byte.
fn is_bytewise(token: &Token) -> bool {
    match token {
        Token::AnyRun | Token::Literal(_) => true,
        Token::AnyChar => false,
        Token::Class { negated, ranges } => {
            !negated && ranges.iter().all(|(_, last)| last.is_ascii())
        }
        Token::Alternatives(all) => all.iter().flatten().all(is_bytewise),
    }
}

/// Everything that is in none of the sorted ranges, stray bytes included.
fn complement(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut rest = Vec::new();
    let mut from = 0;
    for (first, last) in ranges {
        if first > from {
            rest.push((from, first - 1));
        }
        from = last + 1;
    }
    rest.push((from, STRAY));
    rest
}
