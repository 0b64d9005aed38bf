//! What differs between what should be for a pod and what is.

use bartizan_crds::PodEnforcementSpec;

use crate::cluster::{Cluster, PodKey, PodPlan};

/// What has to be done about a pod.
#[derive(Debug, PartialEq)]
pub(super) enum Todo {
    Nothing,
    /// Its `PodEnforcement` has no pod: wait whether that is only late news.
    Orphan,
    /// There should be none, or another that can't be made of this one.
    Delete(String),
    Apply(PodEnforcementSpec),
}

/// What differs between the plan of a pod and what is there.
pub(super) fn todo(cluster: &Cluster, key: &PodKey, plan: &mut PodPlan) -> Todo {
    match (cluster.enforcement(key), plan.spec.take()) {
        (None, None) => Todo::Nothing,
        (None, Some(spec)) => Todo::Apply(spec),
        (Some(_), None) if !cluster.has_pod(key) => Todo::Orphan,
        (Some(there), None) => Todo::Delete(there.uid.clone()),
        (Some(there), Some(spec)) => {
            let same_owner = there.owner.as_ref() == Some(&plan.owner);
            match &there.spec {
                Some(old) if same_owner && *old == spec => Todo::Nothing,
                // What can't be changed in place.
                Some(old) if old.pod_uid != spec.pod_uid => Todo::Delete(there.uid.clone()),
                Some(old) if old.node.is_some() && old.node != spec.node => {
                    Todo::Delete(there.uid.clone())
                }
                Some(_) if !same_owner => Todo::Delete(there.uid.clone()),
                _ => Todo::Apply(spec),
            }
        }
    }
}
