//! Globs of container names: `web`, `sidecar-*`, `{init,setup}-[0-9]`.
//!
//! Matched once per container when rules are linked, so a plain recursion over a
//! parsed glob will do; [`crate::pattern`] is for paths.

/// A glob of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// `?`
    Any,
    /// `*`
    Run,
    /// `[a-z]`, `[!a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `{a,b*}`
    Either(Vec<Vec<Token>>),
}

/// Why a text is no glob of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing can match.
    #[error("the glob is empty: write `*` for every name")]
    Empty,
    /// No container name has it.
    #[error(
        "`{0}` is in no container name, which is lower-case letters, digits and `-`; \
         globs have `*`, `?`, `[a-z]` and `{{a,b}}`"
    )]
    Character(char),
    /// `[` without `]`.
    #[error("`[` without `]`: close the class, as in `[a-z]`")]
    OpenClass,
    /// `[]`, `[!]`
    #[error("the class is empty: name at least one character, as in `[a-z]`")]
    EmptyClass,
    /// `[z-a]`
    #[error("the range `{0}-{1}` is reversed: write `{1}-{0}`")]
    ReversedRange(char, char),
    /// `{` without `}`.
    #[error("`{{` without `}}`: close the alternatives, as in `{{a,b}}`")]
    OpenAlternatives,
    /// `{a,{b,c}}`
    #[error("alternatives inside alternatives: write them as one list, as in `{{a,b,c}}`")]
    Nested,
    /// `}` or `]` alone.
    #[error("`{0}` closes nothing: remove it")]
    Stray(char),
}

impl Glob {
    /// Parses a glob of container names.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let mut rest = text;
        let tokens = sequence(&mut rest, false)?;
        if tokens.is_empty() {
            return Err(GlobError::Empty);
        }
        Ok(Self {
            text: text.to_owned(),
            tokens,
        })
    }

    /// Whether a name matches, all of it.
    pub fn matches(&self, name: &str) -> bool {
        matches(&mut self.tokens.iter().collect(), name)
    }

    /// Whether every name matches: the glob is `*`.
    pub fn matches_everything(&self) -> bool {
        self.tokens.iter().all(|token| *token == Token::Run)
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Tokens up to the end, or in alternatives up to `,` or `}`, which stay.
fn sequence(rest: &mut &str, inside: bool) -> Result<Vec<Token>, GlobError> {
    let mut tokens = Vec::new();
    while let Some(c) = rest.chars().next() {
        if inside && (c == ',' || c == '}') {
            break;
        }
        *rest = &rest[c.len_utf8()..];
        tokens.push(match c {
            '*' => Token::Run,
            '?' => Token::Any,
            '[' => class(rest)?,
            '{' if inside => return Err(GlobError::Nested),
            '{' => alternatives(rest)?,
            ']' | '}' => return Err(GlobError::Stray(c)),
            'a'..='z' | '0'..='9' | '-' => Token::Char(c),
            _ => return Err(GlobError::Character(c)),
        });
    }
    Ok(tokens)
}

fn alternatives(rest: &mut &str) -> Result<Token, GlobError> {
    let mut all = vec![sequence(rest, true)?];
    while let Some(after) = rest.strip_prefix(',') {
        *rest = after;
        all.push(sequence(rest, true)?);
    }
    *rest = rest.strip_prefix('}').ok_or(GlobError::OpenAlternatives)?;
    Ok(Token::Either(all))
}

fn class(rest: &mut &str) -> Result<Token, GlobError> {
    let (inside, after) = rest.split_once(']').ok_or(GlobError::OpenClass)?;
    *rest = after;
    let negated = inside.starts_with(['!', '^']);
    let chars: Vec<char> = inside.chars().skip(usize::from(negated)).collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        // A `-` at either end is itself.
        let last = match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('-'), Some(&last)) => last,
            _ => first,
        };
        if last < first {
            return Err(GlobError::ReversedRange(first, last));
        }
        at += if chars.get(at + 1) == Some(&'-') && at + 2 < chars.len() {
            3
        } else {
            1
        };
        ranges.push((first, last));
    }
    if ranges.is_empty() {
        return Err(GlobError::EmptyClass);
    }
    Ok(Token::Class { negated, ranges })
}

/// Whether the tokens, last first... are a name. `tokens` is a stack with its top at
/// the front of the name.
fn matches(tokens: &mut std::collections::VecDeque<&Token>, name: &str) -> bool {
    let Some(token) = tokens.pop_front() else {
        return name.is_empty();
    };
    let first = name.chars().next();
    let rest = first.map(|c| &name[c.len_utf8()..]);
    match token {
        Token::Run => {
            let mut at = name;
            loop {
                if matches(&mut tokens.clone(), at) {
                    return true;
                }
                let Some(c) = at.chars().next() else {
                    return false;
                };
                at = &at[c.len_utf8()..];
            }
        }
        Token::Either(all) => all.iter().any(|choice| {
            let mut tokens = tokens.clone();
            choice
                .iter()
                .rev()
                .for_each(|token| tokens.push_front(token));
            matches(&mut tokens, name)
        }),
        Token::Char(c) => first == Some(*c) && rest.is_some_and(|rest| matches(tokens, rest)),
        Token::Any => rest.is_some_and(|rest| matches(tokens, rest)),
        Token::Class { negated, ranges } => {
            let inside = |c| {
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c))
            };
            first.is_some_and(|c| inside(c) != *negated)
                && rest.is_some_and(|rest| matches(tokens, rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(glob: &str, yes: &[&str], no: &[&str]) {
        let parsed = Glob::parse(glob).unwrap();
        for name in yes {
            assert!(parsed.matches(name), "{glob} should match {name}");
        }
        for name in no {
            assert!(!parsed.matches(name), "{glob} should not match {name}");
        }
    }

    #[test]
    fn a_glob_matches_whole_names() {
        check("web", &["web"], &["web2", "we", ""]);
        check(
            "sidecar-*",
            &["sidecar-", "sidecar-a-b"],
            &["sidecar", "my-sidecar-x"],
        );
        check("*-x-*", &["a-x-b", "-x-", "x-x-x-x"], &["a-x", "ax-b"]);
        check("w?b", &["web", "wab"], &["wb", "weeb"]);
        check("[a-c1-]x", &["ax", "1x", "-x"], &["dx", "x"]);
        check("[!a-c]x", &["dx"], &["ax", "x"]);
        check(
            "{init,setup*}-[0-9]",
            &["init-0", "setup-me-9"],
            &["init", "setup-x"],
        );
        check("a{,b}", &["a", "ab"], &["b"]);
    }

    #[test]
    fn only_a_star_matches_everything() {
        assert!(Glob::parse("*").unwrap().matches_everything());
        assert!(!Glob::parse("w*").unwrap().matches_everything());
    }

    #[test]
    fn what_is_no_glob_is_refused_with_the_reason() {
        for (text, error) in [
            ("", GlobError::Empty),
            ("Web", GlobError::Character('W')),
            ("a/b", GlobError::Character('/')),
            ("[a", GlobError::OpenClass),
            ("[!]", GlobError::EmptyClass),
            ("[z-a]", GlobError::ReversedRange('z', 'a')),
            ("{a,b", GlobError::OpenAlternatives),
            ("{a,{b}}", GlobError::Nested),
            ("a}", GlobError::Stray('}')),
        ] {
            assert_eq!(Glob::parse(text), Err(error), "{text}");
        }
    }
}
