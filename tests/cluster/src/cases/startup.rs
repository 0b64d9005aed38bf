//! The first instruction: containers whose first act is the denied one, many at once.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::faults::NODE;
use super::nri;
use super::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::burst::{Burst, summary};
use crate::case::{Case, Context, Layout};
use crate::kubectl::DENIED;
use crate::metrics::Metrics;
use crate::wait::eventually;

/// Cgroupfs with NRI, and systemd without.
pub(super) const STARTUPS: &[Layout] = &[Layout::Plain, Layout::Systemd];
/// Pods of a burst, and bursts; a node has room for 110 pods.
const SHORT: (usize, usize) = (8, 1);
const LONG: (usize, usize) = (40, 5);
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("startup/burst_of_pods_has_no_escapes", burst).on(STARTUPS),
        Case::new("startup/ephemeral_container_is_denied", ephemeral).on(STARTUPS),
        Case::new("startup/pod_that_was_there_before_is_armed", was_there).on(STARTUPS),
        Case::new(
            "startup/exec_and_probes_are_judged_from_their_command_on",
            probes,
        )
        .on(STARTUPS),
        Case::new("startup/host_pid_pod_is_denied", host_pid).on(STARTUPS),
        Case::new("startup/static_pod_is_denied", static_pod).on(STARTUPS),
        Case::new("startup/container_that_starts_again_is_denied", restart).on(STARTUPS),
    ]
}

fn burst(context: &Context) -> Result<()> {
    let (pods, bursts) = if context.is_long { LONG } else { SHORT };
    for number in 0..bursts {
        burst_of(context, &format!("burst-{number}"), pods)?;
    }
    Ok(())
}

/// Fails if a container got through, ran before it was armed, or was armed in another way than
/// the runtime offers; prints how they were armed.
pub(super) fn burst_of(context: &Context, name: &str, pods: usize) -> Result<()> {
    let before = armings(context)?;
    let burst = Burst::start(context, name, pods)?;
    println!("   {pods} pods: {}", burst.has_no_escapes()?);
    let late = burst.times()?;
    let by: BTreeMap<_, _> = armings(context)?
        .into_iter()
        .map(|(by, after)| (by, after - before.get(by).copied().unwrap_or(0.0)))
        .collect();
    println!("   armed by {by:?}; {}", summary(late.clone()));
    ensure!(
        (by["nri"] > 0.0) == nri::announces(context)?,
        "NRI announces containers, or doesn't, and they were armed by {by:?}"
    );
    let latest = late.iter().max();
    ensure!(
        latest.is_some_and(|late| *late <= 0),
        "a container ran {latest:?} µs before it was armed"
    );
    Ok(())
}

/// How many containers were armed, by what armed them.
fn armings(context: &Context) -> Result<BTreeMap<&'static str, f64>> {
    let metrics = Metrics::of_enforcer(&context.kubectl, "node-1")?;
    let count = |by| {
        let series = format!("bartizan_armings_total{{by=\"{by}\"}}");
        (by, metrics.value(&series).unwrap_or(0.0))
    };
    Ok(["nri", "cri", "mkdir", "late"].map(count).into())
}

fn ephemeral(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("ephemeral")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    let image = format!("--image={BUSYBOX}");
    let debug = [
        "debug",
        "box",
        &image,
        "--container=late",
        "--",
        "/usr/bin/wget",
        "--help",
    ];
    namespace.run(&debug)?;
    namespace.never_ran("box", "late", "ephemeralContainerStatuses")
}

fn was_there(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("before")?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    namespace.apply(NO_WGET)?;
    let report = eventually("the pod is armed", || {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        let report = &enforcement["status"]["containers"][0];
        Ok((report["state"] == "Armed").then(|| report.clone()))
    })?;
    // It ran unprotected, and that is said, if the enforcer has seen it start.
    let micros = report["unprotectedMicros"].as_i64();
    ensure!(
        micros.is_some_and(|micros| micros > 0),
        "it admits nothing: {report}"
    );
    namespace.denies("box", &["/usr/bin/wget", "--help"])?;
    Ok(())
}

/// Only two programs may run; what a runtime does before them is not judged.
fn probes(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("probes")?;
    namespace.apply(
        "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata:
  name: two-programs
spec:
  selector: {}
  mode: Enforce
  process:
    default: Deny
    allow:
      - paths: [/usr/bin/sleep, /usr/bin/cat]
",
    )?;
    let probe =
        "      readinessProbe:\n        periodSeconds: 1\n        exec:\n          command: ";
    let pods = waiting_pod("good")
        + probe
        + "[/usr/bin/cat, /etc/passwd]\n---\n"
        + &waiting_pod("bad")
        + probe
        + "[/usr/bin/true]\n";
    namespace.apply(&pods)?;
    namespace.ready("good")?;
    let said = namespace.exec("good", &["/usr/bin/cat", "/etc/passwd"])?;
    ensure!(
        said.status == Some(0),
        "the allowed command fails: {said:?}"
    );
    namespace.denies("good", &["/usr/bin/true"])?;
    eventually("the denied probe is said to be denied", || {
        let selector = "--field-selector=involvedObject.name=bad,reason=Unhealthy";
        let events = namespace.get(&["events", selector])?.to_string();
        Ok(events.contains(DENIED).then_some(()))
    })?;
    let bad = namespace.get(&["pod", "bad"])?;
    let status = &bad["status"]["containerStatuses"][0];
    ensure!(
        status["state"]["running"].is_object(),
        "the container itself: {status}"
    );
    ensure!(status["ready"] == false, "it counts as ready");
    Ok(())
}

fn host_pid(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("host-pid")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&(waiting_pod("box") + "  hostPID: true\n"))?;
    namespace.ready("box")?;
    namespace.denies("box", &["/usr/bin/wget", "--help"])?;
    let first = namespace.exec("box", &["cat", "/proc/1/comm"])?;
    let first = first
        .stdout
        .lines()
        .next()
        .context("it sees no processes")?
        .to_owned();
    ensure!(first != "sleep", "it has a process namespace of its own");
    Ok(())
}

/// A static pod's file on its node, until this is dropped.
struct StaticPod<'a> {
    context: &'a Context,
    file: String,
}

impl<'a> StaticPod<'a> {
    fn write(context: &'a Context, namespace: &str) -> Result<Self> {
        let pod = waiting_pod("static").replace("metadata:\n", &in_namespace(namespace));
        let file = format!("/etc/kubernetes/manifests/{namespace}.yaml");
        let write = format!("cat > {file} << 'EOF'\n{pod}EOF\n");
        context.cluster.on_node(NODE, &write)?;
        Ok(Self { context, file })
    }
}

impl Drop for StaticPod<'_> {
    fn drop(&mut self) {
        // Without it the pod stays, and disturbs nobody.
        let remove = format!("rm -f {}", self.file);
        let _ = self.context.cluster.on_node(NODE, &remove);
    }
}

fn in_namespace(namespace: &str) -> String {
    format!("metadata:\n  namespace: {namespace}\n")
}

/// The API server knows it by another UID than the node.
fn static_pod(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("static")?;
    namespace.apply(NO_WGET)?;
    let _pod = StaticPod::write(context, &namespace.name)?;
    let name = format!("static-{NODE}");
    namespace.ready(&name)?;
    eventually("the pod is armed", || {
        let enforcement = namespace.get(&["podenforcement", &name])?;
        let report = &enforcement["status"]["containers"][0];
        Ok((report["state"] == "Armed").then_some(()))
    })?;
    namespace.denies(&name, &["/usr/bin/wget", "--help"])
}

/// Its first instruction is judged each time, and the status is about the last.
fn restart(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("again")?;
    namespace.apply(NO_WGET)?;
    // 126 is what a shell says of a program that it may not run.
    let seconds = std::process::id() + 100_000;
    let pod = waiting_pod("box")
        + "      command: [sh, -c, \"/usr/bin/wget --help; echo wget $?; exec sleep "
        + &format!("{seconds}\"]\n");
    namespace.apply(&pod)?;
    namespace.ready("box")?;
    let micros = || -> Result<Option<i64>> {
        let enforcement = namespace.get(&["podenforcement", "box"])?;
        Ok(enforcement["status"]["containers"][0]["unprotectedMicros"].as_i64())
    };
    let first = eventually("the container is armed", micros)?;
    let kill = format!("kill -9 $(pgrep -f '^sleep {seconds}')");
    context.cluster.on_node(NODE, &kill)?;
    let restarts = namespace.restarted("box")?;
    ensure!(restarts == 1, "it was restarted {restarts} times");
    for previous in ["--previous=true", "--previous=false"] {
        eventually("its wget is said to be denied", || {
            let said = namespace.run(&["logs", "box", previous])?;
            ensure!(!said.contains("wget 0"), "it ran: {said}");
            Ok(said.contains("wget 126").then_some(()))
        })?;
    }
    let second = eventually("the status is about the new container", || {
        Ok(micros()?.filter(|micros| *micros != first))
    })?;
    println!("   armed {first} and {second} µs after the first exec");
    ensure!(first <= 0 && second <= 0, "it ran before it was armed");
    Ok(())
}
