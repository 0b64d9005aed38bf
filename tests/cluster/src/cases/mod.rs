//! All cases, in the order in which they run.

mod enforcement;
mod install;
mod policies;

use crate::case::Case;

/// Those that install come first.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = install::cases();
    cases.extend(policies::cases());
    cases.extend(enforcement::cases());
    cases
}
