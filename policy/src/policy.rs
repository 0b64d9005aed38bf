//! A policy that has been checked: everything in it means something.
//!
//! Parsed from the API types by [`crate::validate`]; [`crate::link`] makes rule maps
//! of it. Nothing behind this type looks at a user's text again.

use bartizan_crds::Startup;

use crate::glob::Glob;
use crate::load::Diagnostic;
use crate::rule_map::{Mode, PolicyInfo, Rule};
use crate::selector::{Labels, Selector};

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
    /// Whether containers wait for its rules before they start.
    pub startup: Startup,
    /// Its rules in canonical order; [`Rule::policy`] is 0.
    pub rules: Vec<Rule>,
    /// Where the policy and each of its rules were written; `None` for one that
    /// doesn't come from a file.
    pub origin: Option<Origin>,
    /// What in it was found to be valid, but probably not meant, as it was read;
    /// [`crate::lint::warnings`] knows more.
    pub warnings: Vec<Diagnostic>,
}

impl Policy {
    /// Whether it holds in a namespace with these labels, of which
    /// [`crate::selector::NAMESPACE_NAME`] is one.
    pub fn holds_in(&self, namespace: &str, labels: &Labels) -> bool {
        match (&self.info.namespace, &self.namespace_selector) {
            (Some(own), _) => own == namespace,
            (None, Some(selector)) => selector.matches(labels),
            (None, None) => true,
        }
    }

    /// Whether a container must not start without its rules. A dry run changes nothing, so a
    /// policy in `Audit` never keeps a container from starting; what it would have kept is
    /// reported as for `startup: Report`.
    pub fn holds_containers(&self) -> bool {
        self.startup == Startup::Hold && self.info.mode == Mode::Enforce
    }

    /// Whether it holds for containers of this name in the pods it selects.
    pub fn selects_container(&self, name: &str) -> bool {
        self.containers.is_empty() || self.containers.iter().any(|glob| glob.matches(name))
    }

    /// Whether it holds for containers of any name.
    pub fn selects_every_container(&self) -> bool {
        self.containers.is_empty() || self.containers.iter().any(Glob::matches_everything)
    }
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
