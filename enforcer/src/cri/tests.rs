//! A runtime made here answers the call over a socket.

use std::convert::Infallible;

use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use tokio::net::UnixListener;

use super::*;
use crate::protobuf::Message;

/// What the call comes to if the runtime answers with this body and status.
async fn ask(body: Vec<u8>, code: &'static str) -> Result<Vec<Container>, CriError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cri.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = body.clone();
            async move {
                assert_eq!(
                    request.uri().path(),
                    "/runtime.v1.RuntimeService/ListContainers"
                );
                assert_eq!(request.headers()["te"], "trailers");
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(&sent[..], [0; 5]);
                let trailers: HeaderMap = [("grpc-status", code), ("grpc-message", "because")]
                    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                    .into_iter()
                    .collect();
                let frames = [Frame::data(Bytes::from(body)), Frame::trailers(trailers)];
                let frames = frames.map(Ok::<_, Infallible>);
                let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
                *response.status_mut() = StatusCode::OK;
                Ok::<_, Infallible>(response)
            }
        });
        server::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    });
    containers(&path).await
}

fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.as_ref();
    let mut framed = vec![0];
    framed.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    framed.extend_from_slice(bytes);
    framed
}

#[tokio::test]
async fn containers_are_listed_with_their_pods_and_names() {
    let label = |key, value| Message::new().bytes(1, key).bytes(2, value);
    let web = Message::new()
        .bytes(1, "id")
        .bytes(2, "sandbox")
        .bytes(3, Message::new().bytes(1, "web").number(2, 3))
        .bytes(5, "sha256:0")
        .number(6, 1)
        .bytes(8, label("io.kubernetes.container.name", "web"))
        .bytes(8, label(POD_UID, "uid"));
    let init = Message::new().bytes(1, "other").number(6, EXITED);
    let list = Message::new().bytes(1, web).bytes(1, init);
    let found = ask(framed(&list), "0").await.unwrap();
    assert_eq!(
        found,
        [
            Container {
                id: "id".into(),
                sandbox: "sandbox".into(),
                name: "web".into(),
                pod: "uid".into(),
                ended: false,
            },
            Container {
                id: "other".into(),
                ended: true,
                ..Container::default()
            },
        ]
    );
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart() {
    let refused = ask(Vec::new(), "12").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the container runtime refused: code 12, because"
    );
    let mut cut = framed(&Message::new().bytes(1, "x"));
    cut.pop();
    assert_eq!(ask(cut, "0").await.unwrap_err().reason(), "CriInvalid");
    let nonsense = framed(&Message::new().number(1, 7));
    assert_eq!(ask(nonsense, "0").await.unwrap_err().reason(), "CriInvalid");
    let nobody = containers(Path::new("/nonexistent/cri.sock")).await;
    assert_eq!(nobody.unwrap_err().reason(), "CriUnreachable");
}
