//! Globs of container names: `web`, `sidecar-*`, `{init,setup}-[0-9]`.
//!
//! One component of a path pattern, with the letters that a container name can have:
//! anything else could never match, so it is a mistake.

use crate::pattern::{Component, Pattern, PatternError, Token};

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

    /// A name that matches, if one is easily found.
    pub fn example(&self) -> Option<String> {
        let mut name = String::new();
        match &self.component {
            Component::AnyDepth => return None,
            Component::Literal(literal) => name.push_str(str::from_utf8(literal).ok()?),
            Component::Glob(glob) => push_example(&mut name, glob.tokens())?,
        }
        self.matches(&name).then_some(name)
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn push_example(name: &mut String, tokens: &[Token]) -> Option<()> {
    for token in tokens {
        match token {
            Token::AnyRun => {}
            Token::AnyChar => name.push('x'),
            Token::Class { negated, ranges } => {
                let is_in = |c: &char| ranges.iter().any(|(a, b)| (a..=b).contains(&c));
                let mut letters = ('a'..='z').chain('0'..='9');
                name.push(letters.find(|c| is_in(c) != *negated)?);
            }
            Token::Literal(literal) => name.push_str(str::from_utf8(literal).ok()?),
            Token::Alternatives(all) => push_example(name, all.first()?)?,
        }
    }
    Some(())
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
    fn an_example_is_a_name_that_matches() {
        for (glob, name) in [
            ("web", Some("web")),
            ("side-*", Some("side-")),
            ("{init,setup*}-[!a-c]?", Some("init-dx")),
            ("[0-9]", Some("0")),
            ("[!a-z0-9]", None),
        ] {
            let example = Glob::parse(glob).unwrap().example();
            assert_eq!(example.as_deref(), name, "{glob}");
        }
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
