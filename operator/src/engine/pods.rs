//! From a pod to what is written for it.

use std::sync::Arc;

use tokio::time::Instant;

use super::todo::{Todo, todo};
use super::{BATCH, Engine, Task};
use crate::cluster::{Link, PodKey};

impl Engine {
    /// Whether a pod may be planned now.
    pub(super) fn can_start(&self) -> bool {
        self.leading
            && self.is_synced()
            && self.jobs.len() < self.settings.concurrency
            && self.cluster.sizes().dirty_pods > 0
    }

    /// Plans the pods that have to be, as many as there is room for, and writes what differs.
    pub(super) fn start_pods(&mut self) {
        for _ in 0..BATCH {
            if !self.can_start() {
                break;
            }
            let Some(key) = self.cluster.next_pod() else {
                break;
            };
            self.pod(key);
        }
        let working = |task: &Task| !matches!(task, Task::Status(_));
        if self.leading
            && self.is_synced()
            && self.cluster.sizes().dirty_pods == 0
            && !self.busy.iter().any(working)
        {
            self.settled = true;
            for since in self.unpublished.drain(..) {
                self.metrics.published(since.elapsed());
            }
        }
    }

    fn pod(&mut self, key: PodKey) {
        let task = Task::Pod(key.clone());
        if self.busy.contains(&task) {
            // Its write has to end first.
            self.again.insert(key);
            return;
        }
        let started = Instant::now();
        let mut plan = self.cluster.plan(&key);
        let todo = todo(&self.cluster, &key, &mut plan);
        if todo != Todo::Orphan {
            self.orphans.remove(&key);
        }
        let missing = match &todo {
            // Also if nothing else differs: somebody may have deleted a rule map.
            Todo::Nothing | Todo::Apply(_) => self.publish_missing(&key, plan.links),
            Todo::Orphan | Todo::Delete(_) => false,
        };
        match todo {
            _ if missing => {}
            Todo::Nothing => self.metrics.reconciled(task.name(), started.elapsed()),
            Todo::Orphan => self.orphan(key),
            Todo::Delete(uid) => {
                let writer = self.writer.clone();
                self.start(
                    task,
                    async move { writer.delete_enforcement(key, uid).await },
                );
            }
            Todo::Apply(spec) => {
                let writer = self.writer.clone();
                self.start(task, async move {
                    writer.apply_enforcement(key, &plan.owner, &spec).await
                });
            }
        }
    }

    /// Publishes what isn't yet of the rule maps that a pod needs, and has the pod planned
    /// again after that; whether there was any.
    fn publish_missing(&mut self, key: &PodKey, links: Vec<Arc<Link>>) -> bool {
        let mut missing = false;
        for link in links {
            self.unused.remove(&*link.name);
            if !self.cluster.is_published(&link.name) {
                missing = true;
                let waiting = self.waiting.entry(link.name.to_string()).or_default();
                waiting.insert(key.clone());
                self.publish(link);
            }
        }
        missing
    }

    fn orphan(&mut self, key: PodKey) {
        let since = *self.orphans.entry(key.clone()).or_insert_with(Instant::now);
        if since.elapsed() < self.settings.orphan_grace {
            return;
        }
        if let Some(enforcement) = self.cluster.enforcement(&key) {
            let uid = enforcement.uid.clone();
            let writer = self.writer.clone();
            self.start(Task::Pod(key.clone()), async move {
                writer.delete_enforcement(key, uid).await
            });
        }
    }

    fn publish(&mut self, link: Arc<Link>) {
        let task = Task::RuleMap(link.name.to_string());
        if self.busy.contains(&task) {
            return;
        }
        let writer = self.writer.clone();
        self.start(task, async move {
            writer.publish(link.name.to_string(), &link.spec).await
        });
    }
}
