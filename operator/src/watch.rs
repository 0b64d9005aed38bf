//! Follows the API server: everything that happens to the kinds the operator knows.
//!
//! ```text
//!   list + watch of a kind ─► trimmed to what is used ─► Change ─┐
//!   ... six kinds                                                ├─► one channel ─► engine
//! ```
//!
//! An object that doesn't parse is a value like any other and never ends a watch. The names
//! in a new list are told after its objects, so that whoever knows of others can forget
//! them. Failures are retried with back-off for ever: an API server that is away leaves what
//! is known as it is.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use backon::ExponentialBuilder;
use bartizan_crds::{ClusterSecurityPolicy, PodEnforcement, RuleMap, SecurityPolicy};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1 as core;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cluster::{
    self, Change, Enforcement, PodKey, PolicyKey, PolicyObject, PublishedRuleMap,
};
use crate::metrics::Metrics;

/// The first wait after a failure; doubled at each further one.
const FIRST_RETRY: Duration = Duration::from_millis(800);
/// The longest. Up to as much again is added at random, so that not all come at once. When
/// an API server comes back, a watch fails up to three times: nobody answers, then rights are
/// not known yet, then it has to begin with a list. With kube's own limit, half a minute,
/// an edit of a policy is seen minutes later.
const LAST_RETRY: Duration = Duration::from_millis(1_600);

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Namespaces.
    Namespaces,
    /// Pods.
    Pods,
    /// `SecurityPolicy` objects.
    SecurityPolicies,
    /// `ClusterSecurityPolicy` objects.
    ClusterSecurityPolicies,
    /// `RuleMap` objects.
    RuleMaps,
    /// `PodEnforcement` objects.
    PodEnforcements,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Namespaces,
        Self::Pods,
        Self::SecurityPolicies,
        Self::ClusterSecurityPolicies,
        Self::RuleMaps,
        Self::PodEnforcements,
    ];

    /// The plural, as in the API's paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Pods => "pods",
            Self::SecurityPolicies => "securitypolicies",
            Self::ClusterSecurityPolicies => "clustersecuritypolicies",
            Self::RuleMaps => "rulemaps",
            Self::PodEnforcements => "podenforcements",
        }
    }
}

/// What a watch says.
#[derive(Debug)]
pub enum Update {
    /// Something happened to an object.
    Change(Box<Change>),
    /// Everything there is of a kind has been said, and these are all its names.
    Listed(Kind, HashSet<Name>),
}

/// Watches every kind until the receiver is gone.
pub fn start(client: &Client, updates: &mpsc::Sender<Update>, metrics: &Metrics) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let follow = |kind| Follow {
        kind,
        updates: updates.clone(),
        metrics: metrics.clone(),
    };
    let namespaces: Api<PartialObjectMeta<core::Namespace>> = Api::all(client.clone());
    tasks.spawn(follow(Kind::Namespaces).run(namespaces, |name, object| {
        let labels = object.map(|object| object.metadata.labels.unwrap_or_default());
        Change::Namespace(name.name, labels)
    }));
    let pods: Api<DeserializeGuard<core::Pod>> = Api::all(client.clone());
    tasks.spawn(follow(Kind::Pods).run(pods, |name, object| {
        let pod = object.map(|object| {
            object.0.unwrap_or_else(|invalid| core::Pod {
                metadata: invalid.metadata,
                ..core::Pod::default()
            })
        });
        Change::Pod(name.pod(), pod.map(Into::into))
    }));
    for (kind, resource) in [
        (
            Kind::SecurityPolicies,
            ApiResource::erase::<SecurityPolicy>(&()),
        ),
        (
            Kind::ClusterSecurityPolicies,
            ApiResource::erase::<ClusterSecurityPolicy>(&()),
        ),
    ] {
        let policies: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let follow = follow(kind);
        tasks.spawn(
            follow.run_as(resource.clone(), policies, move |name, object| {
                let object = object.map(|object| policy(&resource, object));
                Change::Policy(name.policy(), object)
            }),
        );
    }
    let rule_maps: Api<DeserializeGuard<RuleMap>> = Api::all(client.clone());
    tasks.spawn(follow(Kind::RuleMaps).run(rule_maps, |name, object| {
        let map = object.map(|object| match object.0 {
            Ok(map) => map.into(),
            Err(_) => PublishedRuleMap::default(),
        });
        Change::RuleMap(name.name, map)
    }));
    let enforcements: Api<DeserializeGuard<PodEnforcement>> = Api::all(client.clone());
    tasks.spawn(
        follow(Kind::PodEnforcements).run(enforcements, |name, object| {
            let enforcement = object.map(|object| match object.0 {
                Ok(enforcement) => enforcement.into(),
                Err(invalid) => Enforcement {
                    uid: invalid.metadata.uid.unwrap_or_default(),
                    ..Enforcement::default()
                },
            });
            Change::Enforcement(name.pod(), enforcement)
        }),
    );
    tasks
}

/// What is judged of a policy: its name and `spec`, as they are stored.
pub fn policy(resource: &ApiResource, object: DynamicObject) -> PolicyObject {
    let metadata = object.metadata;
    let status = object.data.get("status").cloned();
    let mut json = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": metadata.name },
    });
    if let Some(namespace) = metadata.namespace {
        json["metadata"]["namespace"] = namespace.into();
    }
    if let Some(spec) = object.data.get("spec") {
        json["spec"] = spec.clone();
    }
    PolicyObject {
        uid: metadata.uid.unwrap_or_default(),
        version: cluster::version(metadata.resource_version.as_deref()),
        generation: metadata.generation.unwrap_or_default(),
        json,
        status: status.and_then(|status| serde_json::from_value(status).ok()),
    }
}

/// An object's place in its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Name {
    fn pod(self) -> PodKey {
        PodKey {
            namespace: self.namespace.unwrap_or_default(),
            name: self.name,
        }
    }

    fn policy(self) -> PolicyKey {
        PolicyKey {
            namespace: self.namespace,
            name: self.name,
        }
    }
}

/// When a watch that has failed is tried again.
fn retries() -> ExponentialBackoff {
    let delays = ExponentialBuilder::new()
        .with_min_delay(FIRST_RETRY)
        .with_max_delay(LAST_RETRY)
        .without_max_times()
        .with_jitter();
    delays.into()
}

struct Follow {
    kind: Kind,
    updates: mpsc::Sender<Update>,
    metrics: Metrics,
}

impl Follow {
    async fn run<K>(self, api: Api<K>, change: impl Fn(Name, Option<K>) -> Change)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        self.run_as((), api, change).await;
    }

    async fn run_as<K>(
        self,
        _: K::DynamicType,
        api: Api<K>,
        change: impl Fn(Name, Option<K>) -> Change,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let stream = watch(api, watcher::Config::default()).backoff(retries());
        pin_mut!(stream);
        let mut listed: HashSet<Name> = HashSet::new();
        while let Some(event) = stream.next().await {
            let name = |object: &K| Name {
                namespace: object.namespace(),
                name: object.name_any(),
            };
            let said = |object, gone: bool| {
                let name = name(&object);
                let object = (!gone).then_some(object);
                Some(Update::Change(Box::new(change(name, object))))
            };
            let said = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    None
                }
                Ok(Event::InitApply(object)) => {
                    listed.insert(name(&object));
                    said(object, false)
                }
                Ok(Event::InitDone) => Some(Update::Listed(self.kind, std::mem::take(&mut listed))),
                Ok(Event::Apply(object)) => said(object, false),
                Ok(Event::Delete(object)) => said(object, true),
                Err(error) => {
                    self.metrics.watch_failed(self.kind);
                    tracing::warn!(kind = self.kind.name(), %error, "a watch failed; retrying");
                    None
                }
            };
            if let Some(update) = said
                && self.updates.send(update).await.is_err()
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_is_tried_again_soon_however_long_the_api_server_was_away() {
        let waits: Vec<Duration> = retries().take(50).collect();
        assert_eq!(waits.len(), 50, "it gives up");
        assert!(
            waits.iter().all(|wait| *wait <= 2 * LAST_RETRY),
            "{waits:?}"
        );
        assert!(
            waits[10..].iter().all(|wait| *wait >= LAST_RETRY),
            "{waits:?}"
        );
    }
}
