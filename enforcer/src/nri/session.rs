//! One connection to a runtime, from registration to its end.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::frames::{self, FrameError, Message, PLUGIN, REQUEST, RESPONSE, RUNTIME, Reassembly};
use super::messages::{self, Call, EVENTS, Event};
use crate::protobuf::{self, DecodeError};

/// Our name among the runtime's plugins.
const NAME: &str = "bartizan";
/// Our place among them: behind those that change containers.
const INDEX: &str = "90";
/// The longest that an answer takes, whatever the runtime's patience: other containers of
/// the node wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// gRPC's codes for what is answered.
const UNIMPLEMENTED: u64 = 12;
const FAILED_PRECONDITION: u64 = 9;

/// What ended a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The runtime closed it.
    #[error("the runtime closed the connection")]
    Closed,
    /// What came was no NRI.
    #[error("the runtime sent something that is no frame")]
    Frame(#[from] FrameError),
    /// What came was no message.
    #[error("the runtime sent something that is no message")]
    Decode(#[from] DecodeError),
    /// We may not.
    #[error("the runtime refused the registration: {0}")]
    Refused(String),
}

impl SessionError {
    /// The kind, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Closed => "closed",
            Self::Frame(_) => "frame",
            Self::Decode(_) => "decode",
            Self::Refused(_) => "refused",
        }
    }
}

/// What the rest of the agent does about what happens.
pub trait Handler {
    /// The runtime has taken us in.
    fn configured(&mut self, runtime: &str);

    /// Something happens; the runtime waits for at most `patience`. `Err` refuses the
    /// container, for that reason.
    fn handle(&mut self, event: Event, patience: Duration) -> Result<(), String>;
}

/// Registers and answers until something ends it.
pub fn serve<S: Read + Write>(mut socket: S, handler: &mut impl Handler) -> SessionError {
    match run(&mut socket, handler) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn run<S: Read + Write>(
    socket: &mut S,
    handler: &mut impl Handler,
) -> Result<std::convert::Infallible, SessionError> {
    let register = Message {
        connection: RUNTIME,
        stream: 1,
        kind: REQUEST,
        payload: messages::register(NAME, INDEX),
    };
    socket.write_all(&register.encode())?;
    let mut session = Session {
        handler,
        patience: PATIENCE,
        pods: Vec::new(),
        containers: Vec::new(),
    };
    let mut reassembly = Reassembly::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        while let Some(message) = reassembly.next_message()? {
            if let Some(answer) = session.take(&message)? {
                socket.write_all(&answer.encode())?;
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) => return Err(SessionError::Closed),
            Ok(length) => reassembly.push(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

struct Session<'a, H> {
    handler: &'a mut H,
    patience: Duration,
    /// What Synchronize has told so far.
    pods: Vec<messages::Pod>,
    containers: Vec<messages::Container>,
}

impl<H: Handler> Session<'_, H> {
    /// The answer to a message, if it wants one.
    fn take(&mut self, message: &Message) -> Result<Option<Message>, SessionError> {
        match (message.connection, message.kind) {
            (PLUGIN, frames::REQUEST) => {
                let (method, payload) = messages::request(&message.payload)?;
                let call = messages::call(&method, payload)?;
                Ok(Some(Message {
                    connection: PLUGIN,
                    stream: message.stream,
                    kind: RESPONSE,
                    payload: self.answer(call, &method),
                }))
            }
            // The answer to our registration may come after the first requests.
            (RUNTIME, frames::RESPONSE) => match messages::response(&message.payload)? {
                (0, _) => Ok(None),
                (_, reason) => Err(SessionError::Refused(reason)),
            },
            _ => Ok(None),
        }
    }

    fn answer(&mut self, call: Call, method: &str) -> Vec<u8> {
        let empty = protobuf::Message::new();
        let event = match call {
            Call::Configure { runtime, timeout } => {
                self.handler.configured(&runtime);
                if timeout > 0 {
                    self.patience = PATIENCE.min(Duration::from_millis(timeout) / 2);
                }
                return messages::success(&empty.number(2, EVENTS));
            }
            Call::Synchronize {
                pods,
                containers,
                more,
            } => {
                self.pods.extend(pods);
                self.containers.extend(containers);
                if more {
                    return messages::success(&empty.number(2, 1));
                }
                let pods = std::mem::take(&mut self.pods);
                Event::Synchronized(pods, std::mem::take(&mut self.containers))
            }
            Call::Event(event) => event,
            Call::Ignored => return messages::success(&empty),
            Call::Unknown => {
                return messages::refusal(UNIMPLEMENTED, &format!("{method} is not implemented"));
            }
        };
        match self.handler.handle(event, self.patience) {
            Ok(()) => messages::success(&empty),
            Err(reason) => messages::refusal(FAILED_PRECONDITION, &reason),
        }
    }
}
