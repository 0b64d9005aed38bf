//! What somebody can do who has stolen an enforcer's token: nothing beyond its node.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::policies::{NO_WGET, waiting_pod};
use crate::case::{Case, Context, Layout};
use crate::kubectl::Said;
use crate::wait::eventually;

const SYSTEM: &str = "bartizan-system";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("isolation/token_reads_nothing_else", reads_nothing_else),
        Case::new("isolation/token_writes_nothing_else", writes_nothing_else),
        Case::new("isolation/token_is_for_its_own_node", is_for_its_own_node).on(&[Layout::Three]),
    ]
}

/// kubectl with the token of a node's enforcer.
struct Thief<'a> {
    context: &'a Context,
    kubeconfig: PathBuf,
}

impl<'a> Thief<'a> {
    /// Steals the token of the enforcer on a node.
    fn on(context: &'a Context, node: &str) -> Result<Self> {
        let pod = context.kubectl.enforcer(node)?;
        let token = context.kubectl.run(&[
            "--namespace",
            SYSTEM,
            "create",
            "token",
            "bartizan-enforcer",
            "--bound-object-kind=Pod",
            &format!("--bound-object-name={pod}"),
        ])?;
        let view = ["config", "view", "--raw", "--output", "json"];
        let mut config: Value = serde_json::from_str(&context.kubectl.run(&view)?)?;
        config["users"][0]["user"] = json!({"token": token.trim()});
        let name = format!("bartizan-thief-{}-{node}", std::process::id());
        let kubeconfig = std::env::temp_dir().join(name);
        fs::write(&kubeconfig, config.to_string()).context("write the thief's kubeconfig")?;
        Ok(Self {
            context,
            kubeconfig,
        })
    }

    fn attempt(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let config = format!("--kubeconfig={}", self.kubeconfig.display());
        let arguments = [&[config.as_str()], arguments].concat();
        self.context.kubectl.attempt(&arguments, input)
    }

    /// It must be the API server that refuses, for want of the right to do just this.
    fn is_refused(&self, verb: &str, arguments: &[&str], input: &str) -> Result<()> {
        let said = self.attempt(arguments, input)?;
        let refused = said.status != Some(0) && said.stderr.contains(&format!("cannot {verb} "));
        ensure!(refused, "kubectl {}: {said:?}", arguments.join(" "));
        Ok(())
    }
}

impl Drop for Thief<'_> {
    fn drop(&mut self) {
        // The token in it ends with the cluster.
        let _ = fs::remove_file(&self.kubeconfig);
    }
}

fn reads_nothing_else(context: &Context) -> Result<()> {
    let thief = Thief::on(context, "node-1")?;
    let said = thief.attempt(&["auth", "whoami"], "")?;
    ensure!(
        said.stdout
            .contains("system:serviceaccount:bartizan-system:bartizan-enforcer"),
        "the token is not the enforcer's: {said:?}"
    );
    for kind in [
        "secrets",
        "configmaps",
        "pods",
        "nodes",
        "namespaces",
        "serviceaccounts",
        "securitypolicies",
        "clustersecuritypolicies",
    ] {
        thief.is_refused("list", &["get", kind, "--all-namespaces"], "")?;
    }
    Ok(())
}

fn writes_nothing_else(context: &Context) -> Result<()> {
    let thief = Thief::on(context, "node-1")?;
    let namespace = context.kubectl.namespace("thief")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&waiting_pod("box"))?;
    let within = format!("--namespace={}", namespace.name);
    let enforcement = eventually("the pod has a PodEnforcement", || {
        Ok(namespace.get(&["podenforcement", "box"]).ok())
    })?;
    let map = enforcement["spec"]["containers"][0]["ruleMap"]
        .as_str()
        .context("no rule map")?;
    let run = |verb: &str, words: &[&str], input: &str| {
        thief.is_refused(verb, &[&[within.as_str()], words].concat(), input)
    };
    for (kind, name) in [
        ("podenforcement", "box"),
        ("securitypolicy", "no-downloads"),
        ("rulemap", map),
        ("pod", "box"),
    ] {
        run("delete", &["delete", kind, name], "")?;
    }
    let patch = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let without_rules = format!(
        "apiVersion: bartizan.dev/v1alpha1\nkind: PodEnforcement\nmetadata:\n  name: box\n\
         spec:\n  podUID: {}\n  containers: []\n",
        enforcement["spec"]["podUID"]
    );
    run("patch", &patch, &without_rules)?;
    run("patch", &patch, &NO_WGET.replace("Enforce", "Audit"))?;
    run("patch", &patch, &waiting_pod("other"))?;
    run("create", &["create", "secret", "generic", "mine"], "")?;
    let exec = format!(
        "/api/v1/namespaces/{}/pods/box/exec?command=id",
        namespace.name
    );
    run("create", &["create", "--raw", &exec, "-f", "-"], "")
}

/// The node is in the token, and the API server compares.
fn is_for_its_own_node(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("other-node")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&(waiting_pod("box") + "  nodeName: node-1\n"))?;
    eventually("the pod has a PodEnforcement for node-1", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        Ok((enforcement["spec"]["node"] == "node-1").then_some(()))
    })?;
    let status = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": {"name": "box", "namespace": namespace.name},
        "status": {"armed": "1/1"},
    })
    .to_string();
    // Only this is a single request, which asks for no right to read.
    let apply = "apply --server-side --force-conflicts --subresource=status -f -";
    let apply: Vec<&str> = apply.split(' ').collect();
    let own = Thief::on(context, "node-1")?.attempt(&apply, &status)?;
    ensure!(own.status == Some(0), "not even its own: {own:?}");
    let other = Thief::on(context, "node-2")?.attempt(&apply, &status)?;
    let refused = other.status != Some(0) && other.stderr.contains("only of pods of its own node");
    ensure!(refused, "it wrote for another node: {other:?}");
    Ok(())
}
