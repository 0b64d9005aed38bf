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
    /// Not UTF-8, where no path is expected.
    #[error("`{0}` is not UTF-8: only a PATH may be something else")]
    NoText(String),
    /// Not `ADDRESS:PORT`.
    #[error(
        "`{0}` is no ADDRESS:PORT: write `10.0.0.1:443` or `[fd00::1]:443` (host names are not \
         resolved)"
    )]
    Address(String),
    /// An address of one interface alone.
    #[error("`{0}` has a zone: write the address without `%...`")]
    Zone(String),
    /// A port above 65535.
    #[error("port {0} doesn't exist: ports are 0 to 65535")]
    Port(String),
    /// Another word for `icmp`.
    #[error("`{0}` is judged as `icmp`: write that")]
    Icmpv6(String),
    /// Not a word or number of a table.
    #[error("unknown {what} `{word}`{hint}")]
    Word {
        /// What was expected.
        what: &'static str,
        /// As written.
        word: String,
        /// The nearest, or all.
        hint: String,
    },
    /// A capability that doesn't exist.
    #[error("unknown capability `{word}`{hint}")]
    Capability {
        /// As written.
        word: String,
        /// The nearest, or where they are listed.
        hint: String,
    },
}
