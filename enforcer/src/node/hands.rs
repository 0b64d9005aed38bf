//! What a node does while it waits: its enforcing, or saying that it can't.

use std::future::Future;
use std::io::{self, Write};

use tokio::sync::mpsc;

use super::pods::Trouble;
use crate::agent::{Agent, PolicyState};
use crate::bpf::Kernel;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::http::{self, Question};
use crate::metrics::{NodeFacts, Snapshot};
use crate::report::Record;

/// Enforcement on this node.
pub(super) enum Hands {
    /// The kernel denies.
    Able(Box<Agent>),
    /// It can't.
    Unable(Unable),
}

/// Why a node can't enforce, for whoever asks.
pub(super) struct Unable {
    trouble: Trouble,
    questions: Option<mpsc::Receiver<Question>>,
    facts: NodeFacts,
}

impl Hands {
    /// Enforces with an engine; denials go to `denials`, and where there is room to `notify`.
    pub(super) fn able(
        engine: Engine<Kernel>,
        denials: Box<dyn Write + Send>,
        questions: Option<mpsc::Receiver<Question>>,
        node: Option<String>,
        notify: mpsc::Sender<Record>,
    ) -> io::Result<Self> {
        let policies = PolicyState::default();
        let mut agent = Agent::start(engine, policies, denials, questions, node)?;
        agent.notify = Some(notify);
        Ok(Self::Able(Box::new(agent)))
    }

    /// Says why nothing is enforced.
    pub(super) fn unable(failure: &Failure, questions: Option<mpsc::Receiver<Question>>) -> Self {
        let message = failure.lines().join("; ");
        tracing::error!("this node cannot enforce: {message}");
        Self::Unable(Unable {
            trouble: Trouble {
                reason: "NodeCannotEnforce",
                message,
            },
            questions,
            facts: NodeFacts::default(),
        })
    }

    /// The engine, if there is one.
    pub(super) fn engine(&mut self) -> Option<&mut Engine<Kernel>> {
        self.engine_or_trouble().ok()
    }

    /// The engine, or why there is none.
    pub(super) fn engine_or_trouble(&mut self) -> Result<&mut Engine<Kernel>, &Trouble> {
        match self {
            Self::Able(agent) => Ok(&mut agent.engine),
            Self::Unable(unable) => Err(&unable.trouble),
        }
    }

    /// Why nothing is enforced.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Able(_) => None,
            Self::Unable(unable) => Some(&unable.trouble),
        }
    }

    /// What metrics say of the node from now on.
    pub(super) fn say(&mut self, facts: NodeFacts) {
        match self {
            Self::Able(agent) => agent.node_facts = Some(facts),
            Self::Unable(unable) => unable.facts = facts,
        }
    }

    /// Works until `other` is ready.
    pub(super) async fn work_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        match self {
            Self::Able(agent) => agent.work_until(other).await,
            Self::Unable(unable) => unable.answer_until(other).await,
        }
    }

    /// Prints what is left.
    pub(super) fn finish(self) {
        if let Self::Able(agent) = self {
            agent.finish();
        }
    }
}

impl Unable {
    async fn answer_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                result = &mut other => return result,
                question = http::next(&mut self.questions) => self.answer(question),
            }
        }
    }

    fn answer(&self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Metrics(reply) => {
                let snapshot = Snapshot {
                    node: Some(self.facts.clone()),
                    ..Snapshot::default()
                };
                let text = snapshot.encode();
                let _ = reply.send(text.unwrap_or_else(|error| format!("# {error}\n# EOF\n")));
            }
            Question::Ready(reply) => {
                let _ = reply.send(Err(format!("cannot enforce: {}\n", self.trouble.message)));
            }
        }
    }
}
