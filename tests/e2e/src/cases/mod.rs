//! All cases. A topic is a module with a `cases()`; it is listed here once.

mod bypass;
mod guest;
mod samples;

use crate::case::Case;

/// Every case of every topic, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [guest::cases(), samples::cases(), bypass::cases()]
        .into_iter()
        .flatten()
        .collect()
}
