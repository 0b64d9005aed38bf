//! What breaks around a pod that hammers: nothing denied gets through, nothing allowed is
//! denied, and the status is soon right again.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::enforcement::{denied_first_instruction, enforcers_are_ready};
use super::nri::{SESSIONS, is_asked};
use crate::case::{Case, Context};
use crate::hammer::{Hammer, Recovery};
use crate::metrics::Metrics;
use crate::wait::eventually;

const SYSTEM: [&str; 2] = ["--namespace", "bartizan-system"];
pub(crate) const NODE: &str = "node-1";
/// The API server is away for so long.
const AWAY: Duration = Duration::from_mins(1);
/// How soon after a fault the status is right. The goal is 10 s on a real node; this one is
/// emulated, and asked by kubectl.
const SOON: Duration = Duration::from_secs(30);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("faults/enforcer_is_killed", enforcer_is_killed),
        Case::new("faults/enforcer_is_rolled", enforcer_is_rolled),
        Case::new("faults/api_server_is_away", api_server_is_away),
        Case::new("faults/operator_is_away", operator_is_away),
        Case::new("faults/containerd_is_killed", containerd_is_killed),
        Case::new("faults/kubelet_is_killed", kubelet_is_killed),
        Case::new("faults/clock_jumps", clock_jumps),
        Case::new("faults/node_is_rebooted", node_is_rebooted),
    ]
}

/// Fails unless the status is soon right about a change; then the kernel has it, too, and the
/// hammer has seen no mistake.
pub(super) fn recovers(hammer: &Hammer<'_>) -> Result<()> {
    let Recovery { status, kernel } = hammer.takes_a_new_rule(SOON)?;
    println!(
        "   a change is in the status after {:.1} s; a pod has met it after {:.1} s",
        status.as_secs_f32(),
        kernel.as_secs_f32()
    );
    hammer.goes_on()
}

/// Kills a program of the node; returns its process id.
pub(super) fn kill(context: &Context, program: &str) -> Result<String> {
    let kill = format!("pid=$(pidof {program}) && kill -9 $pid && echo $pid");
    let pid = context.cluster.on_node(NODE, &kill)?;
    Ok(pid.trim().to_owned())
}

/// Waits until a program of the node runs with another process id than before.
pub(super) fn is_back(context: &Context, program: &str, before: &str) -> Result<()> {
    eventually(&format!("{program} is back"), || {
        let pid = context.cluster.on_node(NODE, &format!("pidof {program}"))?;
        Ok((!pid.trim().is_empty() && pid.trim() != before).then_some(()))
    })
}

/// Waits until all pods of something are as it says.
fn rolled_out(context: &Context, what: &str) -> Result<()> {
    let wait = ["rollout", "status", what, "--timeout=5m"];
    context
        .kubectl
        .run(&[&SYSTEM[..], &wait].concat())
        .map(|_| ())
}

fn enforcer_is_killed(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "enforcer-killed")?;
    let before = kill(context, "bartizan-enforcer")?;
    hammer.goes_on()?;
    is_back(context, "bartizan-enforcer", &before)?;
    enforcers_are_ready(context)?;
    recovers(&hammer)
}

/// To an image with another name; what is in it is the same.
fn enforcer_is_rolled(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "enforcer-rolled")?;
    let image = format!("bartizan-enforcer:{}", env!("CARGO_PKG_VERSION"));
    let tag = format!(
        "ctr --namespace k8s.io images tag --force docker.io/library/{image} \
         docker.io/library/bartizan-enforcer:rolled"
    );
    context.cluster.on_node(NODE, &tag)?;
    let roll = |image: &str| -> Result<()> {
        let to = format!("enforcer={image}");
        let set = ["set", "image", "daemonset/bartizan-enforcer", &to];
        context.kubectl.run(&[&SYSTEM[..], &set].concat())?;
        rolled_out(context, "daemonset/bartizan-enforcer")?;
        hammer.goes_on()
    };
    roll("bartizan-enforcer:rolled")?;
    roll(&image)?;
    recovers(&hammer)
}

/// And the enforcer starts again in the meantime, with nothing but its own copy.
fn api_server_is_away(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "api-away")?;
    context.cluster.stop("kube-apiserver")?;
    let away = Instant::now();
    let before = kill(context, "bartizan-enforcer")?;
    let back = is_back(context, "bartizan-enforcer", &before);
    std::thread::sleep(AWAY.saturating_sub(away.elapsed()));
    context.cluster.start("kube-apiserver")?;
    back?;
    eventually("the API server answers", || {
        context.kubectl.run(&["get", "--raw", "/readyz"]).map(Some)
    })?;
    // By themselves they would ask it again only after up to another minute.
    for server in ["kube-controller-manager", "kube-scheduler"] {
        context.cluster.stop(server)?;
        context.cluster.start(server)?;
    }
    recovers(&hammer)
}

fn operator_is_away(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "operator-away")?;
    let scale = |replicas: &str| {
        let to = format!("--replicas={replicas}");
        let scale = ["scale", "deployment/bartizan-operator", &to];
        context.kubectl.run(&[&SYSTEM[..], &scale].concat())
    };
    scale("0")?;
    eventually("the operator is gone", || {
        let pods = [
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/name=bartizan-operator",
            "-o",
            "name",
        ];
        let pods = context.kubectl.run(&[&SYSTEM[..], &pods].concat())?;
        Ok(pods.trim().is_empty().then_some(()))
    })?;
    hammer.goes_on()?;
    scale("2")?;
    rolled_out(context, "deployment/bartizan-operator")?;
    recovers(&hammer)
}

/// Afterwards the enforcer is told of new containers again.
fn containerd_is_killed(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "containerd-killed")?;
    let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
    let sessions = metrics.value(SESSIONS).unwrap_or(0.0);
    let before = kill(context, "containerd")?;
    is_back(context, "containerd", &before)?;
    recovers(&hammer)?;
    is_asked(context, sessions + 1.0)?;
    denied_first_instruction(context, "after-containerd")
}

fn kubelet_is_killed(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "kubelet-killed")?;
    let before = kill(context, "kubelet")?;
    is_back(context, "kubelet", &before)?;
    recovers(&hammer)
}

fn clock_jumps(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "clock-jumps")?;
    for jump in ["+ 1800", "- 1800"] {
        let set = format!("date -s @$(( $(date +%s) {jump} ))");
        context.cluster.on_node(NODE, &set)?;
        hammer.goes_on()?;
    }
    recovers(&hammer)
}

/// Pods come back protected. The time between a pod's start and the enforcer's is not
/// protected, and has to be said; a pod that waits for its rules has no such time.
fn node_is_rebooted(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "node-rebooted")?;
    let held = Hammer::start_held(&context.kubectl, "node-rebooted-held")?;
    // The connection ends with the machine.
    let reboot = "sync; (sleep 1; echo b > /proc/sysrq-trigger) > /dev/null 2>&1 &";
    context.cluster.on_node(NODE, reboot)?;
    for hammer in [&hammer, &held] {
        hammer.namespace.restarted("hammer")?;
    }
    enforcers_are_ready(context)?;
    let Recovery { status, .. } = hammer.takes_a_new_rule(SOON)?;
    let enforcement = hammer.namespace.get(&["podenforcement", "hammer"])?;
    let report = &enforcement["status"]["containers"][0];
    let late = report["unprotectedMicros"].as_i64();
    println!(
        "   a change is in the status after {:.1} s; armed {late:?} µs after the first exec",
        status.as_secs_f32()
    );
    hammer.namespace.denies("hammer", &["cat", "/etc/shadow"])?;
    held.goes_on()?;
    // What it saw before it was armed is what the status has to admit.
    match hammer.is_right() {
        Ok(()) => Ok(()),
        Err(_) if late.is_some_and(|late| late > 0) || report["reason"] == "RanBefore" => Ok(()),
        Err(error) => Err(error.context("and the status claims that it was never unprotected")),
    }
}
