//! Objects as they are kept: what planning needs and nothing else.
//!
//! A cluster has 100,000 pods; a pod as the API server has it takes kilobytes, this takes
//! some hundred bytes.

use bartizan_crds::{ContainerKind, PodEnforcement, PodEnforcementSpec, PodEnforcementStatus};
use bartizan_crds::{PolicyStatus, RuleMap};
use bartizan_policy::selector::Labels;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value as Json;

use super::keys::PolicyKey;

/// Names the cgroup of a static pod: its mirror in the API has a UID of its own.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Whose fields of an object the operator writes. Part of the API: another name would
/// leave what was written under the old one behind.
pub const FIELD_MANAGER: &str = "bartizan-operator";

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// The UID in the name of its cgroup.
    pub cgroup_uid: String,
    /// The node it is bound to.
    pub node: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// All its containers, by kind and place.
    pub containers: Vec<Container>,
    /// None of its containers runs or will.
    pub ended: bool,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ContainerKind,
    /// Its image.
    pub image: Option<String>,
    /// Programs that its pod names by their whole path: what a policy should not deny.
    pub programs: Vec<Program>,
}

/// A program that a pod has a container run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is to the container: its command, a probe, a hook.
    pub role: &'static str,
    /// Absolute path.
    pub path: String,
}

impl Program {
    /// The programs of a container. Which one a name without a path is, only its image
    /// knows.
    fn of(container: &core::Container) -> Vec<Self> {
        let probe = |probe: &Option<core::Probe>| probe.as_ref()?.exec.clone()?.command;
        let lifecycle = container.lifecycle.as_ref();
        let hook = |handler: Option<&core::LifecycleHandler>| handler?.exec.clone()?.command;
        let all = [
            ("command", container.command.clone()),
            ("startup probe", probe(&container.startup_probe)),
            ("liveness probe", probe(&container.liveness_probe)),
            ("readiness probe", probe(&container.readiness_probe)),
            (
                "postStart hook",
                hook(lifecycle.and_then(|all| all.post_start.as_ref())),
            ),
            (
                "preStop hook",
                hook(lifecycle.and_then(|all| all.pre_stop.as_ref())),
            ),
        ];
        let first = |(role, words): (_, Option<Vec<String>>)| {
            let path = words?.into_iter().next()?;
            path.starts_with('/').then_some(Self { role, path })
        };
        all.into_iter().filter_map(first).collect()
    }
}

impl From<core::Pod> for Pod {
    fn from(pod: core::Pod) -> Self {
        let uid = pod.metadata.uid.unwrap_or_default();
        let mut annotations = pod.metadata.annotations.unwrap_or_default();
        let spec = pod.spec.unwrap_or_default();
        let container = |kind| {
            move |container: core::Container| Container {
                programs: Program::of(&container),
                name: container.name,
                kind,
                image: container.image,
            }
        };
        let init = spec.init_containers.unwrap_or_default();
        let init = init.into_iter().map(|init| {
            let kind = match init.restart_policy.as_deref() {
                Some("Always") => ContainerKind::Sidecar,
                _ => ContainerKind::Init,
            };
            container(kind)(init)
        });
        let regular = spec.containers.into_iter();
        let ephemeral = spec.ephemeral_containers.unwrap_or_default();
        let ephemeral = ephemeral.into_iter().map(|ephemeral| Container {
            name: ephemeral.name,
            kind: ContainerKind::Ephemeral,
            image: ephemeral.image,
            // Somebody debugs by hand: it need not go on.
            programs: Vec::new(),
        });
        let containers = init
            .chain(regular.map(container(ContainerKind::Regular)))
            .chain(ephemeral)
            .collect();
        let phase = pod.status.and_then(|status| status.phase);
        Self {
            cgroup_uid: annotations
                .remove(CONFIG_HASH)
                .unwrap_or_else(|| uid.clone()),
            uid,
            node: spec.node_name.filter(|node| !node.is_empty()),
            labels: pod.metadata.labels.unwrap_or_default(),
            containers,
            ended: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
        }
    }
}

/// A `PodEnforcement`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enforcement {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`; later ones are greater.
    pub version: u64,
    /// UID of the pod that owns it.
    pub owner: Option<String>,
    /// What the operator wrote; `None` if it is unreadable.
    pub spec: Option<PodEnforcementSpec>,
    /// What the enforcer wrote.
    pub status: PodEnforcementStatus,
    /// Since when the spec has been as it is.
    pub since: Option<Time>,
}

impl From<PodEnforcement> for Enforcement {
    fn from(object: PodEnforcement) -> Self {
        let metadata = object.metadata;
        let owners = metadata.owner_references.unwrap_or_default();
        let written = metadata.managed_fields.unwrap_or_default();
        let written = written.into_iter().find(|entry| {
            entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.is_none()
        });
        Self {
            uid: metadata.uid.unwrap_or_default(),
            version: version(metadata.resource_version.as_deref()),
            owner: owners
                .into_iter()
                .find(|owner| owner.kind == "Pod")
                .map(|owner| owner.uid),
            spec: Some(object.spec),
            status: object.status.unwrap_or_default(),
            since: written
                .and_then(|entry| entry.time)
                .or(metadata.creation_timestamp),
        }
    }
}

/// A policy of either kind, not judged yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyObject {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`; later ones are greater.
    pub version: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// The object with `apiVersion`, `kind`, its name and `spec`.
    pub json: Json,
    /// What the operator last said about it.
    pub status: Option<PolicyStatus>,
}

/// A resource version as a number, which since Kubernetes 1.35 it is by contract and
/// before that by practice; 0 if it is none.
pub(crate) fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A published rule map: which policies are in it. What they say is in its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedRuleMap {
    /// The policies in it.
    pub policies: Vec<PolicyKey>,
}

impl From<RuleMap> for PublishedRuleMap {
    fn from(object: RuleMap) -> Self {
        let policies = object.spec.policies.into_iter().map(|policy| PolicyKey {
            namespace: policy.namespace,
            name: policy.name,
        });
        Self {
            policies: policies.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: Json) -> Pod {
        serde_json::from_value::<core::Pod>(json).unwrap().into()
    }

    #[test]
    fn containers_of_every_kind_are_known_by_name() {
        let pod = pod(serde_json::json!({
            "metadata": { "uid": "u1" },
            "spec": {
                "initContainers": [
                    { "name": "setup" },
                    { "name": "proxy", "restartPolicy": "Always" },
                ],
                "containers": [{ "name": "web", "image": "nginx:1" }],
                "ephemeralContainers": [{ "name": "debug" }],
            },
        }));
        let kinds: Vec<_> = pod
            .containers
            .iter()
            .map(|container| (container.name.as_str(), container.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                ("setup", ContainerKind::Init),
                ("proxy", ContainerKind::Sidecar),
                ("web", ContainerKind::Regular),
                ("debug", ContainerKind::Ephemeral),
            ]
        );
        assert_eq!(pod.containers[2].image.as_deref(), Some("nginx:1"));
        assert_eq!(pod.cgroup_uid, "u1");
        assert!(!pod.ended);
    }

    #[test]
    fn programs_are_known_that_are_named_by_their_path() {
        let exec = |words: &[&str]| serde_json::json!({ "exec": { "command": words } });
        let pod = pod(serde_json::json!({ "spec": { "containers": [{
            "name": "web",
            "command": ["/usr/sbin/nginx", "-g"],
            "livenessProbe": exec(&["/bin/check", "/etc"]),
            "readinessProbe": exec(&["curl", "/"]),
            "startupProbe": { "httpGet": { "port": 80 } },
            "lifecycle": { "preStop": exec(&["/bin/sh", "-c", "exit"]) },
        }] } }));
        let programs = pod.containers[0].programs.iter();
        let programs: Vec<_> = programs.map(|one| (one.role, one.path.as_str())).collect();
        assert_eq!(
            programs,
            [
                ("command", "/usr/sbin/nginx"),
                ("liveness probe", "/bin/check"),
                ("preStop hook", "/bin/sh"),
            ]
        );
    }

    #[test]
    fn a_static_pod_has_the_cgroup_of_its_config_hash() {
        let pod = pod(serde_json::json!({
            "metadata": { "uid": "u1", "annotations": { "kubernetes.io/config.hash": "abc" } },
            "spec": { "containers": [], "nodeName": "node-a" },
            "status": { "phase": "Failed" },
        }));
        assert_eq!((pod.uid.as_str(), pod.cgroup_uid.as_str()), ("u1", "abc"));
        assert_eq!(pod.node.as_deref(), Some("node-a"));
        assert!(pod.ended);
    }
}
