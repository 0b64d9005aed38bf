//! Which of several replicas writes: the one that holds a `Lease`.
//!
//! # Protocol
//!
//! The holder renews the lease every [`RENEW`]. Whoever sees it unchanged for
//! [`DURATION`], by its own clock, takes it; a lease without a holder is taken at once.
//! Every write names the resource version that it replaces, so two can't take it together.
//!
//! # Guarantees
//!
//! A holder that can't renew stops leading after [`GIVE_UP`], which is before another may
//! take the lease. A replica that ends in peace gives the lease back, so that the next one
//! needn't wait. A write that was in flight when leadership ended may still arrive: writes
//! are pure functions of the cluster's state, so it says what the new leader would say.
//!
//! # Assumptions
//!
//! Clocks run at about the same speed; what time they show doesn't matter.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::metrics::{Call, Metrics};

/// How long a lease holds that is not renewed.
pub const DURATION: Duration = Duration::from_secs(10);
/// How often it is renewed, and looked at.
pub const RENEW: Duration = Duration::from_secs(2);
/// When a holder that can't renew stops leading. It looks every `RENEW + PATIENCE` at the
/// latest, so with that added it is still before others take over.
pub const GIVE_UP: Duration = Duration::from_secs(6);
/// How long one look at the lease may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name of the lease.
pub const NAME: &str = "bartizan-operator";

/// One replica's view of the lease.
pub struct Candidate {
    api: Api<Lease>,
    identity: String,
    metrics: Metrics,
    /// The version last seen, and when it was first seen.
    seen: Option<(Option<String>, Instant)>,
}

impl Candidate {
    /// A candidate for the lease in a namespace.
    pub fn new(client: Client, namespace: &str, identity: String, metrics: Metrics) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            metrics,
            seen: None,
        }
    }

    /// Takes part until the process is to end, and then gives the lease back.
    pub async fn run(mut self, leading: watch::Sender<bool>, mut stop: watch::Receiver<bool>) {
        let mut renewed: Option<Instant> = None;
        let set = |value: bool| {
            leading.send_if_modified(|now| std::mem::replace(now, value) != value);
        };
        loop {
            let started = Instant::now();
            match timeout(PATIENCE, self.take()).await {
                Ok(Ok(true)) => {
                    renewed = Some(started);
                    set(true);
                }
                Ok(Ok(false)) => {
                    renewed = None;
                    set(false);
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => tracing::warn!("the lease was not renewed: no answer"),
            }
            if renewed.is_some_and(|renewed| renewed.elapsed() >= GIVE_UP) {
                renewed = None;
                set(false);
            }
            tokio::select! {
                () = tokio::time::sleep(RENEW) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        set(false);
        if renewed.is_some() {
            // The engine's last writes come first: see `run`.
            leading.closed().await;
            match timeout(PATIENCE, self.give_back()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back"),
                Err(_) => tracing::warn!("the lease was not given back: no answer"),
            }
        }
    }

    /// Takes or renews the lease; whether this replica holds it now.
    async fn take(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(NAME).await;
        let Some(lease) = self.metrics.called(Call::Lease, found)? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            let created = self.api.create(&PostParams::default(), &lease).await;
            return self.won(created);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let version = lease.metadata.resource_version.clone();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let free = holder.is_empty() || holder == self.identity || since.elapsed() >= DURATION;
        if !free {
            return Ok(false);
        }
        let lease = Lease {
            spec: Some(self.spec(Some(&spec))),
            ..lease
        };
        let replaced = self.api.replace(NAME, &PostParams::default(), &lease).await;
        self.won(replaced)
    }

    fn won(&self, result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
        match self.metrics.called(Call::Lease, result) {
            Ok(_) => Ok(true),
            // Another was faster.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: match before.filter(|_| mine) {
                Some(before) => before.acquire_time.clone(),
                None => Some(now.clone()),
            },
            renew_time: Some(now),
            lease_transitions: Some(match transitions {
                Some(number) if mine => number,
                Some(number) => number.saturating_add(1),
                None => 0,
            }),
            ..LeaseSpec::default()
        }
    }

    async fn give_back(&self) -> Result<(), kube::Error> {
        let found = self.api.get_opt(NAME).await;
        let Some(mut lease) = self.metrics.called(Call::Lease, found)? else {
            return Ok(());
        };
        let Some(spec) = lease.spec.as_mut() else {
            return Ok(());
        };
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        let replaced = self.api.replace(NAME, &PostParams::default(), &lease).await;
        self.won(replaced).map(|_| ())
    }
}
