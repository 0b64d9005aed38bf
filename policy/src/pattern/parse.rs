//! One component of a pattern: from text to tokens.

use super::error::PatternError;
use super::{Component, Glob, Token, check_name};
use crate::excerpt::excerpt;

/// Parses what is between two slashes.
pub(super) fn component(part: &str) -> Result<Component, PatternError> {
    if part.is_empty() {
        return Err(PatternError::EmptyComponent);
    }
    if part == "**" {
        return Ok(Component::AnyDepth);
    }
    let mut parser = Parser {
        component: part,
        rest: part,
    };
    let tokens = parser.sequence(false)?;
    check_name(tokens.iter().map(Token::least_bytes).sum(), part)?;
    match &tokens[..] {
        [Token::Literal(name)] if name == b"." || name == b".." => {
            Err(PatternError::DotComponent {
                component: part.to_owned(),
            })
        }
        [Token::Literal(name)] => Ok(Component::Literal(name.clone())),
        _ if spells(&tokens, b".") || spells(&tokens, b"..") => Err(PatternError::DotComponent {
            component: excerpt(part).into_owned(),
        }),
        _ => Ok(Component::Glob(Glob::new(tokens))),
    }
}

/// Whether a name is one of those that tokens write out, with no character left open.
fn spells(tokens: &[Token], name: &[u8]) -> bool {
    match tokens {
        [] => name.is_empty(),
        [Token::Literal(text), rest @ ..] => name
            .strip_prefix(text.as_slice())
            .is_some_and(|name| spells(rest, name)),
        // No alternative is empty, so this ends after as many as the name has bytes.
        [Token::Alternatives(all), rest @ ..] => all.iter().any(|one| {
            (1..=name.len()).any(|end| spells(one, &name[..end]) && spells(rest, &name[end..]))
        }),
        [Token::AnyRun | Token::AnyChar | Token::Class { .. }, ..] => false,
    }
}

struct Parser<'a> {
    component: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    /// Tokens up to the end; inside alternatives up to `,` or `}`, which stay.
    fn sequence(&mut self, inside: bool) -> Result<Vec<Token>, PatternError> {
        let mut tokens = Vec::new();
        while let Some(c) = self.peek() {
            if inside && (c == ',' || c == '}') {
                break;
            }
            self.skip(c);
            match c {
                '*' if self.peek() == Some('*') => {
                    return Err(PatternError::AnyDepthInside {
                        component: self.text(),
                    });
                }
                '*' => tokens.push(Token::AnyRun),
                '?' => tokens.push(Token::AnyChar),
                '[' => self.class(&mut tokens)?,
                '{' if inside => {
                    return Err(PatternError::NestedAlternatives {
                        component: self.text(),
                    });
                }
                '{' => self.alternatives(&mut tokens)?,
                ']' | '}' => {
                    return Err(PatternError::Stray {
                        component: self.text(),
                        close: c,
                    });
                }
                '\\' => push_literal(&mut tokens, self.escaped()?),
                c => push_literal(&mut tokens, c),
            }
        }
        Ok(tokens)
    }

    /// Behind `{`.
    fn alternatives(&mut self, tokens: &mut Vec<Token>) -> Result<(), PatternError> {
        let mut all = Vec::new();
        loop {
            let choice = self.sequence(true)?;
            if self.peek().is_none() {
                return Err(PatternError::OpenAlternatives {
                    component: self.text(),
                });
            }
            if choice.is_empty() {
                return Err(PatternError::EmptyAlternative {
                    component: self.text(),
                });
            }
            all.push(choice);
            let Some(closing) = self.peek() else { continue };
            self.skip(closing);
            if closing == '}' {
                break;
            }
        }
        all.sort();
        all.dedup();
        match &mut all[..] {
            [only] => only.drain(..).for_each(|token| push(tokens, token)),
            _ => tokens.push(Token::Alternatives(all)),
        }
        Ok(())
    }

    /// Behind `[`.
    fn class(&mut self, tokens: &mut Vec<Token>) -> Result<(), PatternError> {
        let negated = matches!(self.peek(), Some('!' | '^'));
        if negated {
            self.rest = &self.rest[1..];
        }
        let mut ranges = Vec::new();
        loop {
            let first = match self.class_character()? {
                Some(first) => first,
                None if ranges.is_empty() => {
                    return Err(PatternError::EmptyClass {
                        component: self.text(),
                    });
                }
                None => break,
            };
            // A `-` in front of `]` is itself.
            let mut last = first;
            if let Some(after) = self.rest.strip_prefix('-')
                && !after.starts_with(']')
            {
                self.rest = after;
                last = self.class_character()?.unwrap_or(first);
            }
            if last < first {
                return Err(PatternError::ReversedRange {
                    component: self.text(),
                    first,
                    last,
                });
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        match &ranges[..] {
            [(first, last)] if first == last && !negated => push_literal(tokens, *first),
            _ => tokens.push(Token::Class {
                negated,
                ranges: merged(&ranges),
            }),
        }
        Ok(())
    }

    /// The next character of a class, `None` at its end.
    fn class_character(&mut self) -> Result<Option<char>, PatternError> {
        let Some(c) = self.peek() else {
            return Err(PatternError::OpenClass {
                component: self.text(),
            });
        };
        self.skip(c);
        Ok(match c {
            ']' => None,
            '\\' => Some(self.escaped()?),
            c => Some(c),
        })
    }

    /// Behind a backslash.
    fn escaped(&mut self) -> Result<char, PatternError> {
        let Some(c) = self.peek() else {
            return Err(PatternError::TrailingBackslash {
                component: self.text(),
            });
        };
        self.skip(c);
        Ok(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn text(&self) -> String {
        excerpt(self.component).into_owned()
    }
}

fn push_literal(tokens: &mut Vec<Token>, c: char) {
    push(
        tokens,
        Token::Literal(c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()),
    );
}

/// Appends a token; neighbouring literals become one.
fn push(tokens: &mut Vec<Token>, token: Token) {
    match (tokens.last_mut(), token) {
        (Some(Token::Literal(name)), Token::Literal(more)) => name.extend(more),
        (_, token) => tokens.push(token),
    }
}

/// Sorted ranges without overlaps.
fn merged(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut merged: Vec<(char, char)> = Vec::new();
    for &(first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first as u32 <= before.1 as u32 + 1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}
