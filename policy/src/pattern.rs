//! Patterns over paths, as policies write them.
//!
//! ```text
//!   "/srv/**/{a,b}*.key"  ─► [Literal "srv", AnyDepth, Glob [Alternatives, AnyRun, Literal]]
//! ```
//!
//! Parsing checks everything that can be wrong with a text, so that a [`Pattern`]
//! always means something; nothing behind it looks at the text again. Components are
//! what the compiler and the reference evaluator both start from, so whatever has
//! several spellings (`\a`, `[a]`, `{a}`, `**/**`) has one form here.

mod error;
mod glob;
mod parse;

use std::fmt;
use std::str::FromStr;

use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};

use crate::excerpt::excerpt;

pub use error::PatternError;
pub use glob::{Glob, Token, Unit, units};

/// Bytes of the longest pattern.
pub const MAX_PATTERN: usize = 4096;

/// One pattern of a policy.
///
/// Equal if it was written the same; compare [`Pattern::components`] for meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
}

/// What a pattern says of one component of a path, or of a run of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// `**`: any number of components, none included; at the end of a pattern, one or
    /// more. Two of them never follow each other.
    AnyDepth,
    /// Exactly this name: 1 to 255 bytes, neither `.` nor `..`.
    Literal(Vec<u8>),
    /// Any name that the glob matches.
    Glob(Glob),
}

impl Pattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        if text.contains('\0') {
            return Err(PatternError::Nul);
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(PatternError::Control {
                code: control.into(),
            });
        }
        if text == "**" {
            return Err(PatternError::BareAnyDepth);
        }
        if text == "/" {
            return Ok(Self {
                text: text.to_owned(),
                components: Vec::new(),
            });
        }
        if text.ends_with('/') {
            return Err(PatternError::TrailingSlash);
        }
        let inside = match text.strip_prefix('/') {
            Some(inside) => inside,
            None if text.starts_with("**/") => text,
            None => {
                return Err(PatternError::Relative {
                    text: excerpt(text).into_owned(),
                });
            }
        };
        let mut components = Vec::new();
        for part in inside.split('/') {
            let component = parse::component(part)?;
            if component != Component::AnyDepth || components.last() != Some(&component) {
                components.push(component);
            }
        }
        let least = least_depth(&components);
        if least > MAX_DEPTH as usize {
            return Err(PatternError::TooDeep { components: least });
        }
        Ok(Self {
            text: text.to_owned(),
            components,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its components from the root on; none for `/`, the root directory itself.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether it is `/**` or `**/*`, which match everything: the root directory and
    /// things without a name included.
    pub fn is_everything(&self) -> bool {
        match &self.components[..] {
            [Component::AnyDepth] => true,
            [Component::AnyDepth, Component::Glob(glob)] => glob.tokens() == [Token::AnyRun],
            _ => false,
        }
    }
}

/// Components of the shortest path that can match.
fn least_depth(components: &[Component]) -> usize {
    let named = components
        .iter()
        .filter(|c| **c != Component::AnyDepth)
        .count();
    named + usize::from(components.last() == Some(&Component::AnyDepth))
}

/// Bytes of the shortest name that a component's tokens match must fit a name.
fn check_name(bytes: usize, part: &str) -> Result<(), PatternError> {
    if bytes > MAX_NAME as usize {
        return Err(PatternError::LongComponent {
            start: part.chars().take(24).collect(),
            bytes,
        });
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
