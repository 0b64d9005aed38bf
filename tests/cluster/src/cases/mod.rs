//! All cases, in the order in which they run.

mod density;
mod disk;
mod enforcement;
pub(crate) mod faults;
mod hold;
mod install;
mod isolation;
mod latency;
mod monitoring;
mod nodes;
mod nri;
pub(crate) mod policies;
pub(crate) mod samples;
mod startup;
mod uninstall;

use crate::case::Case;

/// Those that install come first.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = install::cases();
    cases.extend(policies::cases());
    cases.extend(enforcement::cases());
    cases.extend(samples::cases());
    cases.extend(latency::cases());
    cases.extend(monitoring::cases());
    cases.extend(hold::cases());
    cases.extend(isolation::cases());
    cases.extend(startup::cases());
    cases.extend(nodes::cases());
    cases.extend(density::cases());
    // They may leave a node worse than they found it.
    cases.extend(faults::cases());
    cases.extend(nri::cases());
    cases.extend(disk::cases());
    cases.extend(uninstall::cases());
    cases
}
