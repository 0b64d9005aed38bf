//! All cases. A topic is a module with a `cases()`; it is listed here once.

mod guest;

use crate::case::Case;

/// Every case of every topic, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [guest::cases()].into_iter().flatten().collect()
}
