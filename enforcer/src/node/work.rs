//! The node agent's loop.

mod containers;
mod updates;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::api::{Server, Update};
use super::containers::Named;
use super::copies::Copies;
use super::hands::Hands;
use super::keys::PodKey;
use super::notices::{Notices, Publisher};
use super::pods::Pods;
use super::runtime::{Runtime, Said};
use super::statuses::Statuses;
use crate::agent::chain;
use crate::args::Node;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::engine::{How, Inherited};
use crate::failure::Failure;
use crate::metrics::{NodeFacts, NriFacts};
use crate::report::Record;
use crate::watch::Watch;

/// How often is looked at what tells nobody when it changes.
const TICK: Duration = Duration::from_secs(2);
/// How long the runtime may be away before it counts as one that doesn't ask: it restarts,
/// and is found again.
const AWAY: Duration = Duration::from_secs(10);
/// How long after a change the memory that changes take is given back: others may follow.
const CALM: Duration = Duration::from_secs(10);
/// Updates on their way; a full channel slows the watch down.
const UPDATES: usize = 1_024;

/// What the loop waits for.
enum Cause {
    Update(Option<Update>),
    Runtime(Said),
    Denied(Box<Record>),
    Cgroups,
    Due,
    End,
}

/// Everything the node agent has.
pub(super) struct Work {
    hands: Hands,
    hierarchy: Option<Hierarchy>,
    /// What a predecessor has in force, until as much is by what is known now.
    inherited: Option<Inherited>,
    pods: Pods,
    statuses: Statuses,
    /// UIDs of the `PodEnforcement`s.
    objects: BTreeMap<PodKey, String>,
    copies: Copies,
    /// Pods of the copy that the API server has not spoken of.
    unconfirmed: BTreeSet<PodKey>,
    notices: Notices,
    publisher: Publisher,
    denied: mpsc::Receiver<Record>,
    server: Server,
    updates: mpsc::Receiver<Update>,
    runtime: Runtime,
    /// Since when no runtime has been asking.
    away: Option<Instant>,
    /// The kubelet's own cgroups that the kernel knows.
    parents: Vec<Cgroup>,
    cgroups: Watch,
    scan: Instant,
    /// When memory is given back.
    tidy: Option<Instant>,
    /// When is looked at what tells nobody when it changes.
    tick: Instant,
    facts: NodeFacts,
    end: [Signal; 2],
}

impl Work {
    /// Starts to follow the API server.
    pub(super) fn new(
        mut hands: Hands,
        hierarchy: Option<Hierarchy>,
        client: Client,
        denied: mpsc::Receiver<Record>,
        args: &Node,
    ) -> Result<Self, Failure> {
        let state = &args.traces.state;
        let copies =
            Copies::open(state).with_context(|| format!("cannot use {}", state.display()))?;
        let inherited = match hands.engine() {
            Some(engine) => engine.inherit()?,
            None => None,
        };
        let gaps = hands.engine().map(|engine| engine.maps().gaps().clone());
        let mut pods = Pods::new(gaps.unwrap_or_default());
        let mut unconfirmed = BTreeSet::new();
        for (key, wanted) in copies.pods() {
            pods.want(&key, Some(wanted));
            unconfirmed.insert(key);
        }
        tracing::info!(pods = unconfirmed.len(), "known from before");
        // By now it is known which containers have to wait.
        let holds = pods.holds();
        let runtime = Runtime::new(
            args.nri_socket.clone(),
            args.cri_socket.clone(),
            Box::new(move |event| holds.unanswered(event)),
        )
        .context("cannot listen to the container runtime")?;
        let publisher = Publisher::new(client.clone(), args.name.clone());
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
            inherited,
            pods,
            statuses: Statuses::default(),
            objects: BTreeMap::new(),
            copies,
            unconfirmed,
            notices: Notices::default(),
            publisher,
            denied,
            server,
            updates,
            runtime,
            away: None,
            parents: Vec::new(),
            cgroups: Watch::new().context("cannot watch the cgroups")?,
            scan: Instant::now(),
            tidy: None,
            tick: Instant::now(),
            end: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ],
        })
    }

    /// Works until it is told to end.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        self.adopt();
        // Finds the rule maps that are on disk, so that the first turn has them in force
        // before what a predecessor has reported is read, which has names then.
        self.look(Instant::now());
        loop {
            let next = self.look(Instant::now());
            let Self {
                hands,
                updates,
                runtime,
                denied,
                cgroups,
                end: [interrupt, terminate],
                ..
            } = &mut self;
            let cause = async {
                tokio::select! {
                    update = updates.recv() => Ok(Cause::Update(update)),
                    said = runtime.next() => Ok(Cause::Runtime(said)),
                    Some(record) = denied.recv() => Ok(Cause::Denied(Box::new(record))),
                    changed = cgroups.changed(|_, _, _| true) => changed.map(|()| Cause::Cgroups),
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
                Cause::Runtime(Said::Request(request)) => self.answer(request),
                Cause::Runtime(Said::Answer(answer)) => match self.runtime.names(answer) {
                    Ok(names) => names.into_iter().for_each(|named| self.pods.name(named)),
                    Err(reason) => self.facts.count_error(reason),
                },
                Cause::Denied(record) => self.notice(&record),
                Cause::Cgroups => self.scan = Instant::now(),
                Cause::Due => {}
                Cause::Update(None) | Cause::End => break,
            }
        }
        tracing::info!("ending: what is enforced stays enforced");
        // The next enforcer may have nothing else.
        self.copies.flush();
        self.hands.finish();
        Ok(())
    }

    /// Names the containers that a predecessor knew, so that their rules don't change until
    /// the runtime names them.
    fn adopt(&mut self) {
        let Some(inherited) = &self.inherited else {
            return;
        };
        let containers = inherited.containers.clone();
        tracing::info!(
            workloads = inherited.owners.len(),
            containers = containers.len(),
            "taking over from the enforcer before"
        );
        self.scan_cgroups();
        for (id, owner) in containers {
            if self.pods.has_cgroup(&id) && owner.container.is_some() {
                self.pods.name(Named {
                    id,
                    pod: owner.pod,
                    name: owner.container,
                    ended: false,
                    // Its cgroup is there.
                    how: How::Late,
                });
            }
        }
    }

    /// Ends what a predecessor has in force once it has been replaced.
    fn retire(&mut self) {
        let Some(inherited) = &self.inherited else {
            return;
        };
        if !self.pods.replace(inherited, self.facts.synced) {
            return;
        }
        let Some(engine) = self.hands.engine() else {
            return;
        };
        match engine.retire_predecessors(|id| self.pods.knows(id)) {
            Ok(removed) => {
                self.inherited = None;
                tracing::info!(
                    versions = removed.versions,
                    links = removed.links,
                    maps = removed.maps,
                    "what the enforcer before had in force is replaced"
                );
            }
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "the enforcer before is still in force"
                );
            }
        }
    }

    /// Does what is due; when to look again at the latest.
    fn look(&mut self, now: Instant) -> Instant {
        let is_tick = now >= self.tick;
        if is_tick {
            self.tick = now + TICK;
        }
        if now >= self.scan || is_tick && self.is_there_another_kubelet() {
            self.scan_cgroups();
        }
        let mut next = self.scan.min(self.tick);
        self.settle(now);
        if let Some(engine) = self.hands.engine() {
            if self.tidy.is_some_and(|due| due <= now) {
                engine.maps().release_memory();
                self.tidy = None;
            }
            next = self.tidy.map_or(next, |due| due.min(next));
            next = next.min(self.pods.look(engine, now).unwrap_or(next));
            if self.pods.lacks_names() {
                next = next.min(self.runtime.ask(now).unwrap_or(next));
            }
        }
        let due = self.pods.due_rule_maps(now);
        let is_any = !due.is_empty();
        for name in due {
            match self.copies.rule_map(&name) {
                Some(map) => self.pods.put_rule_map(&name, Ok(map), now),
                None => drop(tokio::task::spawn_local(self.server.clone().fetch(name))),
            }
        }
        if is_any {
            // Those that were on disk are in the kernel at once.
            next = now;
        }
        if self.runtime.link().is_connected() {
            self.away = None;
            self.pods.set_asked(true);
        } else {
            let back = *self.away.get_or_insert(now) + AWAY;
            self.pods.set_asked(now < back);
            next = if now < back { next.min(back) } else { next };
        }
        if is_tick {
            self.retire();
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
        self.facts.copy_errors = self.copies.errors();
        self.facts.nri = NriFacts {
            connected: link.is_connected(),
            sessions: link.sessions(),
            late: link.late(),
            refused: link.refused(),
        };
        self.hands.say(self.facts.clone());
        let deadlines = [self.pods.deadline(), self.statuses.deadline()];
        deadlines.into_iter().flatten().fold(next, Instant::min)
    }

    /// Makes the kernel what is known.
    fn settle(&mut self, now: Instant) {
        if let Some(engine) = self.hands.engine() {
            if !self.pods.is_settled() {
                self.tidy.get_or_insert(now + CALM);
            }
            self.pods.settle(engine, now);
        }
    }

    fn notice(&mut self, record: &Record) {
        if let Some(notice) = self.notices.of(record, Instant::now())
            && let Some(uid) = self.pods.owner(&notice.pod)
        {
            let publisher = self.publisher.clone();
            tokio::task::spawn_local(publisher.publish(notice, uid.clone()));
        }
    }
}
