//! What happens in a cluster, step by step, and what it looks like in the end.
//!
//! Every fault test lets the same things happen, disturbs them, and compares the end with
//! that of a quiet run, object by object.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_api_tests::{Cluster, within};
use bartizan_crds::{ClusterSecurityPolicy, PodEnforcement, PolicyStatus, RuleMap, SecurityPolicy};
use k8s_openapi::api::core::v1::{Binding, Pod};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Until a step that is disturbed counts as failed.
const PATIENCE: Duration = Duration::from_secs(90);
/// Until a single request counts as lost.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The first half: namespaces, policies, pods.
pub(crate) async fn begin(cluster: &Cluster) -> Result<()> {
    let client = &cluster.client();
    for (name, stage) in [
        ("shop", "production"),
        ("bank", "production"),
        ("lab", "test"),
    ] {
        apply(
            client,
            "Namespace",
            None,
            name,
            json!({ "metadata": { "labels": { "stage": stage } } }),
        )
        .await?;
    }
    policy(
        client,
        "shop",
        "web-lockdown",
        "Enforce",
        json!({ "matchLabels": { "app": "web" } }),
        "/usr/bin/apt*",
    )
    .await?;
    policy(
        client,
        "bank",
        "ledger",
        "Enforce",
        json!({}),
        "/usr/bin/curl",
    )
    .await?;
    let everywhere = json!({ "spec": {
        "namespaceSelector": { "matchLabels": { "stage": "production" } },
        "selector": {},
        "mode": "Audit",
        "network": { "deny": [{ "name": "no-raw-sockets", "sockets": ["Raw", "Packet"] }] },
    } });
    apply(
        client,
        "ClusterSecurityPolicy",
        None,
        "no-raw-sockets",
        everywhere,
    )
    .await?;
    for (namespace, name, app, node) in [
        ("shop", "web-0", "web", "node-a"),
        ("shop", "web-1", "web", "node-b"),
        ("shop", "worker", "jobs", "node-a"),
        // The same name as in another namespace.
        ("bank", "web-0", "web", "node-b"),
        ("lab", "web-0", "web", "node-a"),
    ] {
        pod(client, namespace, name, app).await?;
        bind(client, namespace, name, node).await?;
    }
    Ok(())
}

/// The second half: edits, deletions, and a pod with the name of another.
pub(crate) async fn end(cluster: &Cluster) -> Result<()> {
    let client = &cluster.client();
    policy(
        client,
        "shop",
        "web-lockdown",
        "Enforce",
        json!({ "matchLabels": { "app": "web" } }),
        "/usr/bin/dpkg",
    )
    .await?;
    // Here and gone before anybody can have finished with it.
    policy(
        client,
        "shop",
        "fleeting",
        "Enforce",
        json!({}),
        "/usr/bin/python*",
    )
    .await?;
    delete(client, "SecurityPolicy", "shop", "fleeting").await?;
    // Another pod of the same name, on another node.
    delete(client, "Pod", "shop", "web-1").await?;
    pod(client, "shop", "web-1", "web").await?;
    bind(client, "shop", "web-1", "node-c").await?;
    // It is no longer selected, and the other is now.
    pod(client, "shop", "web-0", "jobs").await?;
    pod(client, "shop", "worker", "web").await?;
    delete(client, "Pod", "bank", "web-0").await?;
    pod(client, "bank", "unbound", "web").await?;
    apply(
        client,
        "Namespace",
        None,
        "lab",
        json!({ "metadata": { "labels": { "stage": "production" } } }),
    )
    .await?;
    policy(client, "lab", "late", "Audit", json!({}), "/usr/bin/gcc").await
}

/// What the operator has made of it, without what differs from run to run (times, UIDs,
/// versions), and without rule maps that nothing names.
pub(crate) type Picture = BTreeMap<String, Value>;

/// The cluster as it is now.
pub(crate) async fn picture(client: &Client) -> Result<Picture> {
    let all = ListParams::default();
    let pods = Api::<Pod>::all(client.clone()).list(&all).await?;
    let uid = |namespace: &str, name: &str| {
        let same =
            |pod: &&Pod| pod.namespace().as_deref() == Some(namespace) && pod.name_any() == name;
        pods.iter()
            .find(same)
            .and_then(Pod::uid)
            .unwrap_or_default()
    };
    let mut picture = Picture::new();
    let mut named = Vec::new();
    for enforcement in Api::<PodEnforcement>::all(client.clone())
        .list(&all)
        .await?
    {
        let namespace = enforcement.namespace().unwrap_or_default();
        let name = enforcement.name_any();
        let expected = uid(&namespace, &name);
        let owners = enforcement.owner_references();
        let owner = owners.first().is_some_and(|owner| owner.uid == expected);
        let own = enforcement.spec.pod_uid == expected;
        let containers = enforcement.spec.containers.iter();
        named.extend(containers.filter_map(|container| container.rule_map.clone()));
        let mut value = json!({ "spec": enforcement.spec, "status": enforcement.status });
        value["spec"]["podUID"] = json!(if own { "its pod's" } else { "another pod's" });
        value["owner"] = json!(if owner { "its pod" } else { "not its pod" });
        picture.insert(format!("enforcement {namespace}/{name}"), timeless(value));
    }
    for rule_map in Api::<RuleMap>::all(client.clone()).list(&all).await? {
        let name = rule_map.name_any();
        if named.contains(&name) {
            picture.insert(format!("rule map {name}"), json!(rule_map.spec));
        }
    }
    for policy in Api::<SecurityPolicy>::all(client.clone())
        .list(&all)
        .await?
    {
        let key = format!(
            "{}/{}",
            policy.namespace().unwrap_or_default(),
            policy.name_any()
        );
        picture.insert(
            format!("policy {key}"),
            status(policy.status.as_ref(), policy.metadata.generation)?,
        );
    }
    for policy in Api::<ClusterSecurityPolicy>::all(client.clone())
        .list(&all)
        .await?
    {
        let key = policy.name_any();
        picture.insert(
            format!("policy {key}"),
            status(policy.status.as_ref(), policy.metadata.generation)?,
        );
    }
    Ok(picture)
}

/// Waits until the cluster looks like that.
pub(crate) async fn looks_like(cluster: &Cluster, expected: &Picture) -> Result<()> {
    let client = cluster.client();
    let mut last = Picture::new();
    let reached = within(
        PATIENCE,
        "the cluster is as after a quiet run",
        async || {
            last = timeout(ATTEMPT, picture(&client)).await??;
            Ok((last == *expected).then_some(()))
        },
    );
    let Err(error) = reached.await else {
        return Ok(());
    };
    bail!("{error:#}\n{}", differences(expected, &last))
}

/// Waits until the picture stands still for some seconds, nothing is there of pods that are
/// gone, and something is of every kind.
pub(crate) async fn settle(cluster: &Cluster) -> Result<Picture> {
    const STILL: u32 = 40;
    let client = cluster.client();
    let mut last = Picture::new();
    let mut same = 0;
    within(PATIENCE, "the cluster stands still", async || {
        let now = picture(&client).await?;
        let orphan = |value: &Value| value["owner"] == "not its pod";
        let still = now == last && !now.values().any(orphan);
        same = if still { same + 1 } else { 0 };
        last = now;
        Ok((same >= STILL).then_some(()))
    })
    .await?;
    for kind in ["enforcement ", "rule map ", "policy "] {
        ensure!(
            last.keys().any(|key| key.starts_with(kind)),
            "no {kind}in {last:#?}"
        );
    }
    Ok(last)
}

fn differences(expected: &Picture, found: &Picture) -> String {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut text = String::new();
    for key in keys {
        let (wanted, there) = (expected.get(key), found.get(key));
        if wanted != there {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            let _ = writeln!(
                text,
                "{key}\n  expected {}\n  found    {}",
                show(wanted),
                show(there)
            );
        }
    }
    text
}

/// A policy's status; a generation that was not seen yet is told apart.
fn status(status: Option<&PolicyStatus>, generation: Option<i64>) -> Result<Value> {
    let mut value = serde_json::to_value(status).context("a status is JSON")?;
    if value.is_null() {
        return Ok(value);
    }
    let current = value["observedGeneration"].as_i64() == generation;
    value["observedGeneration"] = json!(if current { "current" } else { "old" });
    for condition in value["conditions"].as_array_mut().into_iter().flatten() {
        let current = condition["observedGeneration"].as_i64() == generation;
        condition["observedGeneration"] = json!(if current { "current" } else { "old" });
    }
    Ok(timeless(value))
}

fn timeless(mut value: Value) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| key != "since" && key != "lastTransitionTime");
                map.values_mut().for_each(visit);
            }
            Value::Array(list) => list.iter_mut().for_each(visit),
            _ => {}
        }
    }
    visit(&mut value);
    value
}

async fn policy(
    client: &Client,
    namespace: &str,
    name: &str,
    mode: &str,
    selector: Value,
    path: &str,
) -> Result<()> {
    let spec = json!({
        "selector": selector,
        "mode": mode,
        "process": { "deny": [{ "paths": [path] }] },
    });
    apply(
        client,
        "SecurityPolicy",
        Some(namespace),
        name,
        json!({ "spec": spec }),
    )
    .await
}

async fn pod(client: &Client, namespace: &str, name: &str, app: &str) -> Result<()> {
    let pod = json!({
        "metadata": { "labels": { "app": app } },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": "registry.invalid/image:1" }],
        },
    });
    apply(client, "Pod", Some(namespace), name, pod).await
}

/// Applies an object, however often it takes.
async fn apply(
    client: &Client,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    mut object: Value,
) -> Result<()> {
    let resource = resource(kind)?;
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(kind);
    object["metadata"]["name"] = json!(name);
    let api = api(client, &resource, namespace);
    let parameters = PatchParams::apply("story").force();
    within(PATIENCE, &format!("{kind} {name} is applied"), async || {
        let patch = Patch::Apply(&object);
        timeout(ATTEMPT, api.patch(name, &parameters, &patch)).await??;
        Ok(Some(()))
    })
    .await
}

async fn delete(client: &Client, kind: &str, namespace: &str, name: &str) -> Result<()> {
    let api = api(client, &resource(kind)?, Some(namespace));
    within(PATIENCE, &format!("{kind} {name} is gone"), async || {
        let parameters = DeleteParams::default().grace_period(0);
        match timeout(ATTEMPT, api.delete(name, &parameters)).await? {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Some(())),
            Err(error) => Err(error.into()),
            // Asked again until it isn't there.
            Ok(_) => Ok(None),
        }
    })
    .await
}

async fn bind(client: &Client, namespace: &str, name: &str, node: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    within(PATIENCE, &format!("pod {name} is bound"), async || {
        let pod = timeout(ATTEMPT, pods.get(name)).await??;
        if pod.spec.is_some_and(|spec| spec.node_name.is_some()) {
            return Ok(Some(()));
        }
        let binding: Binding = serde_json::from_value(json!({
            "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        }))?;
        let parameters = PostParams::default();
        let bound = pods.create_subresource::<_, Value>("binding", name, &parameters, &binding);
        timeout(ATTEMPT, bound).await??;
        Ok(Some(()))
    })
    .await
}

fn resource(kind: &str) -> Result<ApiResource> {
    let (group, version, plural) = match kind {
        "Namespace" => ("", "v1", "namespaces"),
        "Pod" => ("", "v1", "pods"),
        "SecurityPolicy" => ("bartizan.dev", "v1alpha1", "securitypolicies"),
        "ClusterSecurityPolicy" => ("bartizan.dev", "v1alpha1", "clustersecuritypolicies"),
        _ => bail!("the story knows no {kind}"),
    };
    let kind = GroupVersionKind::gvk(group, version, kind);
    Ok(ApiResource::from_gvk_with_plural(&kind, plural))
}

fn api(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}
