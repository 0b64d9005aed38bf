//! A policy that has been checked: everything in it means something.
//!
//! Parsed from the API types by [`crate::validate`]; [`crate::link`] makes rule maps
//! of it. Nothing behind this type looks at a user's text again.

use crate::glob::Glob;
use crate::rule_map::{PolicyInfo, Rule};
use crate::selector::Selector;

/// One `SecurityPolicy` or `ClusterSecurityPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name, mode and what is carried into denials.
    pub info: PolicyInfo,
    /// Labels of the pods it holds for.
    pub selector: Selector,
    /// Labels of the namespaces it holds in; for a cluster policy only.
    pub namespace_selector: Option<Selector>,
    /// Names of the containers it holds for. Empty: every container.
    pub containers: Vec<Glob>,
    /// Its rules in canonical order; [`Rule::policy`] is 0.
    pub rules: Vec<Rule>,
    /// Where the policy and each of its rules were written; `None` for one that
    /// doesn't come from a file.
    pub origin: Option<Origin>,
}

/// Where a policy was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// File name as the user gave it.
    pub file: String,
    /// Line of the policy, from 1.
    pub line: u32,
    /// Lines of its rules, in the order of [`Policy::rules`].
    pub rules: Vec<u32>,
}
