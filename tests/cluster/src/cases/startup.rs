//! The first instruction: containers whose first act is the denied one, many at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::case::{Case, Context, Layout};
use crate::kubectl::{DENIED, Namespace};
use crate::metrics::Metrics;
use crate::wait::eventually;

/// With and without NRI, cgroupfs and systemd.
const STARTUPS: &[Layout] = &[Layout::Plain, Layout::Systemd];
/// Pods of a burst, and bursts; a node has room for 110 pods.
const SHORT: (usize, usize) = (8, 1);
const LONG: (usize, usize) = (40, 5);
/// What runs first and is denied.
const COMMAND: &str = "[/usr/bin/wget, --help]";

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
    ]
}

/// Which of a pod's containers does what is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Main,
    Init,
    Sidecar,
    /// None: the pod runs, so that the time of its arming can be told.
    Allowed,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Main, Self::Init, Self::Sidecar, Self::Allowed];

    fn pod(self, name: &str) -> String {
        let pod = waiting_pod(name);
        let first = |more: &str| {
            format!(
                "  initContainers:\n    - name: first\n      image: {BUSYBOX}\n{more}      command: \
                 {COMMAND}\n  restartPolicy: Never\n"
            )
        };
        match self {
            Self::Main => pod + &format!("      command: {COMMAND}\n  restartPolicy: Never\n"),
            Self::Init => pod + &first(""),
            Self::Sidecar => pod + &first("      restartPolicy: Always\n"),
            Self::Allowed => pod,
        }
    }

    /// The denied container's name.
    fn container(self) -> &'static str {
        match self {
            Self::Main | Self::Allowed => "main",
            Self::Init | Self::Sidecar => "first",
        }
    }

    /// Where a pod's status has it.
    fn list(self) -> &'static str {
        match self {
            Self::Main | Self::Allowed => "containerStatuses",
            Self::Init | Self::Sidecar => "initContainerStatuses",
        }
    }
}

fn burst(context: &Context) -> Result<()> {
    let (pods, bursts) = if context.is_long { LONG } else { SHORT };
    let before = armings(context)?;
    let mut late = Vec::new();
    for number in 0..bursts {
        let namespace = context.kubectl.namespace(&format!("burst-{number}"))?;
        namespace.apply(NO_WGET)?;
        late.extend(one_burst(&namespace, pods)?);
    }
    late.sort_unstable();
    let by: Vec<_> = armings(context)?
        .into_iter()
        .map(|(by, after)| format!("{by} {}", after - before.get(by).copied().unwrap_or(0.0)))
        .collect();
    println!(
        "   {} pods: 0 escapes; armed by {}; first exec after arming in ms: least {:.0}, median \
         {:.0}, most {:.0}",
        pods * bursts,
        by.join(", "),
        milliseconds(late.last()),
        milliseconds(late.get(late.len() / 2)),
        milliseconds(late.first()),
    );
    ensure!(
        late.last().is_some_and(|late| *late <= 0),
        "a container ran {:?} µs before it was armed",
        late.last()
    );
    Ok(())
}

/// How long after arming, of how long unprotected.
#[expect(clippy::cast_precision_loss, reason = "to print it")]
fn milliseconds(unprotected: Option<&i64>) -> f64 {
    unprotected.map_or(f64::NAN, |micros| -*micros as f64 / 1000.0)
}

/// Fails if a denied command ran; how long each allowed container was unprotected, in µs.
fn one_burst(namespace: &Namespace<'_>, pods: usize) -> Result<Vec<i64>> {
    let kinds: Vec<_> = Kind::ALL.into_iter().cycle().take(pods).collect();
    let name = |at: usize| format!("pod-{at}");
    let mut documents = String::new();
    for (at, kind) in kinds.iter().enumerate() {
        writeln!(documents, "{}---", kind.pod(&name(at)))?;
    }
    namespace.apply(&documents)?;
    let mut micros = Vec::new();
    let mut escapes = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        let name = name(at);
        if *kind == Kind::Allowed {
            namespace.ready(&name)?;
            micros.push(eventually(&format!("{name} is armed"), || {
                let enforcement = namespace.get(&["podenforcement", &name])?;
                Ok(enforcement["status"]["containers"][0]["unprotectedMicros"].as_i64())
            })?);
            continue;
        }
        if let Some(did) = namespace.escape(&name, kind.container(), kind.list())? {
            escapes.push(format!("{name} ({kind:?}): {did}"));
        }
    }
    ensure!(
        escapes.is_empty(),
        "{} escapes: {}",
        escapes.len(),
        escapes.join("; ")
    );
    Ok(micros)
}

/// How many containers were armed, by what armed them.
fn armings(context: &Context) -> Result<BTreeMap<&'static str, f64>> {
    let metrics = Metrics::of_enforcer(&context.kubectl, "node-1")?;
    let count = |by| {
        let series = format!("bartizan_armings_total{{by=\"{by}\"}}");
        (by, metrics.value(&series).unwrap_or(0.0))
    };
    Ok(["nri", "mkdir", "late"].map(count).into())
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
    let list = "ephemeralContainerStatuses";
    if let Some(did) = namespace.escape("box", "late", list)? {
        bail!("it ran: {did}");
    }
    Ok(())
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
