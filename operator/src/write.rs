//! Everything the operator writes, by server-side apply where there is something to apply.
//!
//! Each call answers with what is true now, so that the engine needn't wait for its watch
//! to find out.

use std::sync::Arc;

use bartizan_crds::{
    ClusterSecurityPolicy, PodEnforcement, PodEnforcementSpec, PolicyStatus, RuleMap, RuleMapSpec,
    SecurityPolicy,
};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde_json::{Value as Json, json};

use crate::cluster::{Change, FIELD_MANAGER, PodKey, PolicyKey};
use crate::metrics::{Call, Metrics};
use crate::watch;

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A rule map was not published.
    #[error("rule map {name} was not published")]
    PublishRuleMap {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A rule map was not deleted.
    #[error("rule map {name} was not deleted")]
    DeleteRuleMap {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A `PodEnforcement` was not written.
    #[error("the PodEnforcement of pod {pod} was not written")]
    ApplyEnforcement {
        /// Its pod.
        pod: PodKey,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A `PodEnforcement` was not deleted.
    #[error("the PodEnforcement of pod {pod} was not deleted")]
    DeleteEnforcement {
        /// Its pod.
        pod: PodKey,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A policy's status was not written.
    #[error("the status of policy {policy} was not written")]
    WriteStatus {
        /// The policy.
        policy: Arc<PolicyKey>,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

impl WriteError {
    /// The kind, as metrics name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PublishRuleMap { .. } => "PublishRuleMap",
            Self::DeleteRuleMap { .. } => "DeleteRuleMap",
            Self::ApplyEnforcement { .. } => "ApplyPodEnforcement",
            Self::DeleteEnforcement { .. } => "DeletePodEnforcement",
            Self::WriteStatus { .. } => "WriteStatus",
        }
    }
}

/// Writes objects.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
}

impl Writer {
    /// A writer that signs events with the name of this replica.
    pub fn new(client: Client, identity: String, metrics: Metrics) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(identity),
        };
        let recorder = Recorder::new(client.clone(), reporter);
        Self {
            client,
            recorder,
            metrics,
        }
    }

    /// Publishes a rule map.
    pub async fn publish(&self, name: String, spec: &RuleMapSpec) -> Result<Change, WriteError> {
        let api: Api<RuleMap> = Api::all(self.client.clone());
        let result = api
            .patch(
                &name,
                &apply(),
                &Patch::Apply(RuleMap::new(&name, spec.clone())),
            )
            .await;
        match self.metrics.called(Call::PublishRuleMap, result) {
            Ok(map) => Ok(Change::RuleMap(name, Some(map.into()))),
            Err(source) => Err(WriteError::PublishRuleMap { name, source }),
        }
    }

    /// Deletes a rule map.
    pub async fn delete_rule_map(&self, name: String) -> Result<Change, WriteError> {
        let api: Api<RuleMap> = Api::all(self.client.clone());
        let result = gone(api.delete(&name, &DeleteParams::default()).await);
        match self.metrics.called(Call::DeleteRuleMap, result) {
            Ok(()) => Ok(Change::RuleMap(name, None)),
            Err(source) => Err(WriteError::DeleteRuleMap { name, source }),
        }
    }

    /// Writes the `PodEnforcement` of a pod, which owns it.
    pub async fn apply_enforcement(
        &self,
        pod: PodKey,
        owner: &str,
        spec: &PodEnforcementSpec,
    ) -> Result<Change, WriteError> {
        let api: Api<PodEnforcement> = Api::namespaced(self.client.clone(), &pod.namespace);
        let object = enforcement(&pod, owner, spec);
        let result = api.patch(&pod.name, &apply(), &Patch::Apply(object)).await;
        match self.metrics.called(Call::ApplyEnforcement, result) {
            Ok(object) => Ok(Change::Enforcement(pod, Some(object.into()))),
            Err(source) => Err(WriteError::ApplyEnforcement { pod, source }),
        }
    }

    /// Deletes a `PodEnforcement`, and not another of the same name.
    pub async fn delete_enforcement(&self, pod: PodKey, uid: String) -> Result<Change, WriteError> {
        let api: Api<PodEnforcement> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let result = gone(api.delete(&pod.name, &params).await);
        match self.metrics.called(Call::DeleteEnforcement, result) {
            Ok(()) => Ok(Change::Enforcement(pod, None)),
            Err(source) => Err(WriteError::DeleteEnforcement { pod, source }),
        }
    }

    /// Writes the status of a policy.
    pub async fn write_status(
        &self,
        key: Arc<PolicyKey>,
        status: &PolicyStatus,
    ) -> Result<Change, WriteError> {
        let resource = match &key.namespace {
            Some(_) => ApiResource::erase::<SecurityPolicy>(&()),
            None => ApiResource::erase::<ClusterSecurityPolicy>(&()),
        };
        let api: Api<DynamicObject> = match &key.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let object = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": { "name": key.name },
            "status": status,
        });
        let result = api
            .patch_status(&key.name, &apply(), &Patch::Apply(object))
            .await;
        match self.metrics.called(Call::WriteStatus, result) {
            Ok(object) => {
                let object = watch::policy(&resource, object);
                Ok(Change::Policy((*key).clone(), Some(object)))
            }
            // It was deleted meanwhile: its watch will say so.
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                Ok(Change::Policy((*key).clone(), None))
            }
            Err(source) => Err(WriteError::WriteStatus {
                policy: key,
                source,
            }),
        }
    }

    /// Leaves an event on a policy. Events are for people: one that is lost is logged.
    pub async fn event(&self, key: &PolicyKey, uid: &str, what: Occurrence) {
        let resource = match &key.namespace {
            Some(_) => ApiResource::erase::<SecurityPolicy>(&()),
            None => ApiResource::erase::<ClusterSecurityPolicy>(&()),
        };
        let mut object = DynamicObject::new(&key.name, &resource);
        object.metadata.namespace.clone_from(&key.namespace);
        object.metadata.uid = Some(uid.to_owned());
        let (type_, action) = match what.kind {
            OccurrenceKind::Refused => (EventType::Warning, "Validate"),
            OccurrenceKind::Enforced => (EventType::Normal, "Enforce"),
        };
        let event = Event {
            type_,
            reason: what.reason,
            note: Some(shortened(what.note)),
            action: action.to_owned(),
            secondary: None,
        };
        let result = self
            .recorder
            .publish(&event, &object.object_ref(&resource))
            .await;
        if let Err(error) = self.metrics.called(Call::PublishEvent, result) {
            tracing::warn!(policy = %key, %error, "an event was not published");
        }
    }
}

/// Something that people should see in `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// What kind of thing.
    pub kind: OccurrenceKind,
    /// Why, in one word.
    pub reason: String,
    /// The same as a sentence.
    pub note: String,
}

/// What happens to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccurrenceKind {
    /// A generation was refused.
    Refused,
    /// It is in the kernel everywhere.
    Enforced,
}

/// The `PodEnforcement` of a pod as it is applied.
pub fn enforcement(pod: &PodKey, owner: &str, spec: &PodEnforcementSpec) -> Json {
    json!({
        "apiVersion": PodEnforcement::api_version(&()),
        "kind": PodEnforcement::kind(&()),
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "uid": owner,
                "controller": true,
            }],
        },
        "spec": spec,
    })
}

fn apply() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// What is gone already is as good as deleted. A conflict isn't: there may be another object
/// of this name by now, of which the watch will tell before it is tried again.
fn gone<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The API server takes 1,024 bytes.
fn shortened(mut note: String) -> String {
    const MAX: usize = 1_000;
    if note.len() > MAX {
        let end = (0..=MAX).rev().find(|end| note.is_char_boundary(*end));
        note.truncate(end.unwrap_or_default());
        note.push_str(" ...");
    }
    note
}
