//! Linked rule maps, by the policies that are in them.
//!
//! Most containers of a cluster have one of a few sets of policies, so linking costs once
//! per set and not once per pod.

use std::collections::HashMap;
use std::sync::Arc;

use bartizan_crds::RuleMapSpec;
use bartizan_policy::policy::Policy;

use super::keys::PolicyKey;
use super::refusal::{self, Refusal, Unreachable};

/// What is published for a set of policies.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// The digest of the spec.
    pub name: Arc<str>,
    /// The linked rules.
    pub spec: RuleMapSpec,
    /// Rules in it that never decide anything.
    pub unreachable: Vec<Unreachable>,
}

/// A policy that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// What it means.
    pub policy: Arc<Policy>,
    /// The generation of its object.
    pub generation: i64,
    /// Another number for every content of every policy.
    pub revision: u64,
}

/// Policies of a container: names and revisions, in the order of names.
type Set = Vec<(Arc<PolicyKey>, u64)>;

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: HashMap<Set, Result<Arc<Link>, Arc<Refusal>>>,
}

impl Links {
    /// What is published for these policies, which are in the order of their names.
    pub(super) fn get(
        &mut self,
        policies: &[(&Arc<PolicyKey>, &Accepted)],
    ) -> Result<Arc<Link>, Arc<Refusal>> {
        let set: Set = policies
            .iter()
            .map(|(key, accepted)| (Arc::clone(key), accepted.revision))
            .collect();
        let link = self.links.entry(set).or_insert_with(|| {
            let policies: Vec<&Policy> = policies
                .iter()
                .map(|(_, accepted)| &*accepted.policy)
                .collect();
            match refusal::publish(&policies) {
                Ok(publication) => Ok(Arc::new(Link {
                    name: publication.name.into(),
                    spec: publication.spec,
                    unreachable: publication.unreachable,
                })),
                Err(refusal) => Err(Arc::new(refusal)),
            }
        });
        link.clone()
    }

    /// Forgets what a policy that has changed is in.
    pub(super) fn forget(&mut self, policy: &PolicyKey) {
        self.links
            .retain(|set, _| set.iter().all(|(key, _)| **key != *policy));
    }

    /// Sets that are known.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }
}
