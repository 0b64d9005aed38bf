//! Enforcers without nodes: they report every container as armed, as soon as it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bartizan_crds::PodEnforcement;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const MANAGER: &str = "simulated-enforcer";
const POLL: Duration = Duration::from_millis(100);

/// One for all nodes; stops when it is dropped.
pub struct Enforcers(JoinHandle<()>);

impl Enforcers {
    /// Starts reporting, as whoever the client belongs to.
    pub fn start(client: Client) -> Self {
        Self(tokio::spawn(async move {
            loop {
                // Servers may be down for a while.
                let _ = report(&client).await;
                tokio::time::sleep(POLL).await;
            }
        }))
    }
}

impl Drop for Enforcers {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes the statuses that are missing or out of date.
async fn report(client: &Client) -> Result<()> {
    let all = Api::<PodEnforcement>::all(client.clone());
    for enforcement in all.list(&ListParams::default()).await? {
        arm(client, &enforcement).await?;
    }
    Ok(())
}

/// Reports the containers of a pod as armed, if it is on a node and that wasn't said yet.
pub async fn arm(client: &Client, enforcement: &PodEnforcement) -> Result<()> {
    if enforcement.spec.node.is_none() {
        return Ok(());
    }
    let reports: Vec<Value> = reports(enforcement);
    let said = enforcement.status.as_ref().map(|status| {
        let containers = status.containers.iter();
        containers
            .map(|report| (report.name.as_str(), report.rule_map.as_deref()))
            .collect::<BTreeMap<_, _>>()
    });
    let wanted = reports.iter().map(|report| {
        let name = report["name"].as_str().unwrap_or("");
        (name, report["ruleMap"].as_str())
    });
    if said.is_some_and(|said| said == wanted.collect::<BTreeMap<_, _>>()) {
        return Ok(());
    }
    let namespace = enforcement
        .namespace()
        .context("an enforcement without namespace")?;
    let api = Api::<PodEnforcement>::namespaced(client.clone(), &namespace);
    let status = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": { "name": enforcement.name_any() },
        "status": { "armed": format!("{0}/{0}", reports.len()), "containers": reports },
    });
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch_status(&enforcement.name_any(), &parameters, &Patch::Apply(&status))
        .await?;
    Ok(())
}

fn reports(enforcement: &PodEnforcement) -> Vec<Value> {
    let containers = enforcement.spec.containers.iter();
    let selected =
        containers.filter_map(|container| Some((container, container.rule_map.as_ref()?)));
    selected
        .map(|(container, rule_map)| {
            json!({
                "name": container.name,
                "state": "Armed",
                "ruleMap": rule_map,
                "since": "2026-01-01T00:00:00Z",
                "unprotectedMicros": -5000,
            })
        })
        .collect()
}
