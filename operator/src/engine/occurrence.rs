//! What two statuses of a policy tell people apart from.

use bartizan_crds::PolicyStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::cluster::{ACCEPTED, ENFORCED};
use crate::write::{Occurrence, OccurrenceKind};

/// What has happened between two statuses; a restart in between repeats nothing.
pub(super) fn between(before: Option<&PolicyStatus>, after: &PolicyStatus) -> Vec<Occurrence> {
    let find = |status: &PolicyStatus, type_: &str| -> Option<Condition> {
        let mut conditions = status.conditions.iter();
        conditions.find(|one| one.type_ == type_).cloned()
    };
    let was = |type_: &str| before.and_then(|before| find(before, type_));
    let mut occurrences = Vec::new();
    if let Some(accepted) = find(after, ACCEPTED).filter(|one| one.status == "False") {
        let known = was(ACCEPTED).is_some_and(|before| {
            before.status == "False" && before.observed_generation == accepted.observed_generation
        });
        if !known {
            occurrences.push(Occurrence {
                kind: OccurrenceKind::Refused,
                reason: accepted.reason,
                note: accepted.message,
            });
        }
    }
    if let Some(enforced) = find(after, ENFORCED).filter(|one| one.status == "True")
        && was(ENFORCED).is_none_or(|before| before.status != "True")
    {
        occurrences.push(Occurrence {
            kind: OccurrenceKind::Enforced,
            reason: "Enforced".to_owned(),
            note: enforced.message,
        });
    }
    occurrences
}
