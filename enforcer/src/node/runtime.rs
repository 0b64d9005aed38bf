//! Names of containers, as the node's runtime tells them: by itself, or when it is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::containers::Named;
use crate::agent::chain;
use crate::cri::{self, CriError};
use crate::engine::How;
use crate::nri::messages::{Container, Pod};
use crate::nri::{self, Link, Request, Unanswered};

/// Between two questions.
const ASK: Duration = Duration::from_millis(500);
/// Requests on their way; the runtime makes one at a time.
const REQUESTS: usize = 4;

/// The node's container runtime.
pub(super) struct Runtime {
    link: Arc<Link>,
    requests: mpsc::Receiver<Request>,
    socket: Option<PathBuf>,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    asked: Option<Instant>,
    in_flight: bool,
    /// The failure that was said last.
    said: Option<&'static str>,
}

/// What a runtime answered.
pub(super) type Answer = Result<Vec<cri::Container>, CriError>;

impl Runtime {
    /// Listens to NRI, and asks CRI on `cri`, or where some runtime listens.
    /// `unanswered` speaks for whoever doesn't answer NRI in time.
    pub(super) fn new(
        nri: PathBuf,
        cri: Option<PathBuf>,
        unanswered: Unanswered,
    ) -> std::io::Result<Self> {
        let (sender, requests) = mpsc::channel(REQUESTS);
        Ok(Self {
            link: nri::start(nri, sender, unanswered)?,
            requests,
            socket: cri,
            answers: mpsc::channel(1),
            asked: None,
            in_flight: false,
            said: None,
        })
    }

    /// How it stands with NRI.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Starts to ask for names, unless that was just done; when to ask again.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Instant> {
        if self.in_flight {
            return None;
        }
        if let Some(next) = self.asked.map(|asked| asked + ASK).filter(|at| *at > now) {
            return Some(next);
        }
        let socket = self.socket.clone().or_else(|| {
            let mut sockets = cri::SOCKETS.iter().map(PathBuf::from);
            sockets.find(|socket| socket.exists())
        });
        self.asked = Some(now);
        let Some(socket) = socket else {
            return Some(now + ASK);
        };
        self.in_flight = true;
        let answers = self.answers.0.clone();
        tokio::task::spawn_local(async move {
            // Whoever waited may have gone.
            let _ = answers.send(cri::containers(&socket).await).await;
        });
        None
    }

    /// The next thing that a runtime says.
    pub(super) async fn next(&mut self) -> Said {
        tokio::select! {
            Some(request) = self.requests.recv() => Said::Request(request),
            Some(answer) = self.answers.1.recv() => Said::Answer(answer),
            else => std::future::pending().await,
        }
    }

    /// The names in an answer; the error's kind, if there are none.
    pub(super) fn names(&mut self, answer: Answer) -> Result<Vec<Named>, &'static str> {
        self.in_flight = false;
        match answer {
            Ok(containers) => {
                self.said = None;
                Ok(containers.iter().flat_map(asked).collect())
            }
            Err(error) => {
                if self.said.replace(error.reason()) != Some(error.reason()) {
                    tracing::warn!(
                        error = chain(&error),
                        "container names can't be asked for; retrying"
                    );
                }
                Err(error.reason())
            }
        }
    }
}

/// Something from a runtime.
pub(super) enum Said {
    /// It waits.
    Request(Request),
    /// It was asked.
    Answer(Answer),
}

/// A container of CRI and its sandbox.
fn asked(container: &cri::Container) -> Vec<Named> {
    let Ok(pod) = container.pod.parse() else {
        return Vec::new();
    };
    let one = |id: &str, name: Option<&str>, ended| {
        let id = id.parse().ok()?;
        let name = name.map(str::to_owned);
        Some(Named {
            id,
            pod,
            name,
            ended,
            how: How::Cri,
        })
    };
    let own = one(&container.id, Some(&container.name), container.ended);
    let sandbox = one(&container.sandbox, None, false);
    own.into_iter().chain(sandbox).collect()
}

/// A container of NRI, in its pod.
pub(super) fn container(pod: &Pod, container: &Container) -> Option<Named> {
    Some(Named {
        id: container.id.parse().ok()?,
        pod: pod.uid.parse().ok()?,
        name: Some(container.name.clone()),
        ended: container.ended,
        how: How::Nri,
    })
}

/// A pod's sandbox.
pub(super) fn sandbox(pod: &Pod) -> Option<Named> {
    Some(Named {
        id: pod.id.parse().ok()?,
        pod: pod.uid.parse().ok()?,
        name: None,
        ended: false,
        how: How::Nri,
    })
}

/// Everything that NRI told at the beginning.
pub(super) fn all(pods: &[Pod], containers: &[Container]) -> Vec<Named> {
    let by_id: BTreeMap<_, _> = pods.iter().map(|pod| (pod.id.as_str(), pod)).collect();
    let own = containers.iter().filter_map(|it| {
        let pod = by_id.get(it.sandbox.as_str())?;
        container(pod, it)
    });
    pods.iter().filter_map(sandbox).chain(own).collect()
}
