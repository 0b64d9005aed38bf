//! The kubelet's own question to a container runtime: which containers are there?
//!
//! For names where the runtime doesn't tell them by itself (NRI). One gRPC call without
//! anything to say needs no more than an HTTP/2 request and the few fields of
//! [`crate::protobuf`]; code generated from the whole interface would be larger than the
//! rest of the enforcer.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use crate::protobuf::{DecodeError, Fields};

/// Where runtimes listen, by how common that is.
pub const SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/cri-dockerd.sock",
];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer; a container has about a thousand.
const MAX_ANSWER: usize = 16 << 20;
/// The label by which a kubelet marks a container with its pod's UID.
const POD_UID: &str = "io.kubernetes.pod.uid";
/// A container's state when it has ended.
const EXITED: u64 = 2;

/// A container as a runtime tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The id of its pod's sandbox.
    pub sandbox: String,
    /// Its name in the pod.
    pub name: String,
    /// Its pod's UID.
    pub pod: String,
    /// Whether it has ended.
    pub ended: bool,
}

/// Why a runtime said nothing.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// There is nobody.
    #[error("no container runtime listens")]
    Connect(#[source] io::Error),
    /// It didn't answer.
    #[error("the container runtime did not answer within 2 s")]
    Slow,
    /// The call failed on its way.
    #[error("the call of the container runtime failed")]
    Call(#[source] hyper::Error),
    /// The answer was cut off or too long.
    #[error("the container runtime's answer could not be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The runtime refused.
    #[error("the container runtime refused: code {code}, {message}")]
    Refused {
        /// gRPC's code.
        code: String,
        /// Why.
        message: String,
    },
    /// The answer is no list of containers.
    #[error("the container runtime's answer makes no sense")]
    Decode(#[from] DecodeError),
}

impl CriError {
    /// The kind, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "CriUnreachable",
            Self::Slow => "CriSlow",
            Self::Call(_) | Self::Answer(_) => "CriFailed",
            Self::Refused { .. } => "CriRefused",
            Self::Decode(_) => "CriInvalid",
        }
    }
}

/// All containers, ended ones included, of the runtime that listens on a socket.
pub async fn containers(socket: &Path) -> Result<Vec<Container>, CriError> {
    let answer = tokio::time::timeout(PATIENCE, list(socket));
    let message = answer.await.unwrap_or(Err(CriError::Slow))?;
    Ok(read(&message)?)
}

/// Calls `ListContainers` with an empty request; the response.
async fn list(socket: &Path) -> Result<Bytes, CriError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(CriError::Connect)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(CriError::Call)?;
    // Ends with the sender.
    tokio::spawn(connection);
    let request = Request::post("http://localhost/runtime.v1.RuntimeService/ListContainers")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // A message that isn't compressed and has no bytes.
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .expect("a request of constants is valid");
    let response = sender.send_request(request).await.map_err(CriError::Call)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(CriError::Answer)?;
    // A refusal without an answer has its status in the head.
    let status = body.trailers().unwrap_or(&head.headers);
    check(status)?;
    let mut bytes = body.to_bytes();
    let is_plain = bytes.first() == Some(&0);
    let length = bytes.get(1..5).and_then(|length| length.try_into().ok());
    match length.map(u32::from_be_bytes) {
        Some(length) if is_plain && bytes.len() - 5 >= length as usize => {
            Ok(bytes.split_to(5 + length as usize).slice(5..))
        }
        _ => Err(DecodeError::Short.into()),
    }
}

fn check(status: &HeaderMap) -> Result<(), CriError> {
    let text = |name| {
        let value = status.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    match text("grpc-status") {
        code if code == "0" => Ok(()),
        code => Err(CriError::Refused {
            code,
            message: text("grpc-message"),
        }),
    }
}

fn read(message: &[u8]) -> Result<Vec<Container>, DecodeError> {
    let mut containers = Vec::new();
    for field in Fields::new(message) {
        let field = field?;
        if field.number == 1 {
            containers.push(read_container(field.bytes()?)?);
        }
    }
    Ok(containers)
}

fn read_container(bytes: &[u8]) -> Result<Container, DecodeError> {
    let mut container = Container::default();
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            1 => container.id = field.text()?,
            2 => container.sandbox = field.text()?,
            3 => {
                for field in Fields::new(field.bytes()?) {
                    let field = field?;
                    if field.number == 1 {
                        container.name = field.text()?;
                    }
                }
            }
            6 => container.ended = field.number()? == EXITED,
            8 => {
                let (mut key, mut value) = (String::new(), String::new());
                for field in Fields::new(field.bytes()?) {
                    let field = field?;
                    match field.number {
                        1 => key = field.text()?,
                        2 => value = field.text()?,
                        _ => {}
                    }
                }
                if key == POD_UID {
                    container.pod = value;
                }
            }
            _ => {}
        }
    }
    Ok(container)
}

#[cfg(test)]
mod tests;
