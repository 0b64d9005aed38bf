//! What the watches tell.
//!
//! Answers to writes and watches come in any order. An answer says what was true when the
//! write was done; that the object has gone since then may be known already, and then the
//! answer must not bring it back.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Engine, Task};
use crate::cluster::{Change, PolicyKey, PolicyObject};
use crate::watch::{Kind, Name, Update};

impl Engine {
    pub(super) fn take(&mut self, update: Update) {
        match update {
            Update::Change(change) => self.change(*change),
            Update::Listed(kind, names) => {
                // Objects can have come and gone before the list.
                self.overtaken.extend(self.busy.iter().cloned());
                for gone in self.unlisted(kind, &names) {
                    self.change(gone);
                }
                if self.synced.insert(kind) && self.is_synced() {
                    tracing::info!(sizes = ?self.cluster.sizes(), "everything is listed");
                }
            }
        }
    }

    /// What is known of a kind and not in a list of all its objects.
    fn unlisted(&self, kind: Kind, names: &HashSet<Name>) -> Vec<Change> {
        let listed = |namespace: Option<&String>, name: &String| {
            names.contains(&Name {
                namespace: namespace.cloned(),
                name: name.clone(),
            })
        };
        let cluster = &self.cluster;
        match kind {
            Kind::Namespaces => {
                let gone = cluster.namespaces().filter(|name| !listed(None, name));
                gone.map(|name| Change::Namespace(name.clone(), None))
                    .collect()
            }
            Kind::Pods => {
                let pods = cluster.pods();
                let gone = pods.filter(|key| !listed(Some(&key.namespace), &key.name));
                gone.map(|key| Change::Pod(key.clone(), None)).collect()
            }
            Kind::SecurityPolicies | Kind::ClusterSecurityPolicies => {
                let namespaced = kind == Kind::SecurityPolicies;
                let policies = cluster.policies();
                let policies = policies.filter(|key| key.namespace.is_some() == namespaced);
                let gone = policies.filter(|key| !listed(key.namespace.as_ref(), &key.name));
                gone.map(|key| Change::Policy(key.clone(), None)).collect()
            }
            Kind::RuleMaps => {
                let gone = cluster.rule_maps().filter(|name| !listed(None, name));
                gone.map(|name| Change::RuleMap(name.clone(), None))
                    .collect()
            }
            Kind::PodEnforcements => {
                let all = cluster.enforcements();
                let gone = all.filter(|key| !listed(Some(&key.namespace), &key.name));
                gone.map(|key| Change::Enforcement(key.clone(), None))
                    .collect()
            }
        }
    }

    fn change(&mut self, change: Change) {
        let task = match &change {
            Change::Policy(key, _) => Some(Task::Status(Arc::new(key.clone()))),
            Change::Enforcement(key, _) => Some(Task::Pod(key.clone())),
            Change::RuleMap(name, _) => Some(Task::RuleMap(name.clone())),
            Change::Namespace(..) | Change::Pod(..) => None,
        };
        let busy = task.filter(|task| self.busy.contains(task));
        let before = busy.as_ref().and_then(|task| self.identity(task));
        match change {
            Change::Policy(key, object) => self.policy(&key, object),
            change => self.cluster.apply(change),
        }
        if let Some(task) = busy
            && before.is_some()
            && self.identity(&task) != before
        {
            self.overtaken.insert(task);
        }
    }

    /// Tells the object that a task writes apart from another of the same name.
    fn identity(&self, task: &Task) -> Option<String> {
        match task {
            Task::RuleMap(name) => self.cluster.is_published(name).then(|| name.clone()),
            Task::Pod(key) => self.cluster.enforcement(key).map(|one| one.uid.clone()),
            Task::Status(key) => self.cluster.identity(key).map(|(uid, _)| uid.to_owned()),
        }
    }

    fn policy(&mut self, key: &PolicyKey, object: Option<PolicyObject>) {
        let identity = |engine: &Self| {
            let identity = engine.cluster.identity(key);
            identity.map(|(uid, generation)| (uid.to_owned(), generation))
        };
        let before = identity(self);
        self.cluster.apply(Change::Policy(key.clone(), object));
        if identity(self) == before {
            return;
        }
        if self.settled {
            self.unpublished.push(Instant::now());
        }
        if let Some(refusal) = self.cluster.refusal(key) {
            self.metrics.failed(refusal.reason());
            tracing::warn!(policy = %key, reason = refusal.reason(), "{refusal}");
        }
    }
}
