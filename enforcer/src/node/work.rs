//! The node agent's loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::Client;
use rustix::fs::inotify::WatchFlags;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::api::{Server, Update};
use super::hands::Hands;
use super::keys::PodKey;
use super::kubelet;
use super::pods::Pods;
use super::rule_maps::verify;
use super::runtime::{self, Runtime, Said};
use super::status::Statuses;
use crate::args::Node;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::failure::Failure;
use crate::metrics::NodeFacts;
use crate::nri::{Event, Request};
use crate::watch::Watch;

/// How often the cgroups are looked at although nothing was notified.
const SCAN: Duration = Duration::from_secs(2);
/// Updates on their way; a full channel slows the watch down.
const UPDATES: usize = 1_024;

/// What the loop waits for.
enum Cause {
    Update(Option<Update>),
    Runtime(Said),
    Cgroups,
    Due,
    End,
}

/// Everything the node agent has.
pub(super) struct Work {
    hands: Hands,
    hierarchy: Option<Hierarchy>,
    pods: Pods,
    statuses: Statuses,
    /// UIDs of the `PodEnforcement`s.
    objects: BTreeMap<PodKey, String>,
    server: Server,
    updates: mpsc::Receiver<Update>,
    runtime: Runtime,
    /// The kubelet's own cgroups that the kernel knows.
    parents: Vec<Cgroup>,
    cgroups: Watch,
    scan: Instant,
    facts: NodeFacts,
    end: [Signal; 2],
}

impl Work {
    /// Starts to follow the API server.
    pub(super) fn new(
        hands: Hands,
        hierarchy: Option<Hierarchy>,
        client: Client,
        args: &Node,
    ) -> Result<Self, Failure> {
        let (sender, updates) = mpsc::channel(UPDATES);
        let server = Server::new(client, sender);
        tokio::task::spawn_local(server.clone().follow(args.name.clone()));
        Ok(Self {
            facts: NodeFacts {
                can_enforce: hands.trouble().is_none(),
                ..NodeFacts::default()
            },
            hands,
            hierarchy,
            pods: Pods::default(),
            statuses: Statuses::default(),
            objects: BTreeMap::new(),
            server,
            updates,
            runtime: Runtime::new(args.nri_socket.clone(), args.cri_socket.clone())
                .context("cannot listen to the container runtime")?,
            parents: Vec::new(),
            cgroups: Watch::new().context("cannot watch the cgroups")?,
            scan: Instant::now(),
            end: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ],
        })
    }

    /// Works until it is told to end.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        loop {
            let next = self.look(Instant::now())?;
            let Self {
                hands,
                updates,
                runtime,
                cgroups,
                end: [interrupt, terminate],
                ..
            } = &mut self;
            let cause = async {
                tokio::select! {
                    update = updates.recv() => Ok(Cause::Update(update)),
                    said = runtime.next() => Ok(Cause::Runtime(said)),
                    changed = cgroups.changed(|_, _, _| true) => changed.map(|_| Cause::Cgroups),
                    () = tokio::time::sleep_until(next.into()) => Ok(Cause::Due),
                    _ = interrupt.recv() => Ok(Cause::End),
                    _ = terminate.recv() => Ok(Cause::End),
                }
            };
            match hands.work_until(cause).await? {
                Cause::Update(Some(update)) => {
                    self.take(update);
                    // What came with it is settled with it.
                    while let Ok(update) = self.updates.try_recv() {
                        self.take(update);
                    }
                }
                Cause::Runtime(Said::Request(request)) => self.answer(request)?,
                Cause::Runtime(Said::Answer(answer)) => match self.runtime.names(answer) {
                    Ok(names) => names.into_iter().for_each(|named| self.pods.name(named)),
                    Err(reason) => self.facts.count_error(reason),
                },
                Cause::Cgroups => self.scan = Instant::now(),
                Cause::Due => {}
                Cause::Update(None) | Cause::End => break,
            }
        }
        tracing::info!("ending");
        self.hands.finish();
        Ok(())
    }

    /// Does what is due; when to look again at the latest.
    fn look(&mut self, now: Instant) -> Result<Instant, Failure> {
        if now >= self.scan {
            self.scan_cgroups()?;
            self.scan = now + SCAN;
        }
        let mut next = self.scan;
        if let Some(engine) = self.hands.engine() {
            self.pods.settle(engine, now);
            next = next.min(self.pods.look(engine, now).unwrap_or(next));
            if self.pods.lacks_names() {
                next = next.min(self.runtime.ask(now).unwrap_or(next));
            }
        }
        for name in self.pods.due_rule_maps(now) {
            tokio::task::spawn_local(self.server.clone().fetch(name));
        }
        for (key, status) in self.pods.changed_statuses(self.hands.trouble()) {
            self.statuses.want(&key, status);
        }
        for (key, status) in self.statuses.due(now) {
            let uid = self.objects.get(&key).cloned();
            tokio::task::spawn_local(self.server.clone().write(key, uid, status));
        }
        for arming in self.pods.take_armings() {
            self.facts.count_arming(&arming);
        }
        let link = self.runtime.link();
        self.facts.nri = (link.is_connected(), link.sessions(), link.late());
        self.hands.say(self.facts.clone());
        let deadlines = [self.pods.deadline(), self.statuses.deadline()];
        Ok(deadlines.into_iter().flatten().fold(next, Instant::min))
    }

    /// Sees which containers there are, and watches where others will be.
    fn scan_cgroups(&mut self) -> Result<(), Failure> {
        let (Some(hierarchy), Some(engine)) = (&self.hierarchy, self.hands.engine()) else {
            return Ok(());
        };
        let scan = kubelet::scan(hierarchy);
        if scan.parents != self.parents {
            engine.find_kubelets(hierarchy)?;
            self.parents.clone_from(&scan.parents);
        }
        self.pods.observe(&scan, engine);
        let names = WatchFlags::CREATE | WatchFlags::DELETE;
        let paths: BTreeMap<PathBuf, _> =
            scan.watched.into_iter().map(|path| (path, names)).collect();
        self.cgroups
            .set(&paths)
            .context("cannot watch the cgroups")?;
        // What appeared in them before they were watched is found by the next scan.
        Ok(())
    }

    /// Does what an event means before the runtime goes on.
    fn answer(&mut self, request: Request) -> Result<(), Failure> {
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
                if let Some(named) = runtime::container(pod, container) {
                    self.pods.name(named);
                }
            }
            Event::Starting(container) => {
                // Its cgroup is there, and so are its mounts.
                self.scan_cgroups()?;
                if let (Some(engine), Ok(id)) = (self.hands.engine(), container.id.parse()) {
                    self.pods.settle(engine, now);
                    self.pods.starting(id, engine, now);
                }
            }
            Event::Removed(container) => {
                if let (Some(engine), Ok(id)) = (self.hands.engine(), container.id.parse()) {
                    self.pods.removed(id, engine);
                }
            }
        }
        if let Some(engine) = self.hands.engine() {
            self.pods.settle(engine, now);
        }
        request.answer(Ok(()));
        Ok(())
    }

    fn take(&mut self, update: Update) {
        let now = Instant::now();
        match update {
            Update::Applied(key, enforcement) => {
                self.statuses
                    .known(&key, enforcement.version, enforcement.status);
                if let Some(uid) = enforcement.uid {
                    self.objects.insert(key.clone(), uid);
                }
                self.pods.want(&key, Some(enforcement.wanted));
            }
            Update::Deleted(key) => {
                self.pods.want(&key, None);
                self.statuses.forget(&key);
                self.objects.remove(&key);
            }
            Update::Synced => self.facts.synced = true,
            Update::Failed => self.facts.count_error("watch"),
            Update::RuleMap(name, result) => {
                let result = result.and_then(|spec| verify(&name, &spec));
                if let Err(error) = &result {
                    self.facts.count_error(error.reason());
                }
                self.pods.put_rule_map(&name, result, now);
            }
            Update::Written(key, result) => {
                match &result {
                    Ok(enforcement) => {
                        let (version, status) = (enforcement.version, enforcement.status.clone());
                        self.statuses.known(&key, version, status);
                    }
                    Err(kube::Error::Api(status)) if status.is_not_found() => {
                        // It was deleted meanwhile: its watch will say so.
                    }
                    Err(error) => {
                        tracing::warn!(pod = %key, %error, "a status was not written");
                        self.facts.count_error("status");
                    }
                }
                self.statuses.written(&key, result.is_ok(), now);
            }
        }
    }
}
