//! Two nodes, of which one can't enforce: it says so, and is not counted.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::policies::{NO_WGET, waiting_pod};
use crate::case::{Case, Context, Layout};
use crate::kubectl::Namespace;
use crate::metrics::Metrics;
use crate::wait::eventually;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("nodes/one_that_can_t_enforce_is_not_counted", not_counted).on(&[Layout::Two]),
        Case::new("nodes/policy_follows_a_pod_to_another_node", follows).on(&[Layout::Two]),
    ]
}

fn pod_on(name: &str, node: &str) -> String {
    waiting_pod(name) + &format!("  nodeName: {node}\n")
}

fn report(namespace: &Namespace<'_>, pod: &str) -> Result<Value> {
    let enforcement = namespace.get(&["podenforcement", pod])?;
    Ok(enforcement["status"]["containers"][0].clone())
}

/// Waits until the policy's status is this.
fn enforced(namespace: &Namespace<'_>, wanted: &str) -> Result<Value> {
    eventually(&format!("the policy is enforced {wanted}"), || {
        let policy = namespace.get(&["securitypolicy", "no-downloads"])?;
        Ok((policy["status"]["enforced"] == wanted).then_some(policy))
    })
}

fn not_counted(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("counted")?;
    namespace.apply(NO_WGET)?;
    let mut pods = String::new();
    for (pod, node) in [("able", "node-1"), ("unable", "node-2")] {
        writeln!(pods, "{}---", pod_on(pod, node))?;
    }
    namespace.apply(&pods)?;
    namespace.ready("able")?;
    namespace.ready("unable")?;
    let policy = enforced(&namespace, "1/2")?;
    let conditions = policy["status"]["conditions"].as_array();
    let condition = conditions
        .and_then(|all| all.iter().find(|one| one["type"] == "Enforced"))
        .context("no condition Enforced")?;
    ensure!(condition["status"] == "False", "it claims: {condition}");
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("node-2"),
        "it doesn't name the node: {message}"
    );
    let unable = eventually("the second node says why", || {
        let report = report(&namespace, "unable")?;
        Ok((report["state"] == "Failed").then_some(report))
    })?;
    let why = unable["message"].as_str().unwrap_or_default();
    ensure!(why.contains("bpf"), "no reason that helps: {unable}");
    let metrics = Metrics::of_enforcer(&context.kubectl, "node-2")?;
    ensure!(
        metrics.value("bartizan_node_can_enforce") == Some(0.0),
        "the metric claims it can"
    );
    ensure!(
        report(&namespace, "able")?["state"] == "Armed",
        "the first node doesn't either"
    );
    Ok(())
}

fn follows(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("follows")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&pod_on("box", "node-2"))?;
    namespace.ready("box")?;
    enforced(&namespace, "0/1")?;
    namespace.run(&["delete", "pod", "box", "--now"])?;
    namespace.apply(&pod_on("box", "node-1"))?;
    namespace.ready("box")?;
    enforced(&namespace, "1/1")?;
    namespace.denies("box", &["/usr/bin/wget", "--help"])?;
    Ok(())
}
