//! Three nodes, of which the last can't enforce: it says so, and is not counted.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::enforcement::WGET;
use super::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::case::{Case, Context, Layout};
use crate::kubectl::{Kubectl, Namespace, condition};
use crate::metrics::Metrics;
use crate::wait::eventually;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("nodes/one_that_can_t_enforce_is_not_counted", not_counted).on(&[Layout::Three]),
        Case::new("nodes/policy_follows_a_pod_to_another_node", follows).on(&[Layout::Three]),
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
    for (pod, node) in [
        ("able", "node-1"),
        ("other", "node-2"),
        ("unable", "node-3"),
    ] {
        writeln!(pods, "{}---", pod_on(pod, node))?;
    }
    namespace.apply(&pods)?;
    for pod in ["able", "other", "unable"] {
        namespace.ready(pod)?;
    }
    let policy = enforced(&namespace, "2/3")?;
    let conditions = policy["status"]["conditions"].as_array();
    let condition = conditions
        .and_then(|all| all.iter().find(|one| one["type"] == "Enforced"))
        .context("no condition Enforced")?;
    ensure!(condition["status"] == "False", "it claims: {condition}");
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("node-3"),
        "it doesn't name the node: {message}"
    );
    let unable = eventually("the third node says why", || {
        let report = report(&namespace, "unable")?;
        Ok((report["state"] == "Failed").then_some(report))
    })?;
    let why = unable["message"].as_str().unwrap_or_default();
    ensure!(why.contains("bpf"), "no reason that helps: {unable}");
    let metrics = Metrics::of_enforcer(&context.kubectl, "node-3")?;
    ensure!(
        metrics.value("bartizan_node_can_enforce") == Some(0.0),
        "the metric claims it can"
    );
    for pod in ["able", "other"] {
        let report = report(&namespace, pod)?;
        ensure!(report["state"] == "Armed", "{pod}: {report}");
        namespace.denies(pod, &WGET)?;
    }
    Ok(())
}

/// A deployment's pod, which the scheduler puts on another node once its own takes none.
fn follows(context: &Context) -> Result<()> {
    let kubectl = &context.kubectl;
    let namespace = kubectl.namespace("follows")?;
    let _closed = Cordoned::new(kubectl, "node-3")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&deployment())?;
    let first = on_its_node(&namespace, None)?;
    let _left = Cordoned::new(kubectl, &first)?;
    namespace.run(&["delete", "pod", "--selector=app=box", "--now"])?;
    let second = on_its_node(&namespace, Some(&first))?;
    println!("   from {first} to {second}");
    Ok(())
}

/// Waits until the deployment's pod is enforced on a node, and denied; which node.
fn on_its_node(namespace: &Namespace<'_>, but_not: Option<&str>) -> Result<String> {
    let (pod, node) = eventually("the pod runs on a node", || {
        let pods = namespace.get(&["pods", "--selector=app=box"])?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let [pod] = &pods[..] else { return Ok(None) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, node) = (
            text(&pod["metadata"]["name"]),
            text(&pod["spec"]["nodeName"]),
        );
        let is_there = condition(pod, "Ready") == Some("True") && Some(&*node) != but_not;
        Ok(is_there.then_some((name, node)))
    })?;
    enforced(namespace, "1/1")?;
    let enforcement = namespace.get(&["podenforcement", &pod])?;
    ensure!(
        enforcement["spec"]["node"] == node,
        "it is for {}",
        enforcement["spec"]["node"]
    );
    namespace.denies(&pod, &WGET)?;
    Ok(node)
}

fn deployment() -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: box
spec:
  selector:
    matchLabels: {{ app: box }}
  template:
    metadata:
      labels: {{ app: box }}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: {BUSYBOX}
"
    )
}

/// A node that takes no new pods, until this is dropped.
struct Cordoned<'a> {
    kubectl: &'a Kubectl,
    node: String,
}

impl<'a> Cordoned<'a> {
    fn new(kubectl: &'a Kubectl, node: &str) -> Result<Self> {
        kubectl.run(&["cordon", node])?;
        Ok(Self {
            kubectl,
            node: node.to_owned(),
        })
    }
}

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        // What can't be placed afterwards says so.
        let _ = self.kubectl.run(&["uncordon", &self.node]);
    }
}
