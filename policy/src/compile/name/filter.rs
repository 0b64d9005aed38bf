//! What a name must begin or end with for a glob to match it.
//!
//! Sets of bytes modulo 64. Each glob uses the smaller of its two sets, so that most
//! names are rejected without being read.

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
        let mut filter = Self::default();
        for glob in globs {
            let (first, last) = (first_of(glob.tokens()), last_of(glob.tokens()));
            if first.count_ones() <= last.count_ones() {
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
