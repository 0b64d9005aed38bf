//! What to say to somebody who is about to write a policy.

use std::sync::Arc;

use bartizan_policy::load;
use bartizan_policy::policy::Policy;
use serde_json::Value as Json;

use crate::cluster::{Cluster, PolicyKey, Refusal, publish};

/// Warnings that one answer has: people read the first.
const MAX_WARNINGS: usize = 10;

/// A policy that somebody writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// Its name.
    pub key: PolicyKey,
    /// The object with `apiVersion`, `kind`, its name and `spec`.
    pub object: Json,
}

/// What is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be stored.
    Accepted {
        /// What its author should know.
        warnings: Vec<String>,
    },
    /// It may not.
    Refused {
        /// The kind of reason.
        reason: &'static str,
        /// One line.
        message: String,
    },
}

impl Answer {
    /// The kind of answer, as metrics name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "Accepted",
            Self::Refused { reason, .. } => reason,
        }
    }

    fn refused(refusal: &Refusal) -> Self {
        Self::Refused {
            reason: refusal.reason(),
            message: refusal.to_string(),
        }
    }
}

impl Cluster {
    /// Judges a policy alone, and together with those that select the same containers.
    pub fn review(&self, review: &Review) -> Answer {
        let policy = match load::object(&review.object) {
            Ok(policy) => policy,
            Err(problems) => return Answer::refused(&Refusal::Invalid(problems)),
        };
        if let Err(refusal) = publish(&[&policy]) {
            return Answer::refused(&refusal);
        }
        let mut warnings = Vec::new();
        let sets = self.company(&review.key, &policy);
        if sets.selected == 0 {
            warnings.push("the policy selects no container that is there now".to_owned());
        }
        for (pod, container, others) in sets.sets {
            let mut together: Vec<&Policy> = others.iter().map(|policy| &**policy).collect();
            // What doesn't fit without it is not its author's fault.
            if !together.is_empty() && publish(&together).is_err() {
                continue;
            }
            together.push(&policy);
            match publish(&together) {
                Ok(publication) => {
                    let mine = publication.unreachable.into_iter();
                    let mine = mine.filter(|one| one.policy == review.key);
                    let place = format!("for container {container} of pod {pod}");
                    warnings.extend(mine.map(|one| format!("{place}, {}", one.said)));
                }
                Err(refusal) => {
                    return Answer::Refused {
                        reason: refusal.reason(),
                        message: format!(
                            "together with the other policies of container {container} of pod \
                             {pod}: {refusal}"
                        ),
                    };
                }
            }
        }
        warnings.truncate(MAX_WARNINGS);
        Answer::Accepted { warnings }
    }
}

/// The policies that a policy would be linked with.
pub(crate) struct Company {
    /// Containers that it selects.
    pub(crate) selected: usize,
    /// Each set of others once, with a container that has it.
    pub(crate) sets: Vec<(String, String, Vec<Arc<Policy>>)>,
}
