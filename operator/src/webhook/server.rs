//! Answers the API server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::cluster::PolicyKey;
use crate::engine::Question;
use crate::review::{Answer, Review};

/// Connections served at a time.
const CONNECTIONS: usize = 64;
/// For a handshake, and for an answer; the API server waits for 5 seconds.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a connection may live, so that API servers come back to a new certificate.
const LIFE: Duration = Duration::from_mins(10);
/// Bytes of a request: an object and the one that it replaces, 1.5 MiB each.
const MAX_BYTES: usize = 4 << 20;

/// Serves until the task is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: watch::Receiver<TlsAcceptor>,
    questions: mpsc::Sender<Question>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: waiting is all that helps.
                tracing::warn!(%error, "a webhook connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, questions) = (acceptor.borrow().clone(), questions.clone());
        tokio::spawn(async move {
            connection(stream, acceptor, questions).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, questions: mpsc::Sender<Question>) {
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS with a client of the webhook"),
        Err(_) => return,
    };
    let service = service_fn(move |request| answer(request, questions.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LIFE)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(LIFE, connection).await {
        tracing::debug!(%error, "a webhook connection ended early");
    }
}

async fn answer(
    request: Request<Incoming>,
    questions: mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST || request.uri().path() != "/validate" {
        return Ok(plain(
            StatusCode::NOT_FOUND,
            "POST an AdmissionReview to /validate\n",
        ));
    }
    let body = Limited::new(request.into_body(), MAX_BYTES).collect();
    let Ok(Ok(body)) = timeout(PATIENCE, body).await else {
        return Ok(plain(
            StatusCode::BAD_REQUEST,
            "the request is too long or slow\n",
        ));
    };
    let Ok(review) = serde_json::from_slice::<Json>(&body.to_bytes()) else {
        return Ok(plain(StatusCode::BAD_REQUEST, "the request is no JSON\n"));
    };
    let Some(asked) = Asked::new(&review["request"]) else {
        return Ok(plain(
            StatusCode::BAD_REQUEST,
            "the request is no AdmissionReview\n",
        ));
    };
    let answer = match asked.review {
        Some(review) => ask(questions, review).await,
        None => Some(Answer::Accepted {
            warnings: Vec::new(),
        }),
    };
    let Some(answer) = answer else {
        return Ok(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the operator is busy\n",
        ));
    };
    let json = said(&asked.uid, answer).to_string();
    let mut response = plain(StatusCode::OK, json);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

async fn ask(questions: mpsc::Sender<Question>, review: Review) -> Option<Answer> {
    let ask = async {
        let (answer, reply) = oneshot::channel();
        let question = Question::Review(Box::new(review), answer);
        questions.send(question).await.ok()?;
        reply.await.ok()
    };
    timeout(PATIENCE, ask).await.ok().flatten()
}

/// What an `AdmissionRequest` asks.
#[derive(Debug, PartialEq)]
struct Asked {
    uid: String,
    /// `None`: nothing that would have to be judged changes.
    review: Option<Review>,
}

impl Asked {
    fn new(request: &Json) -> Option<Self> {
        let uid = request["uid"].as_str()?.to_owned();
        let object = &request["object"];
        // Who labels a policy that was stored while nobody judged must not be stopped.
        if object["spec"] == request["oldObject"]["spec"] && !request["oldObject"].is_null() {
            return Some(Self { uid, review: None });
        }
        let text = |value: &Json| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let name = text(&object["metadata"]["name"]).or_else(|| text(&request["name"]))?;
        let namespace = text(&request["namespace"]);
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = &namespace {
            metadata["namespace"] = namespace.as_str().into();
        }
        let mut judged = json!({
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "metadata": metadata,
        });
        if let Some(spec) = object.get("spec") {
            judged["spec"] = spec.clone();
        }
        let review = Review {
            key: PolicyKey { namespace, name },
            object: judged,
        };
        Some(Self {
            uid,
            review: Some(review),
        })
    }
}

/// The `AdmissionReview` that says it.
fn said(uid: &str, answer: Answer) -> Json {
    let response = match answer {
        Answer::Accepted { warnings } => json!({
            "uid": uid,
            "allowed": true,
            "warnings": warnings,
        }),
        Answer::Refused { message, .. } => json!({
            "uid": uid,
            "allowed": false,
            "status": { "code": 422, "reason": "Invalid", "message": message },
        }),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    })
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_leaves_the_spec_alone_is_not_judged() {
        let spec = json!({ "selector": {} });
        let mut request = json!({
            "uid": "u",
            "name": "p",
            "namespace": "shop",
            "object": { "metadata": { "name": "p" }, "spec": spec },
            "oldObject": { "metadata": { "name": "p" }, "spec": spec },
        });
        let asked = Asked::new(&request).expect("it is a request");
        assert_eq!(asked.review, None);
        request["oldObject"] = Json::Null;
        let asked = Asked::new(&request).expect("it is a request");
        let review = asked.review.expect("a new object is judged");
        assert_eq!(review.key, PolicyKey::namespaced("shop", "p"));
        assert_eq!(review.object["metadata"]["namespace"], "shop");
        assert_eq!(Asked::new(&json!({ "object": {} })), None);
    }
}
