//! The container runtime's Node Resource Interface: it asks before it makes a container,
//! and waits for the answer.
//!
//! ```text
//!   socket ─► frames ─► messages ─► session ─► Event ─► main loop
//!                                      ▲ answer, or patience is over ┘
//! ```
//!
//! A thread of its own reads the socket, so that the runtime gets an answer in time even
//! while the main loop compiles rules: a plugin that is too slow is thrown out, and then
//! containers start without being announced. `Synchronized` says after every connection
//! what was missed.

pub mod frames;
pub mod messages;
mod session;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc as answers};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::agent::chain;
pub use messages::Event;
pub use session::{Handler, SessionError, serve};

/// The first wait after a failure; doubled at each further one.
const WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// An event and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What happens.
    pub event: Event,
    answer: answers::SyncSender<Result<(), String>>,
}

impl Request {
    /// Lets the runtime go on, or refuses the container.
    pub fn answer(self, answer: Result<(), String>) {
        // Who waited may have lost patience.
        let _ = self.answer.try_send(answer);
    }
}

/// How it stands with the runtime.
#[derive(Debug, Default)]
pub struct Link {
    connected: AtomicBool,
    sessions: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
}

impl Link {
    /// Whether the runtime asks us.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    /// How often it has taken us in.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// Answers that were given before the main loop had its say.
    pub fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// Containers that it was told not to create.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// The answer to an event that the main loop doesn't look at in time.
pub type Unanswered = Box<dyn Fn(&Event) -> Result<(), String> + Send>;

/// Connects to the socket, again and again, from a thread that lives as long as the program;
/// events go to `requests`.
pub fn start(
    path: PathBuf,
    requests: mpsc::Sender<Request>,
    unanswered: Unanswered,
) -> std::io::Result<Arc<Link>> {
    let link = Arc::new(Link::default());
    let mut plugin = Plugin {
        link: Arc::clone(&link),
        requests,
        unanswered,
    };
    thread::Builder::new()
        .name("nri".to_owned())
        .spawn(move || plugin.run(&path))?;
    Ok(link)
}

struct Plugin {
    link: Arc<Link>,
    requests: mpsc::Sender<Request>,
    unanswered: Unanswered,
}

impl Plugin {
    fn run(&mut self, path: &PathBuf) {
        let mut wait = WAIT;
        let mut said = None;
        while !self.requests.is_closed() {
            let sessions = self.link.sessions();
            let error = match UnixStream::connect(path) {
                Ok(socket) => serve(socket, self),
                Err(error) => error.into(),
            };
            self.link.connected.store(false, Relaxed);
            if self.link.sessions() > sessions {
                wait = WAIT;
                said = None;
            }
            // Once: a runtime without NRI is asked for ever.
            if said.replace(error.reason()) != Some(error.reason()) {
                let socket = path.display();
                tracing::warn!(%socket, error = chain(&error), "no runtime asks before it starts containers; retrying");
            }
            thread::sleep(wait);
            wait = (wait * 2).min(MAX_WAIT);
        }
    }
}

impl Handler for Plugin {
    fn configured(&mut self, runtime: &str) {
        tracing::info!(runtime, "the runtime asks before it starts containers");
        self.link.sessions.fetch_add(1, Relaxed);
        self.link.connected.store(true, Relaxed);
    }

    fn handle(&mut self, event: Event, patience: Duration) -> Result<(), String> {
        let unanswered = (self.unanswered)(&event);
        let (answer, answered) = answers::sync_channel(1);
        let request = Request { event, answer };
        let sent = self.requests.blocking_send(request);
        let answer = match sent.map(|()| answered.recv_timeout(patience)) {
            Ok(Ok(answer)) => answer,
            // The program ends.
            Err(_) => unanswered,
            Ok(Err(_)) => {
                if unanswered.is_ok() {
                    self.link.late.fetch_add(1, Relaxed);
                    tracing::warn!("the runtime went on before its container's rules were there");
                }
                unanswered
            }
        };
        if let Err(reason) = &answer {
            self.link.refused.fetch_add(1, Relaxed);
            tracing::warn!("{reason}");
        }
        answer
    }
}

#[cfg(test)]
mod tests;
