//! Whether a pattern matches a path, by following every way to read it.
//!
//! A pattern is read from the left; what is kept is the set of places in the path at
//! which that can have ended. Places rather than backtracking, so that a hostile
//! pattern costs pattern x path and not one to the power of the other.

use std::collections::BTreeSet;

use crate::pattern::{Component, Pattern, Token};

/// Whether a pattern matches a path, given as its components.
pub(super) fn matches(pattern: &Pattern, path: &[&[u8]]) -> bool {
    if is_everything(pattern) {
        return true;
    }
    match pattern.components() {
        // At the end, `**` needs a component to stand for.
        [above @ .., Component::AnyDepth] => read(above, path)
            .into_iter()
            .any(|place| place < path.len()),
        all => read(all, path).contains(&path.len()),
    }
}

/// Whether moving a directory away would give something that the pattern matches
/// another name: the directory leads to a place in the pattern, with a component
/// still to read, that not every path leads to.
pub(super) fn is_ancestor(pattern: &Pattern, directory: &[&[u8]]) -> bool {
    let components = pattern.components();
    let everywhere = if components.first() == Some(&Component::AnyDepth) {
        2
    } else {
        0
    };
    (everywhere..components.len())
        .any(|place| read(&components[..place], directory).contains(&directory.len()))
}

/// Whether it is `/**` or `**/*`, which match what has no name, too.
pub(super) fn is_everything(pattern: &Pattern) -> bool {
    match pattern.components() {
        [Component::AnyDepth] => true,
        [Component::AnyDepth, Component::Glob(glob)] => glob.tokens() == [Token::AnyRun],
        _ => false,
    }
}

/// How many components of the path the pattern's components can have read.
fn read(components: &[Component], path: &[&[u8]]) -> BTreeSet<usize> {
    let mut places = BTreeSet::from([0]);
    for component in components {
        places = places
            .into_iter()
            .flat_map(|place| match component {
                Component::AnyDepth => (place..=path.len()).collect::<Vec<_>>(),
                named => path
                    .get(place)
                    .filter(|name| name_matches(named, name))
                    .map(|_| place + 1)
                    .into_iter()
                    .collect(),
            })
            .collect();
    }
    places
}

fn name_matches(component: &Component, name: &[u8]) -> bool {
    match component {
        Component::AnyDepth => false,
        Component::Literal(literal) => literal == name,
        Component::Glob(glob) => {
            let characters = characters(name);
            read_name(glob.tokens(), &characters, BTreeSet::from([0])).contains(&characters.len())
        }
    }
}

/// How many characters of a name the tokens can have read, from any of `places` on.
fn read_name(tokens: &[Token], name: &[Character], places: BTreeSet<usize>) -> BTreeSet<usize> {
    tokens.iter().fold(places, |places, token| {
        places
            .into_iter()
            .flat_map(|place| read_token(token, name, place))
            .collect()
    })
}

fn read_token(token: &Token, name: &[Character], place: usize) -> BTreeSet<usize> {
    let one = |fits: bool| {
        if fits {
            BTreeSet::from([place + 1])
        } else {
            BTreeSet::new()
        }
    };
    match token {
        Token::AnyRun => (place..=name.len()).collect(),
        Token::AnyChar => one(place < name.len()),
        Token::Class { negated, ranges } => one(name.get(place).is_some_and(|character| {
            let in_class = match character {
                Character::Valid(c) => ranges.iter().any(|(first, last)| first <= c && c <= last),
                Character::Stray(_) => false,
            };
            in_class != *negated
        })),
        Token::Literal(bytes) => {
            let literal = characters(bytes);
            if name[place..].starts_with(&literal) {
                BTreeSet::from([place + literal.len()])
            } else {
                BTreeSet::new()
            }
        }
        Token::Alternatives(all) => all
            .iter()
            .flat_map(|tokens| read_name(tokens, name, BTreeSet::from([place])))
            .collect(),
    }
}

/// One character of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Character {
    /// A valid UTF-8 sequence.
    Valid(char),
    /// A byte that is part of none.
    Stray(u8),
}

/// Cuts a name into characters: the valid sequence that starts here, if there is one
/// (at most one of the four lengths is valid), else the byte.
fn characters(name: &[u8]) -> Vec<Character> {
    let Some(&byte) = name.first() else {
        return Vec::new();
    };
    let valid = (1..=4.min(name.len()))
        .find_map(|len| Some((len, str::from_utf8(&name[..len]).ok()?.chars().next()?)));
    let (len, first) = match valid {
        Some((len, c)) => (len, Character::Valid(c)),
        None => (1, Character::Stray(byte)),
    };
    let mut all = vec![first];
    all.extend(characters(&name[len..]));
    all
}
