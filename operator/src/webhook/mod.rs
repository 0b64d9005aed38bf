//! The validating webhook: a policy is judged before it is stored.
//!
//! ```text
//!   API server ─ TLS ─► /validate ─► question to the engine ─► allowed, warnings | why not
//!                 └ certificate: own, renewed here, published in the webhook's caBundle
//! ```
//!
//! Every replica answers. When none does, policies are stored all the same and judged in
//! their status (`failurePolicy: Ignore`).

mod bundle;
mod certificate;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::engine::Question;
use crate::metrics::Metrics;
use bundle::Bundle;
use certificate::Certificate;

/// Name of the Service and of the `ValidatingWebhookConfiguration`.
pub const NAME: &str = "bartizan-operator";

/// How often the published bundle is looked at.
const CHECK: Duration = Duration::from_mins(1);
/// How soon again after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// From publishing a new certificate to serving it: API servers hear of it by a watch.
const SETTLE: Duration = Duration::from_secs(10);

/// The webhook of one replica, listening.
pub struct Webhook {
    listener: TcpListener,
    names: Vec<String>,
    first: Certificate,
    bundle: Bundle,
}

impl Webhook {
    /// Listens, with a new certificate for the Service in `namespace`.
    pub async fn listen(
        address: SocketAddr,
        namespace: &str,
        client: Client,
        metrics: Metrics,
    ) -> Result<Self> {
        let mut names = vec![format!("{NAME}.{namespace}.svc")];
        // For a webhook that is reached by URL, without a Service.
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
        let first = Certificate::new(&names).context("can't make a certificate")?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("can't listen on {address}"))?;
        Ok(Self {
            listener,
            names,
            first,
            bundle: Bundle::new(client, metrics),
        })
    }

    /// Serves, and keeps the certificate young and published, until the task is dropped.
    pub async fn serve(self, questions: mpsc::Sender<Question>) {
        let (publisher, current) = watch::channel(self.first.acceptor());
        let server = server::serve(self.listener, current, questions);
        let publish = async {
            let mut certificate = self.first;
            loop {
                if certificate.is_old() {
                    match Certificate::new(&self.names) {
                        Ok(new) => certificate = new,
                        Err(error) => tracing::error!(%error, "no new certificate"),
                    }
                }
                let pause = match self.bundle.publish(certificate.pem()).await {
                    Ok(changed) => {
                        if changed {
                            tracing::info!("the webhook's certificate was published");
                            tokio::time::sleep(SETTLE).await;
                        }
                        publisher.send_replace(certificate.acceptor());
                        CHECK
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the webhook's certificate was not published");
                        RETRY
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = server => {}
            () = publish => {}
        }
    }
}
