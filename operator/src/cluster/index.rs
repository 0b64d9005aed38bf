//! Takes changes in and finds out what they are about.

use std::collections::{BTreeSet, btree_map::Entry};
use std::sync::Arc;

use bartizan_policy::load;
use bartizan_policy::policy::Policy;
use bartizan_policy::selector::{Labels, NAMESPACE_NAME};

use super::keys::{PodKey, PolicyKey};
use super::links::Accepted;
use super::objects::{Enforcement, Pod, PolicyObject, PublishedRuleMap};
use super::refusal::{self, Refusal};
use super::{Change, Cluster, PodRecord, PolicyRecord};

impl Cluster {
    /// Takes a change in.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Namespace(name, labels) => self.namespace(&name, labels),
            Change::Pod(key, Some(pod)) => self.pod(&key, pod),
            Change::Pod(key, None) => self.pod_gone(key),
            Change::Policy(key, Some(object)) => self.policy(key, object),
            Change::Policy(key, None) => self.policy_gone(&key),
            Change::RuleMap(name, map) => self.rule_map(&name, map),
            Change::Enforcement(key, enforcement) => {
                self.pod_enforcement(&key, enforcement.as_ref());
            }
        }
    }

    fn namespace(&mut self, name: &str, labels: Option<Labels>) {
        let same = match labels {
            Some(mut labels) => {
                labels.insert(NAMESPACE_NAME.to_owned(), name.to_owned());
                let before = self.namespaces.insert(name.to_owned(), labels);
                before.as_ref() == self.namespaces.get(name)
            }
            None => self.namespaces.remove(name).is_none(),
        };
        if !same {
            for key in self.pods_of(name) {
                self.select(&key);
            }
        }
    }

    /// All pods of a namespace.
    pub(super) fn pods_of(&self, namespace: &str) -> Vec<PodKey> {
        let names = self.pods_in.get(namespace).into_iter().flatten();
        names
            .map(|name| PodKey::new(namespace, name.as_str()))
            .collect()
    }

    fn pod(&mut self, key: &PodKey, pod: Pod) {
        let record = self.pods.entry(key.clone()).or_default();
        // Most events of a pod are about its status.
        if record.pod == pod {
            return;
        }
        let same_labels = record.pod.labels == pod.labels && !record.pod.uid.is_empty();
        record.pod = pod;
        self.pods_in
            .entry(key.namespace.clone())
            .or_default()
            .insert(key.name.clone());
        if same_labels {
            self.changed(key);
        } else {
            self.select(key);
        }
    }

    fn pod_gone(&mut self, key: PodKey) {
        let Some(record) = self.pods.remove(&key) else {
            return;
        };
        if let Some(names) = self.pods_in.get_mut(&key.namespace) {
            names.remove(&key.name);
            if names.is_empty() {
                self.pods_in.remove(&key.namespace);
            }
        }
        for policy in record.policies {
            if let Some(record) = self.policies.get_mut(&policy) {
                record.pods.remove(&key);
            }
            self.dirty_policies.insert(policy);
        }
        self.dirty_pods.insert(key);
    }

    /// Finds the policies of a pod whose labels, or whose namespace's, have changed.
    fn select(&mut self, key: &PodKey) {
        let Some(record) = self.pods.get(key) else {
            return;
        };
        let before = record.policies.clone();
        // Without its namespace a pod is in none of them; it comes with the namespace.
        let after: Vec<Arc<PolicyKey>> = match self.namespaces.get(&key.namespace) {
            Some(labels) => self
                .candidates(&key.namespace)
                .filter(|(_, accepted)| selects(&accepted.policy, key, &record.pod, labels))
                .map(|(key, _)| Arc::clone(key))
                .collect(),
            None => Vec::new(),
        };
        for policy in &before {
            if let Some(record) = self.policies.get_mut(policy) {
                record.pods.remove(key);
            }
        }
        for policy in &after {
            if let Some(record) = self.policies.get_mut(policy) {
                record.pods.insert(key.clone());
            }
        }
        self.dirty_policies.extend(before);
        if let Some(record) = self.pods.get_mut(key) {
            record.policies = after;
        }
        self.changed(key);
    }

    /// Accepted policies that can hold in a namespace.
    fn candidates(&self, namespace: &str) -> impl Iterator<Item = (&Arc<PolicyKey>, &Accepted)> {
        // Cluster policies are the first; those of a namespace follow each other.
        let cluster = self
            .policies
            .iter()
            .take_while(|(key, _)| key.namespace.is_none());
        let first = Arc::new(PolicyKey::namespaced(namespace, ""));
        let own = namespace.to_owned();
        let namespaced = self
            .policies
            .range(first..)
            .take_while(move |(key, _)| key.namespace.as_ref() == Some(&own));
        cluster
            .chain(namespaced)
            .filter_map(|(key, record)| Some((key, record.accepted.as_ref()?)))
    }

    /// Has a pod planned, and the policies that select it looked at.
    fn changed(&mut self, key: &PodKey) {
        self.dirty_pods.insert(key.clone());
        if let Some(record) = self.pods.get(key) {
            self.dirty_policies.extend(record.policies.iter().cloned());
        }
    }

    fn policy(&mut self, key: PolicyKey, object: PolicyObject) {
        let key = Arc::new(key);
        let entry = self.policies.entry(Arc::clone(&key));
        if matches!(&entry, Entry::Occupied(known)
            if known.get().uid == object.uid && object.version < known.get().version)
        {
            // Older than what a write of ours has answered.
            return;
        }
        let known = matches!(&entry, Entry::Occupied(known)
            if known.get().uid == object.uid && known.get().generation == object.generation);
        if known {
            let record = entry.or_default();
            record.version = object.version;
            if record.status != object.status {
                record.status = object.status;
                self.dirty_policies.insert(key);
            }
            return;
        }
        let record = entry.or_default();
        if record.uid != object.uid {
            // Another policy of the same name: what was accepted of the old one is over.
            let pods = std::mem::take(&mut record.pods);
            *record = PolicyRecord {
                pods,
                uid: object.uid,
                ..PolicyRecord::default()
            };
        }
        record.version = object.version;
        record.generation = object.generation;
        record.status = object.status;
        let judged = judge(&object.json);
        match judged {
            Ok(policy) => {
                self.revision += 1;
                record.refusal = None;
                record.accepted = Some(Accepted {
                    policy: Arc::new(policy),
                    generation: object.generation,
                    revision: self.revision,
                });
            }
            Err(refusal) => record.refusal = Some(refusal),
        }
        let unreadable = record.accepted.is_none();
        if unreadable {
            self.unreadable.insert(Arc::clone(&key));
        } else if self.unreadable.remove(&key) {
            self.release(&key);
        }
        self.links.forget(&key);
        self.reselect(&key);
        self.dirty_policies.insert(key);
    }

    fn policy_gone(&mut self, key: &PolicyKey) {
        let Some((key, record)) = self.policies.remove_entry(key) else {
            return;
        };
        if self.unreadable.remove(&key) {
            self.release(&key);
        }
        self.links.forget(&key);
        for pod in record.pods {
            if let Some(record) = self.pods.get_mut(&pod) {
                record.policies.retain(|policy| *policy != key);
            }
            self.changed(&pod);
        }
        self.dirty_policies.remove(&key);
    }

    /// Has the pods planned whose rule maps were kept because of a policy.
    fn release(&mut self, policy: &PolicyKey) {
        let contains = |name: &String| {
            let record = self.rule_maps.get(name);
            record.is_some_and(|record| record.map.policies.contains(policy))
        };
        let kept = self.enforcements.iter().filter(|(_, enforcement)| {
            let spec = enforcement.spec.iter();
            let mut maps = spec
                .flat_map(|spec| &spec.containers)
                .filter_map(|c| c.rule_map.as_ref());
            maps.any(contains)
        });
        let kept: Vec<PodKey> = kept.map(|(key, _)| key.clone()).collect();
        self.dirty_pods.extend(kept);
    }

    /// Finds the pods of a policy that has changed.
    fn reselect(&mut self, key: &Arc<PolicyKey>) {
        let Some(record) = self.policies.get(key) else {
            return;
        };
        let mut after = BTreeSet::new();
        if let Some(accepted) = &record.accepted {
            let scope: Vec<&String> = match &key.namespace {
                Some(namespace) => vec![namespace],
                None => self.pods_in.keys().collect(),
            };
            for namespace in scope {
                let Some(labels) = self.namespaces.get(namespace) else {
                    continue;
                };
                if !accepted.policy.holds_in(namespace, labels) {
                    continue;
                }
                for pod in self.pods_of(namespace) {
                    let labels = &self.pods[&pod].pod.labels;
                    if accepted.policy.selector.matches(labels) {
                        after.insert(pod);
                    }
                }
            }
        }
        let before = std::mem::replace(
            &mut self.policies.entry(Arc::clone(key)).or_default().pods,
            after.clone(),
        );
        for pod in before.difference(&after) {
            if let Some(record) = self.pods.get_mut(pod) {
                record.policies.retain(|policy| policy != key);
            }
        }
        for pod in &after {
            if let Some(PodRecord { policies, .. }) = self.pods.get_mut(pod)
                && let Err(place) = policies.binary_search(key)
            {
                policies.insert(place, Arc::clone(key));
            }
        }
        for pod in before.union(&after) {
            self.changed(pod);
        }
    }

    fn rule_map(&mut self, name: &str, map: Option<PublishedRuleMap>) {
        let record = self.rule_maps.entry(name.to_owned()).or_default();
        if let Some(map) = map {
            record.map = map;
            record.exists = true;
            return;
        }
        record.exists = false;
        if record.references == 0 {
            self.rule_maps.remove(name);
            return;
        }
        // Somebody deleted what is needed; rare enough to look at every pod.
        let needing = self.enforcements.iter();
        let needing =
            needing.filter(|(_, enforcement)| rule_maps(enforcement).any(|named| named == name));
        let needing: Vec<PodKey> = needing.map(|(key, _)| key.clone()).collect();
        self.dirty_pods.extend(needing);
    }

    fn pod_enforcement(&mut self, key: &PodKey, now: Option<&Enforcement>) {
        if let (Some(before), Some(now)) = (self.enforcements.get(key), now)
            && before.uid == now.uid
            && now.version < before.version
        {
            // Older than what a write of ours has answered.
            return;
        }
        let before = match now {
            Some(now) => self.enforcements.insert(key.clone(), now.clone()),
            None => self.enforcements.remove(key),
        };
        for name in now.into_iter().flat_map(rule_maps) {
            self.rule_maps.entry(name.clone()).or_default().references += 1;
        }
        for name in before.iter().flat_map(rule_maps) {
            if let Some(record) = self.rule_maps.get_mut(name) {
                record.references -= 1;
                if record.references == 0 && !record.exists {
                    self.rule_maps.remove(name);
                }
            }
        }
        let spec = |one: &Enforcement| (one.uid.clone(), one.owner.clone(), one.spec.clone());
        if before.as_ref().map(spec) != now.map(spec) {
            self.dirty_pods.insert(key.clone());
        }
        let status = |one: &Enforcement| (one.status.clone(), one.since.clone());
        if before.as_ref().map(status) != now.map(status)
            && let Some(record) = self.pods.get(key)
        {
            self.dirty_policies.extend(record.policies.iter().cloned());
        }
    }
}

/// The rule maps that are named.
fn rule_maps(enforcement: &Enforcement) -> impl Iterator<Item = &String> {
    let containers = enforcement.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter_map(|container| container.rule_map.as_ref())
}

fn selects(policy: &Policy, key: &PodKey, pod: &Pod, namespace: &Labels) -> bool {
    policy.holds_in(&key.namespace, namespace) && policy.selector.matches(&pod.labels)
}

/// The policy that an object is, if it means something and fits a container alone.
fn judge(json: &serde_json::Value) -> Result<Policy, Refusal> {
    let policy = load::object(json).map_err(Refusal::Invalid)?;
    refusal::publish(&[&policy])?;
    Ok(policy)
}
