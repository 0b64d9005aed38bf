//! Pods without nodes: what the scheduler and a kubelet would write.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Binding, Container, ObjectReference, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// A pod with one container `main`.
pub fn pod(name: &str, labels: &[(&str, &str)]) -> Pod {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.collect::<BTreeMap<_, _>>()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container("main")],
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// A container of that name.
pub fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some("registry.invalid/image:1".to_owned()),
        ..Container::default()
    }
}

/// Creates a pod; returns it as the API server has it.
pub async fn create(client: &Client, namespace: &str, pod: &Pod) -> Result<Pod> {
    Api::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), pod)
        .await
        .with_context(|| format!("can't create pod {namespace}/{}", pod.name_any()))
}

/// Puts a pod on a node, as the scheduler does. The node need not exist.
pub async fn bind(client: &Client, namespace: &str, name: &str, node: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let _: Value = pods
        .create_subresource("binding", name, &PostParams::default(), &binding)
        .await
        .with_context(|| format!("can't bind pod {namespace}/{name}"))?;
    Ok(())
}

/// Says that a pod runs, as a kubelet does; each container gets an id.
pub async fn set_running(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let pod = pods
        .get(name)
        .await
        .with_context(|| format!("no pod {namespace}/{name}"))?;
    let uid = pod.uid().context("a pod without uid")?.replace('-', "");
    let spec = pod.spec.unwrap_or_default();
    let status = |at: usize, container: &Container| {
        json!({
            "name": container.name,
            "containerID": format!("containerd://{uid}{at:032x}"),
            "image": container.image,
            "imageID": "",
            "ready": true,
            "restartCount": 0,
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
        })
    };
    let statuses = spec.containers.iter().enumerate();
    let statuses: Vec<Value> = statuses
        .map(|(at, container)| status(at, container))
        .collect();
    let patch = json!({ "status": { "phase": "Running", "containerStatuses": statuses } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .with_context(|| format!("can't write the status of pod {namespace}/{name}"))?;
    Ok(())
}

/// Removes a pod at once, as a kubelet does after its last container has ended.
pub async fn remove(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    pods.delete(name, &DeleteParams::default().grace_period(0))
        .await
        .with_context(|| format!("can't delete pod {namespace}/{name}"))?;
    Ok(())
}
