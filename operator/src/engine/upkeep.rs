//! What the loop does now and then: statuses, retries, leftovers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{Engine, Task, occurrence};
use crate::cluster::{Change, PodKey, PolicyKey};

/// How long statuses are made before everything else has its turn again.
///
/// A status is added up anew from all pods of its policy: 20 ms for 100,000 of them. Sums
/// kept up to date would need, for every policy and node, its containers in the order of
/// how long they wait, to spare that; and whatever is forgotten there would stay wrong.
const STATUSES: Duration = Duration::from_millis(20);

/// Statuses that are written at a time. Many come due at once, and a pod that comes then
/// must not wait for the API server to be done with all of them.
const STATUS_WRITES: usize = 4;

/// How long a status waits that has nothing new to say of its policy's own text.
///
/// An edit of one policy takes all its containers out of the kernel's newest rules and back,
/// one report at a time, for every other policy that selects them as well: whoever looks is
/// told how that ended, and the API server is spared the way there.
const PACE: Duration = Duration::from_secs(1);

impl Engine {
    /// Looks at what time decides.
    pub(super) fn tick(&mut self) {
        self.metrics.sizes(self.cluster.sizes());
        self.metrics.standings(self.cluster.standings());
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
        self.statuses();
        if self.leading && self.settled {
            self.collect();
        }
    }

    /// Starts to write the statuses that are due, as many as there may be at a time.
    pub(super) fn statuses(&mut self) {
        if !self.leading || !self.settled {
            return;
        }
        let now = Time(Timestamp::now());
        // Times are kept in seconds.
        let now = Time(Timestamp::from_second(now.0.as_second()).unwrap_or(now.0));
        let started = Instant::now();
        let is_status = |task: &&Task| matches!(task, Task::Status(_));
        let mut writing = self.busy.iter().filter(is_status).count();
        // Those after the one that was the last come first, so that none waits for ever.
        let last = self.last_status.take();
        let dirty = self.cluster.take_policies();
        // Those that wait are dirty all the time.
        self.paced.retain(|key, _| dirty.contains(key));
        let dirty = dirty.into_iter();
        let (early, late): (Vec<_>, Vec<_>) = dirty.partition(|key| Some(key) <= last.as_ref());
        self.last_status = last;
        for key in late.into_iter().chain(early) {
            let task = Task::Status(Arc::clone(&key));
            if self.busy.contains(&task)
                || writing >= STATUS_WRITES
                || started.elapsed() >= STATUSES
                || self.is_early(&key, started)
            {
                self.cluster.touch_policy(key);
                continue;
            }
            self.paced.remove(&key);
            self.last_status = Some(Arc::clone(&key));
            let Some(status) = self.cluster.status(&key, &now) else {
                continue;
            };
            let observed = self.cluster.observed_status(&key);
            if observed == Some(&status) {
                continue;
            }
            let occurrences = occurrence::between(observed, &status);
            let uid = self.cluster.identity(&key).map(|(uid, _)| uid.to_owned());
            writing += 1;
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

    /// Whether the status of a policy can wait.
    fn is_early(&mut self, key: &Arc<PolicyKey>, now: Instant) -> bool {
        let said = self.cluster.observed_status(key);
        let said = said.and_then(|status| status.observed_generation);
        let generation = self.cluster.identity(key).map(|(_, generation)| generation);
        said == generation && now < *self.paced.entry(Arc::clone(key)).or_insert(now) + PACE
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
