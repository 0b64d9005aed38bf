//! Subjects: calling executables that no rule tells apart.

use crate::rule_map::Effect;

/// One class of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The executable has no name: in every `from` that could deny or report, in no
    /// other list.
    Unresolved,
    /// The runtime that starts the container: in no list.
    Runtime,
    /// In exactly these lists; sorted.
    Lists(Vec<u32>),
}

impl Subject {
    /// Whether it counts as being in the `from` list of a rule with that effect.
    pub(super) fn is_in_from(&self, list: u32, effect: Effect) -> bool {
        match self {
            Self::Unresolved => effect != Effect::Allow,
            Self::Runtime => false,
            Self::Lists(lists) => lists.binary_search(&list).is_ok(),
        }
    }

    /// Whether it counts as being in an `exceptFrom` list.
    pub(super) fn is_excepted(&self, list: u32) -> bool {
        match self {
            Self::Unresolved | Self::Runtime => false,
            Self::Lists(lists) => lists.binary_search(&list).is_ok(),
        }
    }
}
