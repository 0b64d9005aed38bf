//! `/metrics`, `/healthz` and `/readyz`.

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
use tokio::time::timeout;

use crate::engine::Question;
use crate::metrics::{self, Metrics};

/// Connections served at a time.
const CONNECTIONS: usize = 32;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Binds the address.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics, questions: mpsc::Sender<Question>) {
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
        let (metrics, questions) = (metrics.clone(), questions.clone());
        tokio::spawn(async move {
            let service =
                service_fn(move |request| answer(request, metrics.clone(), questions.clone()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(2 * PATIENCE, connection).await {
                tracing::debug!(%error, "a metrics connection ended early");
            }
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    metrics: Metrics,
    questions: mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"));
    }
    Ok(match request.uri().path() {
        // The loop answers, so a loop that hangs is not healthy.
        "/healthz" => match ready(&questions).await {
            Some(_) => text(StatusCode::OK, "ok\n"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the loop doesn't answer\n"),
        },
        "/readyz" => match ready(&questions).await {
            Some(Ok(detail)) => text(StatusCode::OK, detail),
            Some(Err(detail)) => text(StatusCode::SERVICE_UNAVAILABLE, detail),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the loop doesn't answer\n"),
        },
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.text());
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
    })
}

async fn ready(questions: &mpsc::Sender<Question>) -> Option<Result<String, String>> {
    let ask = async {
        let (answer, reply) = oneshot::channel();
        questions.send(Question::Ready(answer)).await.ok()?;
        reply.await.ok()
    };
    timeout(PATIENCE, ask).await.ok().flatten()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
