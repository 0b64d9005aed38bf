//! What the loop does now and then: statuses, retries, leftovers.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{Engine, Task, occurrence};
use crate::cluster::{Change, PodKey};

impl Engine {
    /// Looks at what time decides.
    pub(super) fn tick(&mut self) {
        self.metrics.sizes(self.cluster.sizes());
        for task in self.retries.due() {
            match task {
                Task::Pod(key) => self.cluster.touch_pod(key),
                Task::Status(key) => self.cluster.touch_policy(key),
                Task::RuleMap(_) => {}
            }
        }
        let grace = self.settings.orphan_grace;
        let late = self
            .orphans
            .iter()
            .filter(|(_, since)| since.elapsed() >= grace);
        let late: Vec<PodKey> = late.map(|(key, _)| key.clone()).collect();
        for key in late {
            self.cluster.touch_pod(key);
        }
        if self.leading && self.settled {
            self.statuses();
            self.collect();
        }
    }

    fn statuses(&mut self) {
        let now = Time(Timestamp::now());
        // Times are kept in seconds.
        let now = Time(Timestamp::from_second(now.0.as_second()).unwrap_or(now.0));
        for key in self.cluster.take_policies() {
            let task = Task::Status(Arc::clone(&key));
            if self.busy.contains(&task) || self.jobs.len() >= 2 * self.settings.concurrency {
                self.cluster.touch_policy(key);
                continue;
            }
            let Some(status) = self.cluster.status(&key, &now) else {
                continue;
            };
            let observed = self.cluster.observed_status(&key);
            if observed == Some(&status) {
                continue;
            }
            let occurrences = occurrence::between(observed, &status);
            let uid = self.cluster.identity(&key).map(|(uid, _)| uid.to_owned());
            let writer = self.writer.clone();
            self.start(task, async move {
                let change = writer.write_status(Arc::clone(&key), &status).await?;
                if let (Change::Policy(_, Some(_)), Some(uid)) = (&change, uid) {
                    for occurrence in occurrences {
                        writer.event(&key, &uid, occurrence).await;
                    }
                }
                Ok(change)
            });
        }
    }

    /// Deletes rule maps that nothing has named for a while.
    fn collect(&mut self) {
        let unused: HashSet<String> = self.cluster.unreferenced().map(str::to_owned).collect();
        self.unused.retain(|name, _| unused.contains(name));
        for name in unused {
            let since = *self.unused.entry(name.clone()).or_insert_with(Instant::now);
            let task = Task::RuleMap(name.clone());
            if since.elapsed() < self.settings.rule_map_grace
                || self.busy.contains(&task)
                || self.waiting.contains_key(&name)
            {
                continue;
            }
            self.unused.remove(&name);
            let writer = self.writer.clone();
            self.start(task, async move { writer.delete_rule_map(name).await });
        }
    }
}
