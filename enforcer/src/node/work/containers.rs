//! How containers are found: by their cgroups, and by the runtime's word.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::inotify::WatchFlags;

use super::{TICK, Work};
use crate::agent::chain;
use crate::node::{kubelet, runtime};
use crate::nri::{Event, Request};

/// How often the cgroups are looked at although nothing was notified: on a full node it takes
/// milliseconds.
const SCAN: Duration = Duration::from_secs(30);

impl Work {
    /// Whether the kubelet's own cgroups are others than those that are watched.
    pub(super) fn is_there_another_kubelet(&self) -> bool {
        let hierarchy = self.hierarchy.as_ref();
        hierarchy.is_some_and(|hierarchy| kubelet::parents(hierarchy) != self.parents)
    }

    /// Sees which containers there are, and watches where others will be. What appeared there
    /// before it was watched is found by another scan, which also tries again what failed.
    pub(super) fn scan_cgroups(&mut self) {
        let now = Instant::now();
        self.scan = now + SCAN;
        let (Some(hierarchy), Some(engine)) = (&self.hierarchy, self.hands.engine()) else {
            return;
        };
        let scan = kubelet::scan(hierarchy);
        if scan.parents != self.parents {
            match engine.find_kubelets(hierarchy) {
                Ok(kubelets) => {
                    tracing::info!(kubelets, "cgroups in which a kubelet makes pods");
                    self.parents.clone_from(&scan.parents);
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "the kernel doesn't know the kubelet");
                }
            }
        }
        self.pods.observe(&scan, engine);
        let names = WatchFlags::CREATE | WatchFlags::DELETE;
        let paths: BTreeMap<PathBuf, _> =
            scan.watched.into_iter().map(|path| (path, names)).collect();
        match self.cgroups.set(&paths) {
            Ok(true) => self.scan = now,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the kubelet's cgroups can't be watched");
                self.scan = now + TICK;
            }
        }
    }

    /// Does what an event means before the runtime goes on.
    pub(super) fn answer(&mut self, request: Request) {
        let now = Instant::now();
        match &request.event {
            Event::Synchronized(pods, containers) => {
                for named in runtime::all(pods, containers) {
                    self.pods.name(named);
                }
            }
            Event::SandboxStarted(pod) => {
                if let Some(named) = runtime::sandbox(pod) {
                    self.pods.name(named);
                }
            }
            Event::Creating(pod, container) => {
                let engine = self.hands.engine_or_trouble();
                let answer = self.pods.create(pod, container, engine, now);
                return request.answer(answer);
            }
            Event::Starting(pod, container) => {
                // Its cgroup is there, and so are its mounts.
                if let (Ok(uid), Ok(id)) = (pod.uid.parse(), container.id.parse()) {
                    match kubelet::find(&self.parents, uid, id) {
                        Some(cgroup) => self.pods.made(uid, id, &cgroup),
                        // Where nobody has seen a kubelet's cgroups yet.
                        None => self.scan_cgroups(),
                    }
                    self.settle(now);
                    if let Some(engine) = self.hands.engine() {
                        self.pods.starting(id, engine, now);
                    }
                }
            }
            Event::Removed(container) => {
                if let (Some(engine), Ok(id)) = (self.hands.engine(), container.id.parse()) {
                    self.pods.removed(id, engine);
                }
            }
        }
        self.settle(now);
        request.answer(Ok(()));
    }
}
