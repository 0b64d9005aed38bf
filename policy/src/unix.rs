//! Names of Unix sockets as rules write them: patterns of paths, and abstract names.
//!
//! ```text
//!   /run/docker.sock   **/*.sock      a path: whoever binds it makes a file there
//!   @com.example.bus   @com.example*  an abstract name, whole or by its start
//! ```

use std::fmt;

use crate::excerpt::excerpt;
use crate::pattern::{Pattern, PatternError};

/// Bytes that an abstract name can have (`sun_path` without its first byte).
const MAX_LENGTH: usize = 107;

/// One entry of a rule's `unix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// Sockets by the path of their file.
    Path(Pattern),
    /// Sockets by abstract name.
    Abstract(AbstractName),
}

/// An abstract name, or all that begin with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbstractName {
    /// Without the `@`.
    name: String,
    /// Whether more may follow.
    is_prefix: bool,
}

/// Why a text names no Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnixNameError {
    /// A path that is no pattern.
    #[error(transparent)]
    Path(PatternError),
    /// `@` alone.
    #[error("`@` names no socket: write `@*` for every abstract name")]
    Empty,
    /// A `*` in the middle.
    #[error("`{0}` has a `*` before its end: only the end of an abstract name can be open")]
    Star(String),
    /// Too long.
    #[error("`{0}` has more than the {MAX_LENGTH} bytes that an abstract name can have")]
    Length(String),
}

impl UnixName {
    /// Parses an entry of a rule's `unix`.
    pub fn parse(text: &str) -> Result<Self, UnixNameError> {
        let Some(name) = text.strip_prefix('@') else {
            let pattern = Pattern::parse(text).map_err(UnixNameError::Path)?;
            return Ok(Self::Path(pattern));
        };
        let (name, is_prefix) = match name.strip_suffix('*') {
            Some(start) => (start, true),
            None => (name, false),
        };
        let owned = || excerpt(text).into_owned();
        if name.is_empty() && !is_prefix {
            return Err(UnixNameError::Empty);
        }
        if name.contains('*') {
            return Err(UnixNameError::Star(owned()));
        }
        if name.len() > MAX_LENGTH {
            return Err(UnixNameError::Length(owned()));
        }
        Ok(Self::Abstract(AbstractName {
            name: name.to_owned(),
            is_prefix,
        }))
    }
}

impl AbstractName {
    /// The bytes that a name begins with, or is.
    pub fn bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Whether more may follow.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether it matches every name that another one does.
    pub fn covers(&self, other: &Self) -> bool {
        if self.is_prefix {
            other.bytes().starts_with(self.bytes())
        } else {
            self == other
        }
    }
}

impl fmt::Display for AbstractName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.is_prefix { "*" } else { "" };
        write!(f, "@{}{open}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AbstractName {
        match UnixName::parse(text) {
            Ok(UnixName::Abstract(name)) => name,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_what_is_printed() {
        for text in ["@a", "@*", "@com.example*", "@/containerd-shim/", "@a\0b"] {
            assert_eq!(name(text).to_string(), text);
        }
        let path = UnixName::parse("/run/*.sock");
        assert_eq!(
            path,
            Ok(UnixName::Path(Pattern::parse("/run/*.sock").unwrap()))
        );
    }

    #[test]
    fn a_start_covers_longer_names() {
        assert!(name("@a*").covers(&name("@a")));
        assert!(name("@a*").covers(&name("@ab*")));
        assert!(name("@*").covers(&name("@a*")));
        assert!(!name("@a").covers(&name("@a*")));
        assert!(!name("@a").covers(&name("@ab")));
    }

    #[test]
    fn what_names_no_socket_is_refused_with_the_reason() {
        let message = |text: &str| UnixName::parse(text).unwrap_err().to_string();
        assert_eq!(
            message("@"),
            "`@` names no socket: write `@*` for every abstract name"
        );
        assert_eq!(
            message("@a*b"),
            "`@a*b` has a `*` before its end: only the end of an abstract name can be open"
        );
        assert!(UnixName::parse(&format!("@{}", "a".repeat(107))).is_ok());
        assert!(message(&format!("@{}*", "a".repeat(108))).contains("107 bytes"));
        assert!(message("run/x").contains("not absolute"));
    }
}
