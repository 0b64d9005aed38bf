//! Why a rule map has no table.

use bartizan_abi::limits::{MAX_RULES, MAX_SUBJECTS, TABLE_SIZE};

/// Why a rule map has no table. Nothing is ever left out to make one fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Rules are numbered in 16 bits.
    #[error("the policies of one container have {rules} rules, more than {MAX_RULES}")]
    TooManyRules {
        /// Their number.
        rules: usize,
    },
    /// `from` and `exceptFrom` tell too many kinds of callers apart.
    #[error(
        "`from` and `exceptFrom` tell {subjects} kinds of callers apart, more than \
         {MAX_SUBJECTS}; most of them: {}",
        listed(culprits)
    )]
    TooManySubjects {
        /// Kinds of callers.
        subjects: usize,
        /// Rules with the most to tell apart.
        culprits: Vec<Culprit>,
    },
    /// Following all patterns at once takes too many states.
    #[error(
        "{what} would have to be told apart by more patterns at once than tables have room \
         for: use fewer `**` and `*` that can match at the same place in {}",
        listed(culprits)
    )]
    StateExplosion {
        /// Patterns of what.
        what: &'static str,
        /// Those that most states are about.
        culprits: Vec<Culprit>,
    },
    /// The table doesn't fit.
    #[error(
        "the compiled rules take {bytes} bytes, more than {TABLE_SIZE}; most of them: {}",
        listed(culprits)
    )]
    TooLarge {
        /// Bytes the table would have.
        bytes: usize,
        /// Rules that cost most.
        culprits: Vec<Culprit>,
    },
    /// What the rules tell apart is numbered in 16 bits.
    #[error(
        "the rules tell {count} {what} apart, more than {}; most of them: {}",
        u16::MAX,
        listed(culprits)
    )]
    TooManyNumbers {
        /// What is numbered.
        what: &'static str,
        /// How many there would be.
        count: usize,
        /// Rules with the most of them.
        culprits: Vec<Culprit>,
    },
    /// No seed separates the names of the rules.
    #[error("the {names} names in the rules can't be told apart by one hash")]
    LiteralCollision {
        /// Names.
        names: usize,
    },
}

/// A part of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Culprit {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// Name or place of the rule.
    pub rule: String,
    /// The pattern, if it is about one.
    pub pattern: Option<String>,
}

impl CompileError {
    /// The parts of policies that cost most, those first; none where none stand out.
    pub fn culprits(&self) -> &[Culprit] {
        match self {
            Self::TooManySubjects { culprits, .. }
            | Self::StateExplosion { culprits, .. }
            | Self::TooLarge { culprits, .. }
            | Self::TooManyNumbers { culprits, .. } => culprits,
            Self::TooManyRules { .. } | Self::LiteralCollision { .. } => &[],
        }
    }

    /// The kind of error, as metrics and conditions name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyRules { .. } => "TooManyRules",
            Self::TooManySubjects { .. } => "TooManySubjects",
            Self::StateExplosion { .. } => "StateExplosion",
            Self::TooLarge { .. } => "TableTooLarge",
            Self::TooManyNumbers { .. } => "TooManyNumbers",
            Self::LiteralCollision { .. } => "LiteralCollision",
        }
    }
}

impl std::fmt::Display for Culprit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(pattern) = &self.pattern {
            write!(f, "`{pattern}` of ")?;
        }
        write!(f, "rule `{}` of policy `{}`", self.rule, self.policy)
    }
}

fn listed(culprits: &[Culprit]) -> String {
    culprits
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
