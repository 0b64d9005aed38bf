//! Why a text is no pattern.

use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};

use super::MAX_PATTERN;

/// Why a text is no pattern, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `""`
    #[error("the pattern is empty: write a path such as `/etc/shadow`, or `/**` for everything")]
    Empty,
    /// More than [`MAX_PATTERN`] bytes.
    #[error("the pattern has {bytes} bytes, more than {MAX_PATTERN}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// NUL, which no name has.
    #[error("the pattern has a NUL, which no name has: remove it")]
    Nul,
    /// Newline and the like.
    #[error("the pattern has a control character (U+{code:04X}): use `?` where a name has one")]
    Control {
        /// Its code point.
        code: u32,
    },
    /// Starts with neither `/` nor `**/`.
    #[error("`{text}` is not absolute: start with `/`, or with `**/` for any directory")]
    Relative {
        /// The pattern.
        text: String,
    },
    /// `**`
    #[error("`**` alone is not a path: write `/**` for everything")]
    BareAnyDepth,
    /// `/a/`
    #[error("a trailing `/` matches nothing: leave it out, or write `/**` for what is below")]
    TrailingSlash,
    /// `//`
    #[error("`//` has an empty component, which no path has: write a single `/`")]
    EmptyComponent,
    /// `.` or `..`
    #[error("no canonical path has a component `{component}`: write the path without it")]
    DotComponent {
        /// `.` or `..`
        component: String,
    },
    /// A component that is longer than any name.
    #[error("the component `{start}...` needs {bytes} bytes; names have at most {MAX_NAME}")]
    LongComponent {
        /// Its first characters.
        start: String,
        /// Bytes of the shortest name it could match.
        bytes: usize,
    },
    /// Deeper than any path that is matched.
    #[error("the pattern needs {components} components; paths have at most {MAX_DEPTH}")]
    TooDeep {
        /// Components of the shortest path it could match.
        components: usize,
    },
    /// `a**`
    #[error(
        "`**` stands for whole components and must be alone between slashes, not inside \
         `{component}`: write `*` for a part of a name, or `**/` in front of the name"
    )]
    AnyDepthInside {
        /// The component.
        component: String,
    },
    /// `[a`
    #[error("`[` without `]` in the component `{component}`: close it, or write `\\[`")]
    OpenClass {
        /// The component.
        component: String,
    },
    /// `{a`
    #[error(
        "`{{` without `}}` in the component `{component}`: close it, or write `\\{{`; \
         alternatives can't contain `/`"
    )]
    OpenAlternatives {
        /// The component.
        component: String,
    },
    /// `a]`, `a}`
    #[error("`{close}` closes nothing in the component `{component}`: write `\\{close}`")]
    Stray {
        /// The component.
        component: String,
        /// `]` or `}`.
        close: char,
    },
    /// `[]`, `[!]`
    #[error("a class in `{component}` is empty: name at least one character, as in `[a-z]`")]
    EmptyClass {
        /// The component.
        component: String,
    },
    /// `[z-a]`
    #[error("the range `{first}-{last}` in `{component}` is reversed: write `{last}-{first}`")]
    ReversedRange {
        /// The component.
        component: String,
        /// Its first character.
        first: char,
        /// Its last character.
        last: char,
    },
    /// `{a,}`
    #[error("an alternative in `{component}` is empty: write two patterns instead")]
    EmptyAlternative {
        /// The component.
        component: String,
    },
    /// `{a,{b,c}}`
    #[error(
        "alternatives inside alternatives in `{component}`: write them as one list, \
         as in `{{a,b,c}}`"
    )]
    NestedAlternatives {
        /// The component.
        component: String,
    },
    /// `a\`
    #[error(
        "the backslash at the end of the component `{component}` escapes nothing: \
         write `\\\\` for a backslash"
    )]
    TrailingBackslash {
        /// The component.
        component: String,
    },
}

impl PatternError {
    /// The kind of error, as metrics and conditions name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "EmptyPattern",
            Self::TooLong { .. } | Self::LongComponent { .. } | Self::TooDeep { .. } => {
                "PatternTooLong"
            }
            Self::Control { .. } | Self::Nul => "ControlCharacter",
            Self::Relative { .. } | Self::BareAnyDepth => "RelativePattern",
            Self::TrailingSlash | Self::EmptyComponent | Self::DotComponent { .. } => {
                "NotCanonical"
            }
            Self::AnyDepthInside { .. } => "MisplacedAnyDepth",
            Self::OpenClass { .. }
            | Self::OpenAlternatives { .. }
            | Self::Stray { .. }
            | Self::EmptyClass { .. }
            | Self::ReversedRange { .. }
            | Self::EmptyAlternative { .. }
            | Self::NestedAlternatives { .. }
            | Self::TrailingBackslash { .. } => "MalformedGlob",
        }
    }
}
