//! What the token of an enforcer can do: what a node that was taken over could.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::deployment::{ENFORCER, NAMESPACE};
use bartizan_api_tests::{Access, Cluster, Setup, eventually, pods, run};
use bartizan_crds::PodEnforcement;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

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
            let refused = write(access, name).await.err();
            let refused = refused.with_context(|| format!("{name} was written"))?;
            ensure!(
                refused
                    .to_string()
                    .contains("an enforcer writes only of pods of its own node"),
                "{refused}"
            );
        }
        write(&enforcer, "mine").await.context("its own")?;
        Ok(())
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
