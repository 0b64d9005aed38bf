//! Policies in the kernel of the node, as processes in pods meet them.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::faults::NODE;
use super::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::case::{Case, Context};
use crate::kubectl::Namespace;
use crate::wait::eventually;

/// Answers without any network.
pub(super) const WGET: [&str; 2] = ["/usr/bin/wget", "--help"];

/// In which an event would come that must not.
const ANOTHER: Duration = Duration::from_secs(5);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::needed("enforcement/enforcers_are_ready", enforcers_are_ready),
        Case::new("enforcement/exec_is_denied_and_given_back", exec_is_denied),
        Case::new("enforcement/first_instruction_is_denied", first_instruction),
        Case::new("enforcement/init_container_is_denied", init_container),
    ]
}

/// Waits until each node that can enforce has an enforcer that does.
pub(super) fn enforcers_are_ready(context: &Context) -> Result<()> {
    let set = [
        "--namespace",
        "bartizan-system",
        "daemonset",
        "bartizan-enforcer",
    ];
    let able = context.layout.able();
    eventually("the enforcers are ready", || {
        let set = context.kubectl.get(&set)?;
        let ready = set["status"]["numberReady"].as_u64();
        Ok((ready == Some(able)).then_some(()))
    })
}

fn exec_is_denied(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("exec")?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    let before = namespace.exec("box", &WGET)?;
    ensure!(!before.is_denied(), "denied without a policy");
    namespace.apply(NO_WGET)?;
    eventually("wget is denied", || {
        let said = namespace.exec("box", &WGET)?;
        Ok((said.status != Some(0) && said.is_denied()).then_some(()))
    })?;
    is_reported(context, &namespace)?;
    let other = namespace.exec("box", &["/usr/bin/cat", "/etc/passwd"])?;
    ensure!(other.status == Some(0), "cat fails: {}", other.stderr);
    namespace.run(&["delete", "securitypolicy", "no-downloads"])?;
    eventually("wget is allowed again", || {
        let said = namespace.exec("box", &WGET)?;
        Ok((!said.is_denied()).then_some(()))
    })
}

/// A line of the log says all about a denial, and one event of the pod that there were some,
/// however many.
fn is_reported(context: &Context, namespace: &Namespace<'_>) -> Result<()> {
    namespace.denies("box", &WGET)?;
    let line = eventually("the denial is in the log", || {
        let mut lines = context.kubectl.enforcer_log(NODE)?.into_iter();
        Ok(lines.find(|line| line["namespace"] == namespace.name && line["verdict"] == "deny"))
    })?;
    for (field, value) in [
        ("pod", "box"),
        ("container", "main"),
        ("node", NODE),
        ("policy", &format!("{}/no-downloads", namespace.name)),
        ("rule", "no-wget"),
        ("operation", "Exec"),
        ("target", "/usr/bin/wget"),
    ] {
        ensure!(line[field] == value, "{field} is not {value}: {line}");
    }
    let image = line["image"].as_str().unwrap_or_default();
    ensure!(image.contains(BUSYBOX), "another image: {line}");
    let events = || -> Result<Vec<Value>> {
        let of_pod = "--field-selector=involvedObject.name=box,reason=PolicyDenied";
        let events = namespace.get(&["events", of_pod])?;
        Ok(events["items"].as_array().cloned().unwrap_or_default())
    };
    let event = eventually("the pod has an event", || Ok(events()?.pop()))?;
    let message = event["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("no-downloads") && message.contains("no-wget"),
        "it doesn't name policy and rule: {message}"
    );
    namespace.denies("box", &WGET)?;
    // Another would be there by now.
    thread::sleep(ANOTHER);
    let all = events()?;
    ensure!(all.len() == 1, "{} events of one rule: {all:?}", all.len());
    Ok(())
}

fn first_instruction(context: &Context) -> Result<()> {
    denied_first_instruction(context, "first")
}

/// A pod whose only command is the denied one must not run it a single time.
pub(super) fn denied_first_instruction(context: &Context, name: &str) -> Result<()> {
    let namespace = context.kubectl.namespace(name)?;
    namespace.apply(NO_WGET)?;
    let pod =
        waiting_pod("box") + "      command: [/usr/bin/wget, --help]\n  restartPolicy: Never\n";
    namespace.apply(&pod)?;
    namespace.never_ran("box", "main", "containerStatuses")
}

fn init_container(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("init")?;
    namespace.apply(NO_WGET)?;
    let pod = waiting_pod("box")
        + "  restartPolicy: Never\n  initContainers:\n    - name: init\n      image: "
        + BUSYBOX
        + "\n      command: [/usr/bin/wget, --help]\n";
    namespace.apply(&pod)?;
    namespace.never_ran("box", "init", "initContainerStatuses")
}
