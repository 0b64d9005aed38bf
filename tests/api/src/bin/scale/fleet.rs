//! The cluster that is measured: applications of ten pods, a policy for each, and one for
//! all of them.

use anyhow::{Context as _, Result};
use bartizan_api_tests::pods;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Pods of an application.
pub(crate) const REPLICAS: u32 = 10;
/// Applications of a namespace.
const APPLICATIONS: u32 = 10;
/// Requests at a time.
const WORKERS: u32 = 16;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: u32,
    pub(crate) pods: u32,
}

/// An application: its pods carry its name as a label, and a policy selects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Size {
    pub(crate) fn applications(self) -> u32 {
        self.pods.div_ceil(REPLICAS)
    }

    /// Makes all of it.
    pub(crate) async fn create(self, client: &Client) -> Result<()> {
        let all = PatchParams::apply("fleet").force();
        let namespaces = self.applications().div_ceil(APPLICATIONS);
        for number in 0..namespaces {
            let name = format!("team-{number}");
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
            });
            let kind = GroupVersionKind::gvk("", "v1", "Namespace");
            let kind = ApiResource::from_gvk(&kind);
            let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
            api.patch(&name, &all, &Patch::Apply(namespace)).await?;
        }
        let kind = GroupVersionKind::gvk("bartizan.dev", "v1alpha1", "ClusterSecurityPolicy");
        let kind = ApiResource::from_gvk_with_plural(&kind, "clustersecuritypolicies");
        let policy = json!({
            "apiVersion": "bartizan.dev/v1alpha1",
            "kind": "ClusterSecurityPolicy",
            "metadata": { "name": "everywhere" },
            "spec": {
                "selector": {},
                "capabilities": { "deny": [{ "capabilities": ["SYS_ADMIN"] }] },
            },
        });
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
        api.patch("everywhere", &all, &Patch::Apply(policy)).await?;

        for number in 0..self.applications() {
            edit(client, &application(number), 0).await?;
        }
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let client = client.clone();
            workers.spawn(async move {
                for number in (worker..self.pods).step_by(WORKERS as usize) {
                    let (application, name) = pod(number);
                    add_pod(&client, &application, &name).await?;
                    let node = format!("node-{}", number % self.nodes);
                    pods::bind(&client, &application.namespace, &name, &node).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = workers.join_next().await {
            done.context("a worker failed")??;
        }
        Ok(())
    }
}

/// An application by number.
pub(crate) fn application(number: u32) -> Application {
    Application {
        namespace: format!("team-{}", number / APPLICATIONS),
        name: format!("app-{}", number % APPLICATIONS),
    }
}

/// A pod by number: its application and name.
pub(crate) fn pod(number: u32) -> (Application, String) {
    let application = application(number / REPLICAS);
    let name = format!("{}-{}", application.name, number % REPLICAS);
    (application, name)
}

/// Creates a pod of an application, without a node.
pub(crate) async fn add_pod(client: &Client, application: &Application, name: &str) -> Result<()> {
    let labels = [("app", application.name.as_str())];
    pods::create(client, &application.namespace, &pods::pod(name, &labels)).await?;
    Ok(())
}

/// Writes the policy of an application; another `edit` has another rule.
pub(crate) async fn edit(client: &Client, application: &Application, edit: u32) -> Result<()> {
    let Application { namespace, name } = application;
    let paths: Vec<String> = (0..10)
        .map(|number| format!("/opt/{namespace}/{name}/{number}/{edit}"))
        .collect();
    let policy: Value = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "mode": "Enforce",
            "process": { "deny": [{ "paths": paths }, { "paths": ["/usr/bin/curl"] }] },
            "files": { "deny": [{ "paths": ["/etc/shadow"] }] },
        },
    });
    let kind = GroupVersionKind::gvk("bartizan.dev", "v1alpha1", "SecurityPolicy");
    let kind = ApiResource::from_gvk_with_plural(&kind, "securitypolicies");
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    let by = PatchParams::apply("fleet").force();
    api.patch(name, &by, &Patch::Apply(policy)).await?;
    Ok(())
}
