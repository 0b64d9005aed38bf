//! Containers that wait for their rules: `startup: Hold`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::enforcement::WGET;
use super::policies::{NO_WGET, waiting_pod};
use crate::case::{Case, Context, Layout};
use crate::kubectl::{Namespace, condition};
use crate::wait::eventually;

/// Rules of one list; the schema allows no more.
const LIST: usize = 4_096;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "hold/container_waits_until_its_policies_fit",
            until_they_fit,
        ),
        Case::new("hold/pod_that_asks_waits_for_a_policy", asks_for_a_policy),
        Case::new("hold/without_nri_it_is_said", without_nri).on(&[Layout::Systemd]),
    ]
}

/// A policy with half of the rules that a container may have, and one more if so wished,
/// and hardly more bytes than that.
fn half(name: &str, startup: &str, one_more: bool) -> String {
    let rule = json!({ "capabilities": ["CHOWN"] });
    let mut spec = json!({
        "selector": {},
        "mode": "Enforce",
        "startup": startup,
        "capabilities": { "deny": vec![&rule; LIST], "audit": vec![&rule; LIST] },
    });
    if one_more {
        spec["process"] = json!({ "deny": [{ "paths": ["**/wget"] }] });
    }
    json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

fn until_they_fit(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("hold")?;
    // Nothing is selected yet, so the webhook finds nothing wrong with the two together.
    namespace.apply(&half("many", "Report", false))?;
    namespace.apply(&half("no-downloads", "Hold", true))?;
    // An operator that still reads so many rules is later than the container.
    for policy in ["many", "no-downloads"] {
        eventually("the policy is accepted", || {
            let policy = namespace.get(&["securitypolicy", policy])?;
            Ok((condition(&policy, "Accepted") == Some("True")).then_some(()))
        })?;
    }
    namespace.apply(&waiting_pod("box"))?;
    waits(&namespace, "Withheld")?;
    let report = eventually("the PodEnforcement says what it waits for", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        let report = enforcement["status"]["containers"][0].clone();
        Ok((report["hold"] == "Waiting").then_some(report))
    })?;
    ensure!(report["reason"] == "Withheld", "{report}");
    eventually("the policy says that its container waits", || {
        let policy = namespace.get(&["securitypolicy", "no-downloads"])?;
        let is_kept = condition(&policy, "Holds") == Some("True");
        let waits = policy["status"].to_string().contains("(Withheld) waits");
        Ok((is_kept && waits).then_some(()))
    })?;

    namespace.apply(&holding(NO_WGET))?;
    starts_protected(&namespace)
}

fn asks_for_a_policy(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("asks")?;
    let pod = waiting_pod("box").replace(
        "  name: box\n",
        "  name: box\n  annotations:\n    bartizan.dev/startup: Hold\n",
    );
    namespace.apply(&pod)?;
    waits(&namespace, "NoPodEnforcement")?;
    namespace.apply(NO_WGET)?;
    starts_protected(&namespace)
}

/// Waits until the pod's container was refused for that reason, which an event says too.
fn waits(namespace: &Namespace<'_>, reason: &str) -> Result<()> {
    let message = eventually("the container is refused", || {
        let pod = namespace.get(&["pod", "box"])?;
        let state = &pod["status"]["containerStatuses"][0]["state"];
        let message = state["waiting"]["message"].as_str().unwrap_or_default();
        let is_refused = message.contains("bartizan holds container main");
        Ok(is_refused.then(|| message.to_owned()))
    })?;
    let reason = format!("({reason})");
    ensure!(message.contains(&reason), "{message}");
    eventually("an event of the pod says why", || {
        let of_pod = "involvedObject.name=box";
        let events = namespace.get(&["events", "--field-selector", of_pod])?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let says = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            message.contains(&reason)
        };
        Ok(events.iter().any(says).then_some(()))
    })
}

/// Nobody can have a container wait there, and that has to be said.
fn without_nri(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("unasked")?;
    namespace.apply(&holding(NO_WGET))?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    eventually("the PodEnforcement says that it could not wait", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        let hold = &enforcement["status"]["containers"][0]["hold"];
        Ok((hold == "Impossible").then_some(()))
    })?;
    eventually("the policy says so", || {
        let policy = namespace.get(&["securitypolicy", "no-downloads"])?;
        Ok((condition(&policy, "Holds") == Some("False")).then_some(()))
    })
}

/// The same policy with `startup: Hold`.
fn holding(policy: &str) -> String {
    policy.replace("mode: Enforce", "mode: Enforce\n  startup: Hold")
}

fn starts_protected(namespace: &Namespace<'_>) -> Result<()> {
    namespace.ready("box")?;
    namespace.denies("box", &WGET)?;
    eventually("the PodEnforcement says that it is armed", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        let report = enforcement["status"]["containers"][0].clone();
        if report["state"] != "Armed" {
            return Ok(None);
        }
        let Some(micros) = report["unprotectedMicros"].as_i64() else {
            return Ok(None);
        };
        ensure!(micros <= 0, "it ran {micros} us without its rules");
        Ok(Some(()))
    })
}
