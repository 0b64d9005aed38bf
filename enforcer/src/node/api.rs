//! The API server: this node's `PodEnforcement`s and the rule maps they name in, their
//! statuses out.
//!
//! Nothing else is asked for, so that a node that was taken over knows little and changes
//! less. Watches go on for ever; an API server that is away leaves what is known as it is.

use std::collections::HashSet;
use std::time::Duration;

use backon::ExponentialBuilder;
use bartizan_crds::{PodEnforcement, PodEnforcementStatus, RuleMap, RuleMapSpec};
use futures::{StreamExt as _, pin_mut};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::keys::PodKey;
use super::pods::Wanted;
use super::rule_maps::RuleMapError;

/// Who owns the fields of a status.
const FIELD_MANAGER: &str = "bartizan-enforcer";
/// The first wait after a watch has failed; doubled at each further failure.
const FIRST_RETRY: Duration = Duration::from_millis(800);
/// The longest. Up to as much again is added at random, so that not all nodes come at once.
/// When an API server comes back, a watch fails up to three times: nobody answers, then
/// rights are not known yet, then it has to begin with a list. With kube's own limit, half a
/// minute, new rules reach the node minutes later.
const LAST_RETRY: Duration = Duration::from_millis(1_600);

/// Something that came from the API server.
#[derive(Debug)]
pub enum Update {
    /// A `PodEnforcement` is there, or changed.
    Applied(PodKey, Box<Enforcement>),
    /// It is gone.
    Deleted(PodKey),
    /// All there are have been said.
    Synced,
    /// What came of fetching a rule map, which nobody has checked.
    RuleMap(String, Result<Box<RuleMapSpec>, RuleMapError>),
    /// What came of writing a status: what the API server has now.
    Written(PodKey, Result<Box<Enforcement>, kube::Error>),
    /// A watch failed; it is tried again.
    Failed,
}

/// A `PodEnforcement` taken apart.
#[derive(Clone, Debug)]
pub struct Enforcement {
    /// What it asks for.
    pub wanted: Wanted,
    /// What it says.
    pub status: Option<PodEnforcementStatus>,
    /// Grows with every change.
    pub version: u64,
    /// Its own UID: another object of the same name has another.
    pub uid: Option<String>,
}

impl From<PodEnforcement> for Enforcement {
    fn from(object: PodEnforcement) -> Self {
        let owners = object.metadata.owner_references.unwrap_or_default();
        let pod = owners.into_iter().find(|owner| owner.kind == "Pod");
        let version = object.metadata.resource_version;
        Self {
            wanted: Wanted {
                owner: pod.map(|pod| pod.uid),
                spec: object.spec,
            },
            status: object.status,
            version: version.and_then(|text| text.parse().ok()).unwrap_or(0),
            uid: object.metadata.uid,
        }
    }
}

/// The API server, through which everything goes to one receiver.
#[derive(Clone)]
pub struct Server {
    client: Client,
    updates: mpsc::Sender<Update>,
}

impl Server {
    /// A server and whoever waits for it.
    pub fn new(client: Client, updates: mpsc::Sender<Update>) -> Self {
        Self { client, updates }
    }

    /// Follows the `PodEnforcement`s of a node until the receiver is gone.
    pub async fn follow(self, node: String) {
        let api: Api<DeserializeGuard<PodEnforcement>> = Api::all(self.client);
        let config = watcher::Config::default().fields(&format!("spec.node={node}"));
        let stream = watch(api, config).backoff(retries());
        pin_mut!(stream);
        let (mut known, mut listed) = (HashSet::new(), HashSet::new());
        while let Some(event) = stream.next().await {
            let mut said = Vec::new();
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(key(&object));
                    said.extend(applied(object));
                }
                Ok(Event::InitDone) => {
                    said.extend(known.difference(&listed).cloned().map(Update::Deleted));
                    known = std::mem::take(&mut listed);
                    said.push(Update::Synced);
                }
                Ok(Event::Apply(object)) => {
                    known.insert(key(&object));
                    said.extend(applied(object));
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&key(&object));
                    said.push(Update::Deleted(key(&object)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the watch of PodEnforcements failed; retrying");
                    said.push(Update::Failed);
                }
            }
            for update in said {
                if self.updates.send(update).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Fetches a rule map.
    pub async fn fetch(self, name: String) {
        let api: Api<RuleMap> = Api::all(self.client);
        let result = match api.get(&name).await {
            Ok(map) => Ok(Box::new(map.spec)),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                Err(RuleMapError::Missing(name.clone()))
            }
            Err(error) => Err(RuleMapError::Unreadable(name.clone(), error.to_string())),
        };
        // Whoever waited may have gone.
        let _ = self.updates.send(Update::RuleMap(name, result)).await;
    }

    /// Writes a status.
    pub async fn write(self, key: PodKey, uid: Option<String>, status: PodEnforcementStatus) {
        let api: Api<PodEnforcement> = Api::namespaced(self.client, &key.namespace);
        let body = json!({
            "apiVersion": PodEnforcement::api_version(&()),
            "kind": PodEnforcement::kind(&()),
            // Of this object and not of another that came in its place.
            "metadata": { "name": key.name, "uid": uid },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let result = api
            .patch_status(&key.name, &params, &Patch::Apply(body))
            .await
            .map(|object| Box::new(Enforcement::from(object)));
        let _ = self.updates.send(Update::Written(key, result)).await;
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

fn key(object: &DeserializeGuard<PodEnforcement>) -> PodKey {
    PodKey {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// One that doesn't parse changes nothing: what was enforced goes on.
fn applied(object: DeserializeGuard<PodEnforcement>) -> Option<Update> {
    let key = key(&object);
    match object.0 {
        Ok(object) => Some(Update::Applied(key, Box::new(object.into()))),
        Err(error) => {
            tracing::error!(pod = %key, %error, "a PodEnforcement can't be read");
            None
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
