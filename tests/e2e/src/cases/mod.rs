//! All cases. A topic is a module with a `cases()`; it is listed here once.

mod bypass;
#[cfg(test)]
mod catalogue;
mod cgroup;
mod churn;
mod guest;
mod load;
mod missing_hooks;
mod mounts;
mod names;
mod pods;
mod restrict;
mod samples;
mod standalone;
mod start_up;
mod survival;

use crate::case::Case;

/// An attempt's name, and what it does, in Markdown: a line of the bypass catalogue.
type Technique = (&'static str, &'static str);

/// Every case of every topic, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [
        guest::cases(),
        start_up::cases(),
        missing_hooks::cases(),
        samples::cases(),
        bypass::cases(),
        mounts::cases(),
        restrict::cases(),
        names::cases(),
        cgroup::cases(),
        pods::cases(),
        standalone::cases(),
        survival::cases(),
        load::cases(),
        churn::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
