//! Policies in the cluster, up to what is published for the nodes.

use anyhow::{Result, ensure};

use crate::case::{Case, Context};
use crate::kubectl::condition;
use crate::wait::eventually;

/// Denies one of busybox's tools in every pod of the namespace.
pub(crate) const NO_WGET: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata:
  name: no-downloads
spec:
  selector: {}
  mode: Enforce
  process:
    deny:
      - name: no-wget
        paths: [\"**/wget\"]
";

/// The image of tests, whose programs have paths of their own.
pub(crate) const BUSYBOX: &str = concat!("bartizan-busybox:", env!("CARGO_PKG_VERSION"));

/// Pods that only wait.
pub(crate) fn waiting_pod(name: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: {BUSYBOX}
"
    )
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("policies/are_accepted", are_accepted),
        Case::new("policies/webhook_refuses_what_means_nothing", are_refused),
        Case::new("policies/are_published_for_the_pod_s_node", are_published),
    ]
}

fn are_accepted(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("accepted")?;
    namespace.apply(NO_WGET)?;
    eventually("the policy is accepted", || {
        let policy = namespace.get(&["securitypolicy", "no-downloads"])?;
        Ok((condition(&policy, "Accepted") == Some("True")).then_some(()))
    })
}

/// Only the webhook knows: the schema allows it.
fn are_refused(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("refused")?;
    let policy = NO_WGET.replace("**/wget", "/usr/bin/[z-a]");
    // The API server asks the webhook only after it has heard of it.
    let said = eventually("the policy is refused", || {
        let said = namespace.try_apply(&policy)?;
        if said.status == Some(0) {
            namespace.run(&["delete", "securitypolicy", "no-downloads"])?;
            return Ok(None);
        }
        Ok(Some(said))
    })?;
    let by_webhook = said.stderr.contains("policies.bartizan.dev");
    ensure!(by_webhook, "not by the webhook: {}", said.stderr);
    Ok(())
}

fn are_published(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("published")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    let enforcement = eventually("the pod has a PodEnforcement with a rule map", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        let map = enforcement["spec"]["containers"][0]["ruleMap"].clone();
        Ok(map.is_string().then_some(enforcement))
    })?;
    let pod = namespace.get(&["pod", "box"])?;
    let spec = &enforcement["spec"];
    ensure!(
        spec["node"] == pod["spec"]["nodeName"],
        "it is for node {}",
        spec["node"]
    );
    Ok(())
}
