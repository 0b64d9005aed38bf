//! The enforcer's main loop: events to lines, questions to answers, and whatever else
//! has to be waited for meanwhile.
//!
//! One task owns the kernel's maps; nothing is shared and nothing locks.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;
use tokio::sync::mpsc;

use crate::bpf::Kernel;
use crate::engine::{Engine, EngineError, Maps, Moment};
use crate::events::decode;
use crate::http::{self, Question};
use crate::metrics::{NodeFacts, Snapshot};
use crate::report::{Aggregator, Line, Record, Sink};
use crate::sys::Readable;

/// Events read before anything else gets its turn.
const BATCH: usize = 1_024;
/// How long the last lines may take when the enforcer ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the policies' files came to, for metrics and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct PolicyState {
    /// Policies in force.
    pub policies: usize,
    /// What is wrong with the latest edit; empty if it is in force.
    pub errors: Vec<String>,
    /// Edits applied.
    pub applied: u64,
    /// Edits refused.
    pub refused: u64,
}

/// The enforcer at work. Lives inside a runtime's `LocalSet`.
pub struct Agent {
    /// Workloads and their rules.
    pub engine: Engine<Kernel>,
    /// State of the policies.
    pub policies: PolicyState,
    /// What metrics say of a cluster's node.
    pub node_facts: Option<NodeFacts>,
    /// Where records of denials go besides the log, as long as there is room.
    pub notify: Option<mpsc::Sender<Record>>,
    ring: Readable,
    questions: Option<mpsc::Receiver<Question>>,
    aggregator: Aggregator,
    sink: Sink,
    node: Option<String>,
    undecodable: BTreeMap<&'static str, u64>,
    denied_exec: Option<Record>,
}

impl Agent {
    /// Starts reporting to `denials`.
    pub fn start(
        mut engine: Engine<Kernel>,
        policies: PolicyState,
        denials: Box<dyn Write + Send>,
        questions: Option<mpsc::Receiver<Question>>,
        node: Option<String>,
    ) -> io::Result<Self> {
        engine.maps().release_memory();
        Ok(Self {
            ring: Readable::new(engine.maps().events_fd())?,
            engine,
            policies,
            node_facts: None,
            notify: None,
            questions,
            aggregator: Aggregator::default(),
            sink: Sink::start(denials)?,
            node,
            undecodable: BTreeMap::new(),
            denied_exec: None,
        })
    }

    /// Does the enforcer's work until `other` is ready. `other` is dropped unfinished if
    /// the caller drops this future; nothing is lost then.
    pub async fn work_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            let more = self.read_events(BATCH);
            self.tick(Instant::now());
            let deadline = [self.aggregator.deadline(), self.engine.deadline()];
            let deadline = deadline.into_iter().flatten().min();
            tokio::select! {
                result = &mut other => return result,
                question = http::next(&mut self.questions) => self.answer(question),
                result = self.ring.ready(), if !more => if let Err(error) = result {
                    tracing::error!(%error, "waiting for events failed");
                },
                () = sleep_until(deadline) => {}
                () = tokio::task::yield_now(), if more => {}
            }
        }
    }

    /// Reads at most `limit` events; whether there may be more.
    fn read_events(&mut self, limit: usize) -> bool {
        let now = Instant::now();
        for _ in 0..limit {
            let mut decoded = None;
            if !self
                .engine
                .maps()
                .next_event(|bytes| decoded = Some(decode(bytes)))
            {
                return false;
            }
            match decoded {
                Some(Ok(denial)) => {
                    let moment = Moment::now();
                    let record = self.engine.describe(&denial, moment, self.node.as_deref());
                    if let Some(record) = record {
                        if (record.outcome, record.operation) == (Outcome::Deny, Operation::Exec) {
                            self.denied_exec = Some(record.clone());
                        }
                        if let Some(notify) = &self.notify {
                            // The log and the counters have those that find no room.
                            let _ = notify.try_send(record.clone());
                        }
                        let sink = &self.sink;
                        self.aggregator.offer(now, record, |record, count| {
                            sink.send(Line::new(record, count).text());
                        });
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "an event could not be decoded");
                    *self.undecodable.entry(error.reason()).or_default() += 1;
                }
                None => {}
            }
        }
        true
    }

    fn tick(&mut self, now: Instant) {
        let sink = &self.sink;
        self.aggregator.close(now, |record, count| {
            sink.send(Line::new(record, count).text());
        });
        if let Err(error) = self.engine.sweep(now) {
            tracing::error!(error = %chain(&error), "cleaning up behind a change failed");
        }
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Metrics(reply) => {
                let text = self.snapshot().map(|snapshot| snapshot.encode());
                let text = match text {
                    Ok(Ok(text)) => text,
                    Ok(Err(error)) => format!("# {error}\n# EOF\n"),
                    Err(error) => {
                        tracing::error!(error = %chain(&error), "metrics can't be read");
                        "# EOF\n".to_owned()
                    }
                };
                let _ = reply.send(text);
            }
            Question::Ready(reply) => {
                let mut text = format!("enforcing in {} containers\n", self.engine.armed());
                if !self.policies.errors.is_empty() {
                    text.push_str("the latest edit of the policies was refused:\n");
                    for error in &self.policies.errors {
                        text.push_str(error);
                        text.push('\n');
                    }
                }
                let _ = reply.send(Ok(text));
            }
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot, EngineError> {
        let totals = self.sink.totals();
        let lines = (totals.written(), totals.dropped());
        let maps = self.engine.maps();
        let stats = maps.stats().map_err(EngineError::Maps)?;
        let cgroups = maps.labels().map_err(EngineError::Maps)?.len();
        let counters = Maps::counters(maps).map_err(EngineError::Maps)?.len();
        let gaps = maps.gaps().clone();
        let rule_maps = self.engine.rule_maps();
        Ok(Snapshot {
            counts: self.engine.counts()?,
            stats,
            armed: self.engine.armed(),
            tables: self.engine.table_count(),
            cgroups,
            counters,
            lines,
            undecodable: self.undecodable.clone(),
            policies: self.policies.policies,
            policy_errors: self.policies.errors.len(),
            edits: (self.policies.applied, self.policies.refused),
            unenforceable: gaps.pairs(),
            partial: rule_maps.filter(|(_, rules)| gaps.concern(rules)).count(),
            node: self.node_facts.clone(),
        })
    }

    /// Reads the events that are there and returns the latest denied exec.
    pub fn denied_exec(&mut self) -> Option<&Record> {
        self.read_events(usize::MAX);
        self.denied_exec.as_ref()
    }

    /// Prints what is left. False if standard output didn't take it in time.
    pub fn finish(mut self) -> bool {
        self.read_events(usize::MAX);
        let sink = &self.sink;
        self.aggregator
            .flush(|record, count| sink.send(Line::new(record, count).text()));
        self.sink.finish(PATIENCE)
    }
}

/// This node's name in denials: as given, else the host name.
pub fn node(given: Option<&str>) -> Option<String> {
    let own = || {
        rustix::system::uname()
            .nodename()
            .to_str()
            .ok()
            .map(str::to_owned)
    };
    given
        .map(str::to_owned)
        .or_else(own)
        .filter(|name| !name.is_empty())
}

/// Where denials go: a file, or standard output.
pub fn denials(path: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    match path {
        None => Ok(Box::new(io::stdout())),
        Some(path) => {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            let file = file.map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot open {}: {error}", path.display()),
                )
            })?;
            Ok(Box::new(file))
        }
    }
}

/// An error and the first lines of its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(first);
        next = error.source();
    }
    text
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
