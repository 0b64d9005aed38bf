//! The controller's loop: one task that owns all that is known and starts all writes.
//!
//! ```text
//!   watch ─► Cluster::apply ─► dirty ─► plan ─► what differs ─► writes in flight
//!              ▲                                                      │
//!              └──────────── what is true now, or: try again later ◄──┘
//! ```
//!
//! Every replica follows the cluster, so that a new leader knows it already; only the
//! leader writes. A write is started only when it would change something, one at a time
//! for each object, and rule maps before the objects that name them.

mod intake;
mod occurrence;
mod pods;
mod retries;
#[cfg(test)]
mod sequences;
mod todo;
mod upkeep;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::{Change, Cluster, PodKey, PolicyKey};
use crate::metrics::Metrics;
use crate::review::{Answer, Review};
use crate::watch::Kind;
use crate::watch::Update;
use crate::write::{WriteError, Writer};
use retries::Retries;

/// How often statuses, retries and leftovers are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Pods that are planned before the loop looks at its channels again.
const BATCH: usize = 256;
/// How long writes in flight may take after the end was asked for.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Writes at a time.
    pub concurrency: usize,
    /// How long a rule map that nothing names is kept.
    pub rule_map_grace: Duration,
    /// How long a `PodEnforcement` outlives its pod, if the garbage collector doesn't come.
    pub orphan_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            rule_map_grace: Duration::from_mins(10),
            orphan_grace: Duration::from_secs(10),
        }
    }
}

/// What other tasks ask the loop.
#[derive(Debug)]
pub enum Question {
    /// Whether everything has been listed: `Ok` or what is missing.
    Ready(oneshot::Sender<Result<String, String>>),
    /// What to say to somebody who writes a policy.
    Review(Box<Review>, oneshot::Sender<Answer>),
}

/// Something to write, one at a time for each of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    RuleMap(String),
    Pod(PodKey),
    Status(Arc<PolicyKey>),
}

impl Task {
    fn name(&self) -> &'static str {
        match self {
            Self::RuleMap(_) => "rulemap",
            Self::Pod(_) => "pod",
            Self::Status(_) => "status",
        }
    }
}

/// A write that has ended.
struct Done {
    task: Task,
    started: Instant,
    result: Result<Change, WriteError>,
}

/// The loop's state.
pub struct Engine {
    cluster: Cluster,
    writer: Writer,
    metrics: Metrics,
    settings: Settings,
    synced: HashSet<Kind>,
    leading: bool,
    /// All pods have been planned since this replica leads.
    settled: bool,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    busy: HashSet<Task>,
    /// Pods by the rule map that has to be published first.
    waiting: HashMap<String, BTreeSet<PodKey>>,
    /// Pods that have to be planned again once their write has ended.
    again: BTreeSet<PodKey>,
    /// Writes in flight whose answer is about something that is not there any more.
    overtaken: HashSet<Task>,
    retries: Retries<Task>,
    /// Since when `PodEnforcement`s have had no pod.
    orphans: HashMap<PodKey, Instant>,
    /// Since when rule maps have had no user.
    unused: HashMap<String, Instant>,
    /// Since when statuses have been waiting that can wait.
    paced: HashMap<Arc<PolicyKey>, Instant>,
    /// The policy whose status was made last.
    last_status: Option<Arc<PolicyKey>>,
    /// Changes of policies that are not published everywhere.
    unpublished: Vec<Instant>,
}

/// Where the loop gets everything from.
pub struct Inputs {
    /// From the watches.
    pub updates: mpsc::Receiver<Update>,
    /// From servers in this process.
    pub questions: mpsc::Receiver<Question>,
    /// Whether this replica leads.
    pub leading: watch::Receiver<bool>,
    /// True when the process is to end.
    pub stop: watch::Receiver<bool>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(writer: Writer, metrics: Metrics, settings: Settings) -> Self {
        Self {
            cluster: Cluster::default(),
            writer,
            metrics,
            settings,
            synced: HashSet::new(),
            leading: false,
            settled: false,
            jobs: FuturesUnordered::new(),
            busy: HashSet::new(),
            waiting: HashMap::new(),
            again: BTreeSet::new(),
            overtaken: HashSet::new(),
            retries: Retries::default(),
            orphans: HashMap::new(),
            unused: HashMap::new(),
            paced: HashMap::new(),
            last_status: None,
            unpublished: Vec::new(),
        }
    }

    /// Runs until it is to end, or the watches have.
    pub async fn run(mut self, mut inputs: Inputs) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = self.can_start();
            tokio::select! {
                biased;
                _ = inputs.stop.wait_for(|stop| *stop) => break,
                changed = inputs.leading.changed() => {
                    let leading = *inputs.leading.borrow_and_update();
                    self.lead(changed.is_ok() && leading);
                }
                update = inputs.updates.recv() => {
                    let Some(update) = update else { break };
                    self.take(update);
                    for _ in 0..BATCH {
                        let Ok(update) = inputs.updates.try_recv() else { break };
                        self.take(update);
                    }
                }
                Some(question) = inputs.questions.recv() => self.answer(question),
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
                _ = ticks.tick() => self.tick(),
                () = std::future::ready(()), if more => {}
            }
            self.start_pods();
        }
        let rest = async { while self.jobs.next().await.is_some() {} };
        if tokio::time::timeout(LAST_WRITES, rest).await.is_err() {
            tracing::warn!("some writes had no answer before the end");
        }
    }

    fn lead(&mut self, leading: bool) {
        if leading != self.leading {
            tracing::info!(leading, "leadership changed");
            self.metrics.leading(leading);
        }
        self.leading = leading;
        self.settled = false;
        if leading {
            self.cluster.touch_all();
        }
    }

    fn is_synced(&self) -> bool {
        self.synced.len() == Kind::ALL.len()
    }

    fn answer(&mut self, question: Question) {
        // Whoever has stopped waiting needs no answer.
        match question {
            Question::Ready(reply) => {
                let missing: Vec<&str> = Kind::ALL
                    .iter()
                    .filter(|kind| !self.synced.contains(kind))
                    .map(|kind| kind.name())
                    .collect();
                let ready = if missing.is_empty() {
                    Ok("ready\n".to_owned())
                } else {
                    Err(format!("not listed yet: {}\n", missing.join(", ")))
                };
                let _ = reply.send(ready);
            }
            Question::Review(review, reply) => {
                let answer = self.cluster.review(&review);
                self.metrics.reviewed(answer.reason());
                let _ = reply.send(answer);
            }
        }
    }

    fn start(
        &mut self,
        task: Task,
        write: impl Future<Output = Result<Change, WriteError>> + Send + 'static,
    ) {
        self.busy.insert(task.clone());
        let started = Instant::now();
        let job = async move {
            let result = write.await;
            Done {
                task,
                started,
                result,
            }
        };
        self.jobs.push(job.boxed());
    }

    fn done(&mut self, done: Done) {
        let Done {
            task,
            started,
            result,
        } = done;
        self.busy.remove(&task);
        let is_status = matches!(task, Task::Status(_));
        let overtaken = self.overtaken.remove(&task);
        self.metrics.reconciled(task.name(), started.elapsed());
        let waiting = match &task {
            Task::RuleMap(name) => self.waiting.remove(name).unwrap_or_default(),
            Task::Pod(key) => self.again.take(key).into_iter().collect(),
            Task::Status(_) => BTreeSet::new(),
        };
        match result {
            Ok(change) => {
                self.retries.succeeded(&task);
                if !overtaken {
                    self.cluster.apply(change);
                } else if let Task::Pod(key) = task {
                    self.cluster.touch_pod(key);
                }
                for pod in waiting {
                    self.cluster.touch_pod(pod);
                }
            }
            Err(error) => {
                self.metrics.failed(error.reason());
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(reason = error.reason(), source, "{error}; trying again");
                for pod in waiting {
                    self.retries.failed(Task::Pod(pod));
                }
                // The pods that need a rule map ask for it again.
                if !matches!(task, Task::RuleMap(_)) {
                    self.retries.failed(task);
                }
            }
        }
        if is_status {
            self.statuses();
        }
    }
}
