//! Several policies to the one rule map of a container.
//!
//! A pure function of the set of policies: their order, age and number of files
//! don't matter, which is what lets every node compute the same map.

use std::cmp::Reverse;

use bartizan_abi::limits::MAX_RULES;

use crate::policy::Policy;
use crate::rule_map::{Rule, RuleMap};
use crate::selector::{Labels, NAMESPACE_NAME};

/// A container that policies may select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace. `None`: unknown, and every policy counts as one of it.
    pub namespace: Option<String>,
    /// Labels of the namespace; `kubernetes.io/metadata.name` is added.
    pub namespace_labels: Labels,
    /// Labels of its pod.
    pub labels: Labels,
    /// Its name in the pod. `None`: unknown, and only the globs `*` match it.
    pub container: Option<String>,
}

/// Why policies make no rule map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// More rules than there are rule numbers.
    #[error(
        "{rules} rules hold for one container, but at most {MAX_RULES} can: {largest} alone \
         has {of_largest}"
    )]
    TooManyRules {
        /// All rules.
        rules: usize,
        /// The policy with the most rules.
        largest: String,
        /// How many those are.
        of_largest: usize,
    },
}

impl LinkError {
    /// Cause for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyRules { .. } => "TooManyRules",
        }
    }
}

impl Workload {
    /// Whether a policy holds for this container.
    pub fn is_selected_by(&self, policy: &Policy) -> bool {
        self.is_in_scope_of(policy)
            && policy.selector.matches(&self.labels)
            && (policy.containers.is_empty()
                || policy.containers.iter().any(|glob| match &self.container {
                    Some(name) => glob.matches(name),
                    None => glob.matches_everything(),
                }))
    }

    fn is_in_scope_of(&self, policy: &Policy) -> bool {
        let Some(own) = &self.namespace else {
            return true;
        };
        match (&policy.info.namespace, &policy.namespace_selector) {
            (Some(namespace), _) => namespace == own,
            (None, Some(selector)) => {
                let mut labels = self.namespace_labels.clone();
                labels.insert(NAMESPACE_NAME.to_owned(), own.clone());
                selector.matches(&labels)
            }
            (None, None) => true,
        }
    }
}

/// The rules that hold for a container, in canonical order: namespaced policies before
/// cluster-wide ones, then by namespace and name; rules as their policy has them.
pub fn link(policies: &[Policy], workload: &Workload) -> Result<RuleMap, LinkError> {
    let mut selected: Vec<&Policy> = policies
        .iter()
        .filter(|policy| workload.is_selected_by(policy))
        .collect();
    selected.sort_by_key(|policy| {
        (
            Reverse(policy.info.namespace.is_some()),
            &policy.info.namespace,
            &policy.info.name,
        )
    });
    let rules: usize = selected.iter().map(|policy| policy.rules.len()).sum();
    if rules > MAX_RULES {
        let largest = selected.iter().max_by_key(|policy| policy.rules.len());
        return Err(LinkError::TooManyRules {
            rules,
            largest: largest
                .map(|policy| policy.info.reference())
                .unwrap_or_default(),
            of_largest: largest.map_or(0, |policy| policy.rules.len()),
        });
    }
    let mut map = RuleMap::default();
    for (number, policy) in selected.into_iter().enumerate() {
        map.policies.push(policy.info.clone());
        map.rules.extend(policy.rules.iter().map(|rule| Rule {
            policy: number,
            ..rule.clone()
        }));
    }
    Ok(map)
}
