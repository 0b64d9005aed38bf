//! What a name must begin or end with for a glob to match it.
//!
//! Sets of bytes modulo 64. Each glob is found by its first byte or by its last one,
//! whichever makes the sets of the gate grow less, so that most names are rejected
//! without being read.

use crate::pattern::{Glob, Token};

/// The sets of a gate: a name with neither its first byte in `first` nor its last one
/// in `last` matches no glob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Filter {
    pub(super) fn new<'a>(globs: impl IntoIterator<Item = &'a Glob>) -> Self {
        let mut sets: Vec<(u64, u64)> = globs
            .into_iter()
            .map(|glob| (first_of(glob.tokens()), last_of(glob.tokens())))
            .collect();
        // Those that have no choice come first.
        sets.sort_by_key(|(first, last)| *first != u64::MAX && *last != u64::MAX);
        let mut filter = Self::default();
        for (first, last) in sets {
            let grown = |set: u64, more: u64| (more & !set).count_ones();
            if grown(filter.first, first) <= grown(filter.last, last) {
                filter.first |= first;
            } else {
                filter.last |= last;
            }
        }
        filter
    }
}

fn bit(byte: u8) -> u64 {
    1 << (byte & 63)
}

fn first_of(tokens: &[Token]) -> u64 {
    match tokens.first() {
        Some(Token::Literal(name)) => name.first().map_or(u64::MAX, |byte| bit(*byte)),
        Some(Token::Class {
            negated: false,
            ranges,
        }) => {
            let lead = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes()[0];
            ranges
                .iter()
                .flat_map(|(first, last)| lead(*first)..=lead(*last))
                .fold(0, |set, byte| set | bit(byte))
        }
        Some(Token::Alternatives(all)) => all.iter().fold(0, |set, one| set | first_of(one)),
        _ => u64::MAX,
    }
}

fn last_of(tokens: &[Token]) -> u64 {
    match tokens.last() {
        Some(Token::Literal(name)) => name.last().map_or(u64::MAX, |byte| bit(*byte)),
        Some(Token::Class {
            negated: false,
            ranges,
        }) if ranges.iter().all(|(_, last)| last.is_ascii()) => ranges
            .iter()
            .flat_map(|(first, last)| *first as u8..=*last as u8)
            .fold(0, |set, byte| set | bit(byte)),
        Some(Token::Alternatives(all)) => all.iter().fold(0, |set, one| set | last_of(one)),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Component, Pattern};

    fn filter(globs: &[&str]) -> Filter {
        let patterns: Vec<Pattern> = globs
            .iter()
            .map(|glob| Pattern::parse(&format!("/{glob}")).unwrap())
            .collect();
        Filter::new(
            patterns
                .iter()
                .flat_map(Pattern::components)
                .map(|component| {
                    let Component::Glob(glob) = component else {
                        panic!("{component:?} is no glob")
                    };
                    glob
                }),
        )
    }

    fn set(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |set, byte| set | bit(*byte))
    }

    #[test]
    fn a_glob_is_found_by_the_end_that_costs_less() {
        for (globs, first, last) in [
            (&["a*", "*z", "[b-d]*"][..], set(b"abcd"), set(b"z")),
            // Its first byte is looked for anyway.
            (&["l*x", "lib*"], set(b"l"), 0),
            (&["l*x", "*x"], 0, set(b"x")),
            (&["{a,b}*", "*{x,y}"], set(b"ab"), set(b"xy")),
            (&["*[0-9]"], 0, set(b"0123456789")),
            (&["[à-ü]*"], set(&[0xc3]), 0),
            (&["*b*"], u64::MAX, 0),
            (&["?", "a*"], u64::MAX, 0),
        ] {
            assert_eq!(filter(globs), Filter { first, last }, "{globs:?}");
        }
    }
}
