//! What the token of an enforcer can do: what a node that was taken over could.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::deployment::{ENFORCER, NAMESPACE};
use bartizan_api_tests::{Access, Cluster, Setup, eventually, pods, run};
use bartizan_crds::PodEnforcement;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// Enforcements of pods on two nodes, and of one that is on none.
const ENFORCEMENTS: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: PodEnforcement
metadata: { name: mine, namespace: default }
spec: { node: node-a, podUID: 0d8a4a2c-5d7e-4c1b-9b8e-000000000001 }
---
apiVersion: bartizan.dev/v1alpha1
kind: PodEnforcement
metadata: { name: theirs, namespace: default }
spec: { node: node-b, podUID: 0d8a4a2c-5d7e-4c1b-9b8e-000000000002 }
---
apiVersion: bartizan.dev/v1alpha1
kind: PodEnforcement
metadata: { name: nobodys, namespace: default }
spec: { podUID: 0d8a4a2c-5d7e-4c1b-9b8e-000000000003 }
---
apiVersion: bartizan.dev/v1alpha1
kind: RuleMap
metadata: { name: rules }
spec: {}
---
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: policy, namespace: default }
spec: { selector: {} }
";

/// Writes a status as the enforcer does.
async fn write(access: &Access, name: &str) -> Result<(), kube::Error> {
    let status = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": { "name": name },
        "status": { "armed": "1/1" },
    });
    let api = Api::<PodEnforcement>::namespaced(access.client.clone(), "default");
    let params = PatchParams::apply("bartizan-enforcer").force();
    api.patch_status(name, &params, &Patch::Apply(&status))
        .await
        .map(|_| ())
}

/// The access of the enforcer on `node-a`, and of its service account without a pod.
async fn enforcer(cluster: &Cluster) -> Result<(Access, Access)> {
    cluster.deploy().await?;
    eventually("the enforcements are accepted", async || {
        let said = cluster.admin().apply(ENFORCEMENTS).await?;
        ensure!(said.success, "{}", said.stderr);
        Ok(Some(()))
    })
    .await?;
    let mut pod = pods::pod("enforcer", &[]);
    let spec = pod.spec.as_mut().context("a pod without spec")?;
    spec.service_account_name = Some("bartizan-enforcer".to_owned());
    pods::create(&cluster.client(), NAMESPACE, &pod).await?;
    pods::bind(&cluster.client(), NAMESPACE, "enforcer", "node-a").await?;
    let pods = Api::<Pod>::namespaced(cluster.client(), NAMESPACE);
    let pod = cluster.pod(&pods.get("enforcer").await?).await?;
    let account = cluster
        .service_account(NAMESPACE, "bartizan-enforcer")
        .await?;
    Ok((pod, account))
}

#[test]
fn an_enforcer_writes_of_its_own_nodes_pods_alone() {
    run(Setup::default(), async |cluster| {
        let (enforcer, stolen) = enforcer(cluster).await?;
        // The admission policy takes a moment to be in force; until then all is allowed.
        eventually("another node's status is protected", async || {
            Ok(write(&enforcer, "theirs").await.is_err().then_some(()))
        })
        .await?;
        for (access, name) in [
            (&enforcer, "theirs"),
            (&enforcer, "nobodys"),
            (&stolen, "mine"),
        ] {
            let written = write(access, name).await;
            refused(written, "an enforcer writes only of pods of its own node").context(name)?;
        }
        write(&enforcer, "mine").await.context("its own")?;
        Ok(())
    });
}

/// Fails unless something was refused for a reason.
fn refused<T>(result: Result<T, kube::Error>, reason: &str) -> Result<()> {
    let error = result.err().context("it was accepted")?;
    ensure!(error.to_string().contains(reason), "{error}");
    Ok(())
}

/// Events of everybody's in a namespace.
fn events(access: &Access) -> Api<Event> {
    Api::namespaced(access.client.clone(), "default")
}

/// Creates an event as the enforcer of `instance` does, with some fields changed; its name.
async fn report(access: &Access, instance: &str, other: Value) -> Result<String, kube::Error> {
    let mut event = json!({
        "metadata": { "generateName": "web-" },
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "bartizan-enforcer",
        "reportingInstance": instance,
        "action": "Exec",
        "reason": "PolicyDenied",
        "type": "Warning",
        "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web" },
    });
    for (field, value) in other.as_object().into_iter().flatten() {
        event[field] = value.clone();
    }
    let event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
    let made = events(access).create(&PostParams::default(), &event).await;
    made.map(|event| event.metadata.name.unwrap_or_default())
}

/// Counts an event once more, as the enforcer does.
async fn repeat(access: &Access, name: &str) -> Result<(), kube::Error> {
    let again = json!({
        "series": { "count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z" },
    });
    events(access)
        .patch(name, &PatchParams::default(), &Patch::Merge(&again))
        .await
        .map(|_| ())
}

#[test]
fn an_enforcer_writes_events_in_its_own_name_alone() {
    const NOT_ITS_OWN: &str = "an enforcer writes only events that are from its own node";
    run(Setup::default(), async |cluster| {
        let (enforcer, stolen) = enforcer(cluster).await?;
        eventually("events are protected", async || {
            let made = report(&enforcer, "node-b", json!({})).await;
            Ok(refused(made, NOT_ITS_OWN).is_ok().then_some(()))
        })
        .await?;
        let kubelet = json!({ "reportingController": "kubelet" });
        for (access, instance, other) in [
            (&enforcer, "node-b", json!({})),
            (&enforcer, "node-a", kubelet.clone()),
            (&stolen, "node-a", json!({})),
        ] {
            let said = format!("{instance:?}, {other}");
            let made = report(access, instance, other).await;
            refused(made, NOT_ITS_OWN).context(said)?;
        }
        // Outside of all namespaces, where events are in the namespace `default`.
        let node = json!({ "regarding": { "apiVersion": "v1", "kind": "Node", "name": "node-a" } });
        for other in [node, json!({ "regarding": null })] {
            let said = other.to_string();
            let made = report(&enforcer, "node-a", other).await;
            refused(made, "an enforcer writes only events about pods").context(said)?;
        }

        // Written by whom they say; the administrator may say anything.
        let admin = cluster.admin();
        for (instance, other) in [("node-b", json!({})), ("node-a", kubelet)] {
            let said = format!("{instance}, {other}");
            let theirs = report(admin, instance, other).await?;
            let patched = repeat(&enforcer, &theirs).await;
            refused(patched, NOT_ITS_OWN).context(said)?;
        }
        let own = report(&enforcer, "node-a", json!({})).await;
        let own = own.context("its own")?;
        repeat(&enforcer, &own).await.context("its own, again")?;
        refused(repeat(&stolen, &own).await, NOT_ITS_OWN).context("without a node")
    });
}

#[test]
fn an_enforcers_token_is_refused_everything_else() {
    run(Setup::default(), async |cluster| {
        let (enforcer, _) = enforcer(cluster).await?;
        let event = format!(
            "apiVersion: events.k8s.io/v1\nkind: Event\n\
             metadata: {{ name: first, namespace: default }}\n\
             eventTime: 2026-01-01T00:00:00.000000Z\n\
             reportingController: bartizan-enforcer\nreportingInstance: node-a\n\
             action: Exec\nreason: PolicyDenied\ntype: Warning\n\
             note: \"{ENFORCER}\"\n\
             regarding: {{ kind: Pod, namespace: default, name: web }}\n"
        );
        for allowed in [
            &["get", "podenforcements", "-A"][..],
            &["get", "rulemap", "rules"],
        ] {
            let said = kubectl(&enforcer, allowed, "").await?;
            ensure!(said.is_none(), "{allowed:?}: {said:?}");
        }
        let create = ["create", "-f", "-", "--validate=false"];
        let said = kubectl(&enforcer, &create, &event).await?;
        ensure!(said.is_none(), "events: {said:?}");

        let spec = r#"{"spec":{"containers":[]}}"#;
        let mode = r#"{"spec":{"mode":"Audit"}}"#;
        for refused in [
            &["get", "secrets", "-A"][..],
            &["get", "pods", "-A"],
            &["get", "nodes"],
            &["get", "namespaces"],
            &["get", "configmaps", "-A"],
            &["get", "rulemaps"],
            &["get", "securitypolicies", "-A"],
            &["get", "clustersecuritypolicies"],
            &["delete", "podenforcement", "mine"],
            &["delete", "rulemap", "rules"],
            &["delete", "securitypolicy", "policy"],
            &[
                "patch",
                "--type=merge",
                "podenforcement",
                "mine",
                "-p",
                spec,
            ],
            &[
                "patch",
                "--type=merge",
                "securitypolicy",
                "policy",
                "-p",
                mode,
            ],
            &["create", "serviceaccount", "mine"],
            &["create", "token", "bartizan-operator", "-n", NAMESPACE],
        ] {
            let said = kubectl(&enforcer, refused, "").await?;
            let said = said.with_context(|| format!("{refused:?} was allowed"))?;
            ensure!(
                said.to_lowercase().contains("forbidden"),
                "{refused:?}: {said}"
            );
        }
        Ok(())
    });
}

/// What kubectl says against it; `None`: it did what it was told.
async fn kubectl(access: &Access, arguments: &[&str], input: &str) -> Result<Option<String>> {
    let said = access.try_kubectl(arguments, input).await?;
    Ok((!said.success).then_some(said.stderr))
}
