//! What of a policy the kernels of nodes can't enforce, by the words of their enforcers.

use std::fmt;

use bartizan_crds::{ContainerCounts, ContainerReport};

use super::keys::PodKey;

/// Containers in which a policy is in the kernel, but not enforced in full.
#[derive(Debug, Default)]
pub(super) struct Unenforceable {
    containers: usize,
    /// One of them, with what is missing for it.
    first: Option<String>,
}

impl Unenforceable {
    /// Counts a container, and what its node's enforcer says of a policy.
    pub(super) fn add(
        &mut self,
        (pod, container, node): (&PodKey, &str, Option<&str>),
        report: Option<&ContainerReport>,
        policy: &str,
    ) {
        self.containers += 1;
        self.first.get_or_insert_with(|| {
            let lacking = report.and_then(|report| report.lacking(policy));
            let lacks = lacking.map_or_else(String::new, |it| {
                format!(
                    ": it lacks {} for {} of {}",
                    it.hooks.join(", "),
                    it.operations.join(", "),
                    it.rules.join(", ")
                )
            });
            let node = node.unwrap_or("its node");
            format!("{container} of pod {pod} by the kernel of {node}{lacks}")
        });
    }

    /// Whether nothing else is in the way of a policy that selects so many containers.
    pub(super) fn is_all(&self, counts: ContainerCounts) -> bool {
        let enforced = usize::try_from(counts.enforced).unwrap_or(0);
        let selected = usize::try_from(counts.selected).unwrap_or(usize::MAX);
        self.containers > 0 && self.containers + enforced == selected
    }
}

/// The end of a sentence; nothing if there are none.
impl fmt::Display for Unenforceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.first, self.containers) {
            (None, _) => Ok(()),
            (Some(first), 1) => write!(f, "; not enforceable in full in {first}"),
            (Some(first), number) => write!(
                f,
                "; not enforceable in full in {number} containers, such as {first}"
            ),
        }
    }
}
