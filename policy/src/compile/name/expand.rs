//! Globs that need no automaton.

use bartizan_abi::limits::MAX_NAME;

use crate::pattern::{Glob, Token};

/// Literals that one glob without wildcards may stand for.
const MAX_EXPANSION: usize = 64;

/// Whether a glob matches every name. A name has at least one character.
pub(super) fn is_any(tokens: &[Token]) -> bool {
    tokens.contains(&Token::AnyRun)
        && tokens
            .iter()
            .all(|token| matches!(token, Token::AnyRun | Token::AnyChar))
        && tokens
            .iter()
            .filter(|token| **token == Token::AnyChar)
            .count()
            <= 1
}

/// The names that a glob without wildcards matches, unless they are too many.
pub(super) fn expand(tokens: &[Token]) -> Option<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = vec![Vec::new()];
    for token in tokens {
        let endings: Vec<Vec<u8>> = match token {
            Token::Literal(name) => vec![name.clone()],
            Token::Alternatives(all) => {
                let all: Option<Vec<_>> = all.iter().map(|tokens| expand(tokens)).collect();
                all?.into_iter().flatten().collect()
            }
            Token::AnyRun | Token::AnyChar | Token::Class { .. } => return None,
        };
        if names.len() * endings.len() > MAX_EXPANSION {
            return None;
        }
        names = names
            .iter()
            .flat_map(|name| endings.iter().map(|ending| [&name[..], ending].concat()))
            .collect();
    }
    // The shortest fits a name; longer ones match nothing.
    names.retain(|name| name.len() <= MAX_NAME as usize);
    Some(names)
}

/// Cheap and necessary for a match.
pub(super) fn could_match(glob: &Glob, name: &[u8]) -> bool {
    let starts = match glob.tokens().first() {
        Some(Token::Literal(start)) => name.starts_with(start),
        _ => true,
    };
    let ends = match glob.tokens().last() {
        Some(Token::Literal(end)) => name.ends_with(end),
        _ => true,
    };
    starts && ends
}
