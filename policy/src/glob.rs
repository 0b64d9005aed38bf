//! Globs of container names: `web`, `sidecar-*`, `{init,setup}-[0-9]`.
//!
//! One component of a path pattern, with the letters that a container name can have:
//! anything else could never match, so it is a mistake.

use crate::pattern::{Component, Pattern, PatternError};

/// A glob of container names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    component: Component,
}

/// Why a text is no glob of container names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// No container name has it.
    #[error(
        "{0:?} is in no container name: names are lower-case letters, digits and `-`; globs \
         also have `*`, `?`, `[a-z]` and `{{a,b}}`"
    )]
    Character(char),
    /// Nothing can match.
    #[error("the glob is empty: write `*` for every container")]
    Empty,
    /// `**`
    #[error("`**` is for paths: write `*` for every container")]
    AnyDepth,
    /// The glob itself.
    #[error(transparent)]
    Syntax(PatternError),
}

impl Glob {
    /// Parses a glob of container names.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let known = |c: &char| matches!(c, 'a'..='z' | '0'..='9') || "-*?[]!^{},".contains(*c);
        if let Some(c) = text.chars().find(|c| !known(c)) {
            return Err(GlobError::Character(c));
        }
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        let pattern = Pattern::parse(&format!("/{text}")).map_err(GlobError::Syntax)?;
        match pattern.components() {
            [component] if *component != Component::AnyDepth => Ok(Self {
                text: text.to_owned(),
                component: component.clone(),
            }),
            _ => Err(GlobError::AnyDepth),
        }
    }

    /// Whether a name matches, all of it.
    pub fn matches(&self, name: &str) -> bool {
        match &self.component {
            Component::AnyDepth => false,
            Component::Literal(literal) => literal == name.as_bytes(),
            Component::Glob(glob) => glob.matches(name.as_bytes()),
        }
    }

    /// Whether every name matches: the glob is `*`.
    pub fn matches_everything(&self) -> bool {
        self.text == "*"
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.text
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
        check("w?b", &["web", "wab"], &["wb", "weeb"]);
        check("[!a-c]x", &["dx"], &["ax", "x"]);
        check(
            "{init,setup*}-[0-9]",
            &["init-0", "setup-me-9"],
            &["init", "setup-x"],
        );
    }

    #[test]
    fn only_a_star_matches_everything() {
        assert!(Glob::parse("*").unwrap().matches_everything());
        assert!(!Glob::parse("w*").unwrap().matches_everything());
    }

    #[test]
    fn what_can_match_no_container_is_refused() {
        for (text, error) in [
            ("", GlobError::Empty),
            ("Web", GlobError::Character('W')),
            ("a/b", GlobError::Character('/')),
            ("a.b", GlobError::Character('.')),
            ("**", GlobError::AnyDepth),
        ] {
            assert_eq!(Glob::parse(text), Err(error), "{text}");
        }
        for text in ["[a", "[!]", "[z-a]", "{a,b", "{a,{b}}", "a}"] {
            assert!(
                matches!(Glob::parse(text), Err(GlobError::Syntax(_))),
                "{text}"
            );
        }
    }
}
