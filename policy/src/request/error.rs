//! Why words are no operation.

/// Why words are no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No words.
    #[error("no operation: write one such as `exec /usr/bin/apt`")]
    Empty,
    /// The first word.
    #[error("unknown operation `{word}`{suggestion}")]
    Operation {
        /// As written.
        word: String,
        /// The nearest, or all.
        suggestion: String,
    },
    /// Too few words.
    #[error("`{operation}` needs {what}")]
    Missing {
        /// The first word.
        operation: String,
        /// What comes next.
        what: &'static str,
    },
    /// A word too many.
    #[error("unexpected `{0}`")]
    Unexpected(String),
    /// A path that could not be a name in a container.
    #[error("`{path}` is no canonical path: {why}")]
    Path {
        /// As written.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Not `ADDRESS:PORT`.
    #[error("`{0}` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443`")]
    Address(String),
    /// Not a word or number of a table.
    #[error("unknown {what} `{word}`")]
    Word {
        /// What was expected.
        what: &'static str,
        /// As written.
        word: String,
    },
    /// A capability that doesn't exist.
    #[error("unknown capability `{word}`{hint}")]
    Capability {
        /// As written.
        word: String,
        /// The nearest, if one is near.
        hint: String,
    },
}
