//! Which policies a policy meets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bartizan_policy::policy::Policy;

use super::{Cluster, PolicyKey};
use crate::review::{Company, Set};

impl Cluster {
    /// The other policies of the containers that a policy selects, or would.
    pub(crate) fn company(&self, key: &PolicyKey, policy: &Policy) -> Company {
        let mut company = Company {
            selected: 0,
            sets: Vec::new(),
        };
        let mut seen: HashMap<Vec<&PolicyKey>, usize> = HashMap::new();
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
                    let place = format!("container {} of pod {pod}", container.name);
                    let names = others.iter().map(|(key, _)| *key).collect();
                    let set = match seen.entry(names) {
                        Entry::Occupied(known) => &mut company.sets[*known.get()],
                        Entry::Vacant(new) => {
                            new.insert(company.sets.len());
                            company.sets.push(Set {
                                place: place.clone(),
                                others: others.into_iter().map(|(_, policy)| policy).collect(),
                                programs: Vec::new(),
                            });
                            company.sets.last_mut().expect("one was added")
                        }
                    };
                    for program in &container.programs {
                        if set.programs.iter().all(|(_, known)| known != program) {
                            set.programs.push((place.clone(), program.clone()));
                        }
                    }
                }
            }
        }
        company
    }
}
