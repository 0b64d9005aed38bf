//! Policies in the kernel of the node, as processes in pods meet them.

use anyhow::{Result, ensure};

use super::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::case::{Case, Context};
use crate::wait::eventually;

/// How many nodes can enforce: with two, the second can't.
const ABLE: u64 = 1;
/// Answers without any network.
pub(super) const WGET: [&str; 2] = ["/usr/bin/wget", "--help"];

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
    eventually("the enforcers are ready", || {
        let set = context.kubectl.get(&set)?;
        let ready = set["status"]["numberReady"].as_u64();
        Ok((ready == Some(ABLE)).then_some(()))
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
    let other = namespace.exec("box", &["/usr/bin/cat", "/etc/passwd"])?;
    ensure!(other.status == Some(0), "cat fails: {}", other.stderr);
    namespace.run(&["delete", "securitypolicy", "no-downloads"])?;
    eventually("wget is allowed again", || {
        let said = namespace.exec("box", &WGET)?;
        Ok((!said.is_denied()).then_some(()))
    })
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
