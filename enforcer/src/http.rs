//! `/metrics`, `/healthz` and `/readyz`.
//!
//! The page contents belong to the main loop, which owns the kernel's maps; requests
//! are questions to it over a channel. Connections are few and short by construction.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::metrics;

/// Connections served at a time.
const CONNECTIONS: usize = 16;
/// How long a connection may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request asks the main loop.
#[derive(Debug)]
pub enum Question {
    /// The text of `/metrics`.
    Metrics(oneshot::Sender<String>),
    /// Whether what is enforced is what the policies say: `Ok` or what is wrong.
    Ready(oneshot::Sender<Result<String, String>>),
}

/// Serves on an address, if there is one; what is asked there.
pub async fn questions(
    address: Option<SocketAddr>,
) -> io::Result<Option<mpsc::Receiver<Question>>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = listen(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })?;
    let (ask, questions) = mpsc::channel(16);
    tokio::task::spawn_local(serve(listener, ask));
    Ok(Some(questions))
}

/// The next question; never, if nobody can ask.
pub async fn next(questions: &mut Option<mpsc::Receiver<Question>>) -> Question {
    match questions {
        Some(receiver) => match receiver.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Binds the address.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the receiving end of `questions` is gone. Must run on a `LocalSet`.
pub async fn serve(listener: TcpListener, questions: mpsc::Sender<Question>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: waiting is all that helps.
                tracing::warn!(%error, "a metrics connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let questions = questions.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(request, questions.clone()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(PATIENCE, connection).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a metrics connection ended early"),
            }
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    questions: mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    Ok(match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/metrics" => match ask(&questions, Question::Metrics).await {
            Some(body) => {
                let mut response = text(StatusCode::OK, body);
                let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        },
        "/readyz" => match ask(&questions, Question::Ready).await {
            Some(Ok(detail)) => text(StatusCode::OK, detail),
            Some(Err(detail)) => text(StatusCode::SERVICE_UNAVAILABLE, detail),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
    })
}

async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: fn(oneshot::Sender<T>) -> Question,
) -> Option<T> {
    let (answer, reply) = oneshot::channel();
    questions.send(question(answer)).await.ok()?;
    reply.await.ok()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::LocalSet;

    use super::*;

    /// What a client reads that asks for `path` while the main loop answers.
    fn get(path: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (ask, mut questions) = mpsc::channel(1);
            tokio::task::spawn_local(serve(listener, ask));
            tokio::task::spawn_local(async move {
                while let Some(question) = questions.recv().await {
                    match question {
                        Question::Metrics(reply) => reply.send("# EOF\n".into()).unwrap(),
                        Question::Ready(reply) => reply.send(Err("not yet\n".into())).unwrap(),
                    }
                }
            });
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        })
    }

    #[test]
    fn metrics_are_openmetrics() {
        let response = get("/metrics");
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(response.contains(metrics::CONTENT_TYPE), "{response}");
        assert!(response.ends_with("# EOF\n"), "{response}");
    }

    #[test]
    fn readiness_is_the_main_loop_s_answer() {
        let response = get("/readyz");
        assert!(response.starts_with("HTTP/1.1 503"), "{response}");
        assert!(response.ends_with("not yet\n"), "{response}");
    }

    #[test]
    fn health_needs_no_answer_and_other_pages_are_not_there() {
        assert!(get("/healthz").starts_with("HTTP/1.1 200 OK"));
        assert!(get("/").starts_with("HTTP/1.1 404"));
    }
}
