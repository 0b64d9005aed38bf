//! From a bare cluster to one with Bartizan.

use anyhow::{Context as _, Result, ensure};

use crate::case::{Case, Context};
use crate::kubectl::condition;
use crate::wait::eventually;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::needed("install/nodes_are_ready", nodes_are_ready),
        Case::needed("install/operator_runs_as_deployed", operator_runs),
        Case::new("install/webhook_has_its_certificate", webhook_certificate),
    ]
}

fn nodes_are_ready(context: &Context) -> Result<()> {
    let list = context.kubectl.get(&["nodes"])?;
    let nodes = list["items"].as_array().context("no list of nodes")?;
    ensure!(!nodes.is_empty(), "there are no nodes");
    for node in nodes {
        let name = &node["metadata"]["name"];
        ensure!(condition(node, "Ready") == Some("True"), "{name} isn't");
    }
    Ok(())
}

fn operator_runs(context: &Context) -> Result<()> {
    let deploy = context.file("config/deploy")?;
    context.kubectl.run(&["apply", "-k", &deploy])?;
    let system = ["--namespace", "bartizan-system"];
    eventually("all replicas of the operator are ready", || {
        let deployment = ["deployment", "bartizan-operator"];
        let object = context.kubectl.get(&[&system[..], &deployment].concat())?;
        let ready = object["status"]["readyReplicas"].as_u64();
        Ok((ready.is_some() && ready == object["spec"]["replicas"].as_u64()).then_some(()))
    })
}

fn webhook_certificate(context: &Context) -> Result<()> {
    eventually("the operator has written the webhook's authority", || {
        let webhook = ["validatingwebhookconfiguration", "bartizan-operator"];
        let object = context.kubectl.get(&webhook)?;
        let authority = object["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        Ok(authority.filter(|text| !text.is_empty()).map(|_| ()))
    })
}
