//! Which policies a policy meets.

use std::collections::HashSet;
use std::sync::Arc;

use bartizan_policy::policy::Policy;

use super::{Cluster, PolicyKey};
use crate::review::Company;

impl Cluster {
    /// The other policies of the containers that a policy selects, or would.
    pub(crate) fn company(&self, key: &PolicyKey, policy: &Policy) -> Company {
        let mut company = Company {
            selected: 0,
            sets: Vec::new(),
        };
        let mut seen: HashSet<Vec<&PolicyKey>> = HashSet::new();
        let scope: Vec<&String> = match &key.namespace {
            Some(namespace) => vec![namespace],
            None => self.pods_in.keys().collect(),
        };
        for namespace in scope {
            let Some(labels) = self.namespaces.get(namespace) else {
                continue;
            };
            if !policy.holds_in(namespace, labels) {
                continue;
            }
            for pod in self.pods_of(namespace) {
                let record = &self.pods[&pod];
                if record.pod.ended || !policy.selector.matches(&record.pod.labels) {
                    continue;
                }
                for container in &record.pod.containers {
                    if !policy.selects_container(&container.name) {
                        continue;
                    }
                    company.selected += 1;
                    let others = record.policies.iter().filter(|other| ***other != *key);
                    let others: Vec<(&PolicyKey, Arc<Policy>)> = others
                        .filter_map(|other| {
                            let accepted = self.policies.get(other)?.accepted.as_ref()?;
                            let selects = accepted.policy.selects_container(&container.name);
                            selects.then(|| (&**other, Arc::clone(&accepted.policy)))
                        })
                        .collect();
                    if seen.insert(others.iter().map(|(key, _)| *key).collect()) {
                        let policies = others.into_iter().map(|(_, policy)| policy).collect();
                        company
                            .sets
                            .push((pod.to_string(), container.name.clone(), policies));
                    }
                }
            }
        }
        company
    }
}
