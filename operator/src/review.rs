//! What to say to somebody who is about to write a policy.

use std::sync::Arc;

use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;
use bartizan_policy::evaluate::evaluate;
use bartizan_policy::lint::warnings;
use bartizan_policy::load;
use bartizan_policy::operation::{Caller, Name, Object, Request};
use bartizan_policy::policy::Policy;
use serde_json::Value as Json;

use crate::cluster::{Cluster, PolicyKey, Program, Publication, Refusal, publish};

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
        let alone = match publish(&[&policy]) {
            Ok(alone) => alone,
            Err(refusal) => return Answer::refused(&refusal),
        };
        let company = self.company(&review.key, &policy);
        let own: Vec<String> = warnings(&policy).iter().map(ToString::to_string).collect();
        let (mut broken, mut unreachable) = (Vec::new(), Vec::new());
        for set in &company.sets {
            let others: Vec<&Policy> = set.others.iter().map(|one| &**one).collect();
            let together = if others.is_empty() {
                None
            } else {
                let all: Vec<&Policy> = others.iter().copied().chain([&policy]).collect();
                match publish(&all) {
                    Ok(together) => Some(together),
                    // What doesn't fit without it is not its author's fault.
                    Err(_) if publish(&others).is_err() => continue,
                    Err(refusal) => {
                        return Answer::Refused {
                            reason: refusal.reason(),
                            message: format!(
                                "together with the other policies of {}: {refusal}",
                                set.place
                            ),
                        };
                    }
                }
            };
            let together = together.as_ref().unwrap_or(&alone);
            broken.extend(broken_programs(set, &others, together));
            let mine = together.unreachable.iter();
            let mine = mine.filter(|one| one.policy == review.key && !own.contains(&one.said));
            unreachable.extend(mine.map(|one| format!("for {}, {}", set.place, one.said)));
        }
        let mut said = Vec::new();
        if company.selected == 0 {
            said.push("the policy selects no container that is there now".to_owned());
        }
        // The most important ones first: the rest is cut off.
        said.extend(broken);
        said.extend(own);
        said.extend(unreachable);
        said.truncate(MAX_WARNINGS);
        Answer::Accepted { warnings: said }
    }
}

/// Programs that the containers' own pods have them run, and that are denied only now.
fn broken_programs(set: &Set, others: &[&Policy], after: &Publication) -> Vec<String> {
    let request = |path: &str| Request {
        operation: Operation::Exec,
        object: Object::File {
            name: Name::Path(path.as_bytes().to_vec()),
            owned: false,
        },
        caller: Caller::Runtime,
    };
    let denied = set.programs.iter().filter_map(|(place, program)| {
        let verdict = evaluate(&after.table, &request(&program.path));
        let blocks = verdict.outcome == Outcome::Deny;
        (blocks || verdict.outcome == Outcome::WouldDeny).then_some((place, program, verdict))
    });
    let mut denied = denied.peekable();
    if denied.peek().is_none() {
        return Vec::new();
    }
    let before = publish(others).ok();
    let new = denied.filter(|(_, program, verdict)| {
        before.as_ref().is_none_or(|before| {
            evaluate(&before.table, &request(&program.path)).outcome != verdict.outcome
        })
    });
    new.map(|(place, Program { role, path }, verdict)| {
        let denied = match verdict.outcome {
            Outcome::Deny => "is denied",
            _ => "would be denied",
        };
        let by = verdict.rule.map(|number| {
            let rule = &after.map.rules[number];
            let policy = after.map.policies[rule.policy].reference();
            format!(" by rule {} of policy {policy}", rule.name)
        });
        let by = by.unwrap_or_default();
        format!("for {place}, its {role} `{path}` {denied}{by}")
    })
    .collect()
}

/// The policies that a policy would be linked with.
pub(crate) struct Company {
    /// Containers that it selects.
    pub(crate) selected: usize,
    /// Each set of others once.
    pub(crate) sets: Vec<Set>,
}

/// Policies that some of the selected containers have.
pub(crate) struct Set {
    /// The first of these containers.
    pub(crate) place: String,
    /// The policies.
    pub(crate) others: Vec<Arc<Policy>>,
    /// What these containers run, and which of them does.
    pub(crate) programs: Vec<(String, Program)>,
}
