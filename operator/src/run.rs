//! Puts the parts together.
//!
//! ```text
//!   watches ─► updates ─► engine ◄─ questions ─ http, webhook
//!                           ▲
//!                  lease ───┘ leading?
//! ```
//!
//! At the end the engine's last writes are waited for, then the lease is given back, so
//! that the next leader starts after them.

use anyhow::{Context as _, Result};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::args::Args;
use crate::engine::{Engine, Inputs};
use crate::lease::Candidate;
use crate::metrics::Metrics;
use crate::webhook::Webhook;
use crate::write::Writer;
use crate::{http, watch as watches};

/// Updates on their way to the engine; a full channel slows the watches down.
const UPDATES: usize = 4_096;
/// Questions on their way to the engine.
const QUESTIONS: usize = 64;

/// Runs until SIGTERM or SIGINT.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start threads")?;
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for SIGINT")?;
    let client = Client::try_default()
        .await
        .context("no API server is known: run in a pod, or set KUBECONFIG")?;
    let metrics = Metrics::default();
    let (stop, stopped) = watch::channel(false);
    let (leading, leads) = watch::channel(false);
    let (sender, updates) = mpsc::channel(UPDATES);
    let (questions, asked) = mpsc::channel(QUESTIONS);

    let listener = http::listen(args.listen)
        .await
        .with_context(|| format!("can't listen on {}", args.listen))?;
    tracing::info!(address = %args.listen, identity = args.identity, "started");
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn(http::serve(listener, metrics.clone(), questions.clone()));
    if let Some(address) = args.webhook.0 {
        let webhook =
            Webhook::listen(address, &args.namespace, client.clone(), metrics.clone()).await?;
        tracing::info!(%address, "the webhook listens");
        servers.spawn(webhook.serve(questions.clone()));
    }
    let _watches = watches::start(&client, &sender, &metrics);

    let candidate = Candidate::new(
        client.clone(),
        &args.namespace,
        args.identity.clone(),
        metrics.clone(),
    );
    let lease = tokio::spawn(candidate.run(leading, stopped.clone()));
    let writer = Writer::new(client, args.identity.clone(), metrics.clone());
    let engine = Engine::new(writer, metrics, args.settings());
    let engine = tokio::spawn(engine.run(Inputs {
        updates,
        questions: asked,
        leading: leads,
        stop: stopped,
    }));

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
    stop.send_replace(true);
    engine.await.context("the engine failed")?;
    lease.await.context("the lease's task failed")?;
    Ok(())
}
