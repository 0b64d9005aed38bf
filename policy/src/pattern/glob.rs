//! Globs over one name.
//!
//! A name is bytes; it is read as *characters*: every well-formed UTF-8 sequence is one
//! (what `str::from_utf8` accepts), every byte that is in none is one on its own.
//! Well-formed sequences can't overlap, so there is one way to cut a name up, wherever
//! one starts to read. `?` and negated classes match any such character, `*` any run of
//! whole ones; a byte that is in no sequence is in no class and equals no literal.

/// A glob: what `*`, `?`, `[...]` and `{...}` make of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    tokens: Vec<Token>,
}

/// A part of a glob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// `*`: any run of characters, also none.
    AnyRun,
    /// `?`: one character.
    AnyChar,
    /// `[a-z]`, `[!a-z]`: one character that is in (or, negated, in none of) the ranges,
    /// both ends included; sorted, without overlaps.
    Class {
        /// `[!...]`
        negated: bool,
        /// First and last character of each range.
        ranges: Vec<(char, char)>,
    },
    /// Exactly these bytes, well-formed UTF-8.
    Literal(Vec<u8>),
    /// `{a,b*}`: any of at least two sequences, none of them empty or with alternatives of
    /// its own; sorted.
    Alternatives(Vec<Vec<Token>>),
}

/// One character of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A well-formed UTF-8 sequence.
    Char(char),
    /// A byte that is in none.
    Byte(u8),
}

/// Cuts a name into characters, each with the offset behind it.
pub fn units(name: &[u8]) -> Vec<(Unit, usize)> {
    let mut units = Vec::with_capacity(name.len());
    let mut end = 0;
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            end += c.len_utf8();
            units.push((Unit::Char(c), end));
        }
        for &byte in chunk.invalid() {
            end += 1;
            units.push((Unit::Byte(byte), end));
        }
    }
    units
}

impl Token {
    /// Bytes of the shortest name it matches.
    pub(super) fn least_bytes(&self) -> usize {
        match self {
            Self::AnyRun => 0,
            Self::AnyChar | Self::Class { negated: true, .. } => 1,
            Self::Class { ranges, .. } => ranges.first().map_or(1, |(first, _)| first.len_utf8()),
            Self::Literal(name) => name.len(),
            Self::Alternatives(all) => all
                .iter()
                .map(|tokens| tokens.iter().map(Self::least_bytes).sum())
                .min()
                .unwrap_or(0),
        }
    }

    /// Whether it matches this character, if it is one that matches single characters.
    pub fn matches_unit(&self, unit: Unit) -> bool {
        match (self, unit) {
            (Self::AnyChar, _) => true,
            (Self::Class { negated, ranges }, Unit::Char(c)) => {
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c))
                    != *negated
            }
            (Self::Class { negated, .. }, Unit::Byte(_)) => *negated,
            _ => false,
        }
    }
}

impl Glob {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// Its parts in order.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Whether it matches a whole name.
    pub fn matches(&self, name: &[u8]) -> bool {
        let units = units(name);
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        reached_by(&self.tokens, name, &units, &mut reached);
        reached[name.len()]
    }
}

/// From the offsets at which `tokens` can start to those at which they can end: sets
/// rather than backtracking, so that no name takes longer than tokens x bytes.
fn reached_by(tokens: &[Token], name: &[u8], units: &[(Unit, usize)], reached: &mut Vec<bool>) {
    for token in tokens {
        match token {
            Token::AnyRun => {
                let mut started = reached[0];
                for &(_, end) in units {
                    started |= reached[end];
                    reached[end] = started;
                }
            }
            Token::AnyChar | Token::Class { .. } => {
                let mut ends = vec![false; reached.len()];
                let mut start = 0;
                for &(unit, end) in units {
                    ends[end] = reached[start] && token.matches_unit(unit);
                    start = end;
                }
                *reached = ends;
            }
            Token::Literal(bytes) => {
                let mut ends = vec![false; reached.len()];
                for start in 0..=name.len() {
                    if reached[start] && name[start..].starts_with(bytes) {
                        ends[start + bytes.len()] = true;
                    }
                }
                *reached = ends;
            }
            Token::Alternatives(all) => {
                let mut ends = vec![false; reached.len()];
                for choice in all {
                    let mut some = reached.clone();
                    reached_by(choice, name, units, &mut some);
                    ends.iter_mut()
                        .zip(some)
                        .for_each(|(end, some)| *end |= some);
                }
                *reached = ends;
            }
        }
    }
}
