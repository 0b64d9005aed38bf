//! A cluster in memory: objects, the watches that tell of them, and an API server that
//! takes what the operator writes.
//!
//! No stand-in for the real one (tests/api has that): it is here because it can be late,
//! repeat itself and fail thousands of times in a second, in an order that shrinks.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use bartizan_crds::{ContainerState, PodEnforcement, RuleMap};
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value as Json, json};

use crate::cluster::{Change, Pod, PodKey, PolicyKey, PolicyObject};
use crate::watch::{Kind, Name, Update};

/// What the API server does with the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is written, and an error says so.
    Refuse(u16),
    /// It is written, but nobody hears of it.
    LoseAnswer,
}

/// A watch of one kind.
#[derive(Default)]
struct Watch {
    /// What has happened and was not told yet.
    pending: VecDeque<Change>,
    last: Option<Change>,
}

/// The cluster.
#[derive(Default)]
pub(super) struct World {
    version: u64,
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) pods: BTreeMap<PodKey, Pod>,
    pub(super) policies: BTreeMap<PolicyKey, PolicyObject>,
    pub(super) enforcements: BTreeMap<PodKey, PodEnforcement>,
    pub(super) rule_maps: BTreeMap<String, RuleMap>,
    watches: BTreeMap<&'static str, Watch>,
    pub(super) faults: VecDeque<Fault>,
    /// Writes that were answered, events and failures aside.
    pub(super) writes: Vec<String>,
    /// Decides how long requests take.
    random: u64,
}

impl World {
    /// Nothing yet; the seed decides how long requests take.
    pub(super) fn new(random: u64) -> Self {
        Self {
            random,
            ..Self::default()
        }
    }

    /// Another number each time: a resource version, or part of a UID.
    pub(super) fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// How long half of a request takes.
    pub(super) fn delay(&mut self) -> Duration {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Duration::from_millis(self.random >> 33 & 63)
    }

    /// Has the watches tell of a change.
    pub(super) fn happened(&mut self, change: Change) {
        let kind = kind(&change).name();
        self.watches
            .entry(kind)
            .or_default()
            .pending
            .push_back(change);
    }

    /// Puts a policy, with a new generation.
    pub(super) fn put_policy(&mut self, key: &PolicyKey, spec: &Json) {
        let version = self.next();
        let (apiversion, kind) = match key.namespace {
            Some(_) => ("bartizan.dev/v1alpha1", "SecurityPolicy"),
            None => ("bartizan.dev/v1alpha1", "ClusterSecurityPolicy"),
        };
        let mut metadata = json!({ "name": key.name });
        if let Some(namespace) = &key.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let json = json!({
            "apiVersion": apiversion, "kind": kind, "metadata": metadata, "spec": spec,
        });
        let new = PolicyObject {
            uid: format!("policy-{version}"),
            ..PolicyObject::default()
        };
        let object = self.policies.entry(key.clone()).or_insert(new);
        if object.json == json {
            return;
        }
        object.json = json;
        object.version = version;
        object.generation += 1;
        let object = object.clone();
        self.happened(Change::Policy(key.clone(), Some(object)));
    }

    /// Puts a pod that was changed.
    pub(super) fn put_pod(&mut self, key: &PodKey, pod: Pod) {
        self.pods.insert(key.clone(), pod.clone());
        self.happened(Change::Pod(key.clone(), Some(pod)));
    }

    /// Puts a `PodEnforcement` that was changed.
    pub(super) fn put_enforcement(&mut self, key: &PodKey, mut object: PodEnforcement) {
        object.metadata.resource_version = Some(self.next().to_string());
        self.enforcements.insert(key.clone(), object.clone());
        self.happened(Change::Enforcement(key.clone(), Some(object.into())));
    }

    /// Deletes what is told to be gone.
    pub(super) fn delete(&mut self, gone: Change) {
        let there = match &gone {
            Change::Namespace(name, _) => self.namespaces.remove(name).is_some(),
            Change::Pod(key, _) => self.pods.remove(key).is_some(),
            Change::Policy(key, _) => self.policies.remove(key).is_some(),
            Change::RuleMap(name, _) => self.rule_maps.remove(name).is_some(),
            Change::Enforcement(key, _) => self.enforcements.remove(key).is_some(),
        };
        if there {
            self.happened(gone);
        }
    }

    /// A namespace and everything in it.
    pub(super) fn delete_namespace(&mut self, name: &str) {
        let pods = self.pods.keys().chain(self.enforcements.keys());
        let pods: Vec<PodKey> = pods.filter(|key| key.namespace == name).cloned().collect();
        for key in pods {
            self.delete(Change::Pod(key.clone(), None));
            self.delete(Change::Enforcement(key, None));
        }
        let policies = self.policies.keys();
        let policies = policies.filter(|key| key.namespace.as_deref() == Some(name));
        for key in policies.cloned().collect::<Vec<_>>() {
            self.delete(Change::Policy(key, None));
        }
        self.delete(Change::Namespace(name.to_owned(), None));
    }

    /// What the garbage collector deletes: `PodEnforcement`s whose pod is gone.
    pub(super) fn collect_garbage(&mut self) {
        let dangling = self.enforcements.iter().filter(|(key, object)| {
            let owners = object.metadata.owner_references.iter().flatten();
            let pod = self.pods.get(key).map(|pod| &pod.uid);
            owners
                .map(|owner| &owner.uid)
                .any(|owner| Some(owner) != pod)
        });
        for key in dangling.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.delete(Change::Enforcement(key, None));
        }
    }

    /// As if the node's enforcer had armed what is asked for.
    pub(super) fn report(&mut self, key: &PodKey) {
        let Some(mut object) = self.enforcements.get(key).cloned() else {
            return;
        };
        let containers = object.spec.containers.iter();
        let reports: Vec<Json> = containers
            .filter(|container| container.rule_map.is_some())
            .map(|container| {
                json!({
                    "name": container.name,
                    "state": ContainerState::Armed,
                    "ruleMap": container.rule_map,
                })
            })
            .collect();
        let status = json!({ "containers": reports });
        let status = serde_json::from_value(status).expect("it is a status");
        if object.spec.node.is_some() && object.status.as_ref() != Some(&status) {
            object.status = Some(status);
            self.put_enforcement(key, object);
        }
    }

    /// The next events of a watch.
    pub(super) fn deliver(&mut self, kind: Kind, most: usize) -> Vec<Update> {
        let watch = self.watches.entry(kind.name()).or_default();
        let events = watch.pending.drain(..most.min(watch.pending.len()));
        let events: Vec<Change> = events.collect();
        watch.last = events.last().cloned().or(watch.last.take());
        events.into_iter().map(update).collect()
    }

    /// The last event of a watch once more.
    pub(super) fn repeat(&mut self, kind: Kind) -> Vec<Update> {
        let watch = self.watches.entry(kind.name()).or_default();
        watch.last.clone().into_iter().map(update).collect()
    }

    /// A watch that starts again with a list: what it would have told is forgotten.
    pub(super) fn list(&mut self, kind: Kind) -> Vec<Update> {
        let all: Vec<Change> = match kind {
            Kind::Namespaces => each(&self.namespaces, Change::Namespace),
            Kind::Pods => each(&self.pods, Change::Pod),
            Kind::RuleMaps => each(&self.rule_maps, |name, map: Option<RuleMap>| {
                Change::RuleMap(name, map.map(Into::into))
            }),
            Kind::PodEnforcements => {
                each(&self.enforcements, |key, object: Option<PodEnforcement>| {
                    Change::Enforcement(key, object.map(Into::into))
                })
            }
            Kind::SecurityPolicies | Kind::ClusterSecurityPolicies => {
                let mut all = each(&self.policies, Change::Policy);
                all.retain(|change| self::kind(change) == kind);
                all
            }
        };
        let watch = self.watches.entry(kind.name()).or_default();
        watch.pending.clear();
        watch.last = None;
        let names = all.iter().map(name).collect();
        let mut updates: Vec<Update> = all.into_iter().map(update).collect();
        updates.push(Update::Listed(kind, names));
        updates
    }

    /// Nothing was ever told, as when the operator starts.
    pub(super) fn forget(&mut self) {
        self.watches.clear();
    }

    /// What the API server answers.
    pub(super) fn answer(&mut self, request: &Request<Vec<u8>>) -> io::Result<Response<Body>> {
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        let path: Vec<&str> = request.uri().path().split('/').collect();
        if path.contains(&"events.k8s.io") {
            return Ok(said(StatusCode::CREATED, &body));
        }
        let fault = self.faults.pop_front();
        if let Some(Fault::Refuse(code)) = fault {
            let code = StatusCode::from_u16(code).expect("it is a code");
            return Ok(refused(code, "refused on purpose"));
        }
        let delete = request.method() == Method::DELETE;
        let verb = if delete { "delete" } else { "patch" };
        self.writes.push(format!("{verb} {}", request.uri().path()));
        // "", apis, group, version, then namespaces and its name, kind, name, subresource
        let answer = match path[4..] {
            ["rulemaps", name] if delete => {
                self.deleted(Change::RuleMap(name.to_owned(), None), &body)
            }
            ["rulemaps", name] => self.publish(name, &body),
            ["namespaces", namespace, "podenforcements", name] => {
                let key = PodKey::new(namespace, name);
                if delete {
                    self.deleted(Change::Enforcement(key, None), &body)
                } else {
                    self.apply(&key, body)
                }
            }
            ["namespaces", namespace, "securitypolicies", name, "status"] => {
                self.status(&PolicyKey::namespaced(namespace, name), &body)
            }
            ["clustersecuritypolicies", name, "status"] => {
                self.status(&PolicyKey::cluster(name), &body)
            }
            _ => panic!(
                "the operator asks for {} {}",
                request.method(),
                request.uri()
            ),
        };
        match fault {
            Some(Fault::LoseAnswer) => Err(io::Error::other("the answer is lost")),
            _ => Ok(answer),
        }
    }

    fn publish(&mut self, name: &str, body: &Json) -> Response<Body> {
        let map: RuleMap = serde_json::from_value(body.clone()).expect("it is a rule map");
        if let Some(there) = self.rule_maps.get(name) {
            assert_eq!(there.spec, map.spec, "the same name means the same rules");
        } else {
            self.rule_maps.insert(name.to_owned(), map.clone());
            self.happened(Change::RuleMap(name.to_owned(), Some(map.into())));
        }
        said(StatusCode::OK, body)
    }

    fn apply(&mut self, key: &PodKey, body: Json) -> Response<Body> {
        if !self.namespaces.contains_key(&key.namespace) {
            return refused(StatusCode::NOT_FOUND, "no such namespace");
        }
        let mut object: PodEnforcement = serde_json::from_value(body).expect("it is one");
        if let Some(there) = self.enforcements.get(key) {
            let (old, new) = (&there.spec, &object.spec);
            // The rules of the kind.
            if old.pod_uid != new.pod_uid || (old.node.is_some() && old.node != new.node) {
                return refused(StatusCode::UNPROCESSABLE_ENTITY, "it can't be changed so");
            }
            object.metadata.uid.clone_from(&there.metadata.uid);
            object.status.clone_from(&there.status);
            object
                .metadata
                .creation_timestamp
                .clone_from(&there.metadata.creation_timestamp);
            object
                .metadata
                .resource_version
                .clone_from(&there.metadata.resource_version);
            if *there == object {
                return said(StatusCode::OK, &json!(object));
            }
        } else {
            object.metadata.uid = Some(format!("enforcement-{}", self.next()));
            object.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        }
        self.put_enforcement(key, object);
        said(StatusCode::OK, &json!(self.enforcements[key]))
    }

    fn status(&mut self, key: &PolicyKey, body: &Json) -> Response<Body> {
        let version = self.next();
        let Some(object) = self.policies.get_mut(key) else {
            return refused(StatusCode::NOT_FOUND, "no such policy");
        };
        let status = serde_json::from_value(body["status"].clone()).expect("it is a status");
        object.status = Some(status);
        object.version = version;
        let object = object.clone();
        let mut json = object.json.clone();
        json["metadata"]["uid"] = json!(object.uid);
        json["metadata"]["generation"] = json!(object.generation);
        json["metadata"]["resourceVersion"] = json!(version.to_string());
        json["status"] = body["status"].clone();
        self.happened(Change::Policy(key.clone(), Some(object)));
        said(StatusCode::OK, &json)
    }

    fn deleted(&mut self, gone: Change, body: &Json) -> Response<Body> {
        let uid = match &gone {
            Change::RuleMap(name, _) => self.rule_maps.get(name).map(|map| &map.metadata.uid),
            Change::Enforcement(key, _) => self.enforcements.get(key).map(|one| &one.metadata.uid),
            _ => None,
        };
        let Some(uid) = uid else {
            return refused(StatusCode::NOT_FOUND, "nothing of that name");
        };
        let wanted = body["preconditions"]["uid"].as_str();
        if wanted.is_some() && wanted != uid.as_deref() {
            return refused(StatusCode::CONFLICT, "another object");
        }
        self.delete(gone);
        said(
            StatusCode::OK,
            &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }),
        )
    }
}

fn kind(change: &Change) -> Kind {
    match change {
        Change::Namespace(..) => Kind::Namespaces,
        Change::Pod(..) => Kind::Pods,
        Change::Policy(key, _) if key.namespace.is_some() => Kind::SecurityPolicies,
        Change::Policy(..) => Kind::ClusterSecurityPolicies,
        Change::RuleMap(..) => Kind::RuleMaps,
        Change::Enforcement(..) => Kind::PodEnforcements,
    }
}

fn name(change: &Change) -> Name {
    let (namespace, name) = match change {
        Change::Namespace(name, _) | Change::RuleMap(name, _) => (None, name),
        Change::Pod(key, _) | Change::Enforcement(key, _) => (Some(&key.namespace), &key.name),
        Change::Policy(key, _) => (key.namespace.as_ref(), &key.name),
    };
    Name {
        namespace: namespace.cloned(),
        name: name.clone(),
    }
}

fn each<K: Clone, V: Clone>(
    objects: &BTreeMap<K, V>,
    change: impl Fn(K, Option<V>) -> Change,
) -> Vec<Change> {
    let objects = objects.iter();
    objects
        .map(|(key, object)| change(key.clone(), Some(object.clone())))
        .collect()
}

fn update(change: Change) -> Update {
    Update::Change(Box::new(change))
}

fn said(code: StatusCode, body: &Json) -> Response<Body> {
    let body = Body::from(body.to_string().into_bytes());
    Response::builder()
        .status(code)
        .body(body)
        .expect("it is a response")
}

fn refused(code: StatusCode, message: &str) -> Response<Body> {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "",
    };
    said(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code.as_u16(), "reason": reason, "message": message,
        }),
    )
}
