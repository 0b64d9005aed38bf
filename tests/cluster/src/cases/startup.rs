//! The first instruction: containers whose first act is the denied one, many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

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
        late.extend(Burst::start(&namespace, pods)?.end()?);
    }
    let by: Vec<_> = armings(context)?
        .into_iter()
        .map(|(by, after)| format!("{by} {}", after - before.get(by).copied().unwrap_or(0.0)))
        .collect();
    println!(
        "   {} pods: 0 escapes; armed by {}; {}",
        pods * bursts,
        by.join(", "),
        summary(late.clone()),
    );
    let latest = late.iter().max();
    ensure!(
        latest.is_some_and(|late| *late <= 0),
        "a container ran {latest:?} µs before it was armed"
    );
    Ok(())
}

/// The least, median and most that containers were armed before their first exec, of how
/// long they were unprotected, in µs.
pub(super) fn summary(mut unprotected: Vec<i64>) -> String {
    unprotected.sort_unstable();
    let at = |place: usize| milliseconds(unprotected.get(place));
    format!(
        "{} armed before their first exec, in ms: least {:.0}, median {:.0}, most {:.0}",
        unprotected.len(),
        at(unprotected.len().wrapping_sub(1)),
        at(unprotected.len() / 2),
        at(0),
    )
}

/// How long after arming, of how long unprotected.
#[expect(clippy::cast_precision_loss, reason = "to print it")]
fn milliseconds(unprotected: Option<&i64>) -> f64 {
    unprotected.map_or(f64::NAN, |micros| -*micros as f64 / 1000.0)
}

/// Pods that were applied at once, of all kinds by turns.
pub(super) struct Burst<'a> {
    namespace: &'a Namespace<'a>,
    kinds: Vec<Kind>,
}

impl<'a> Burst<'a> {
    /// Applies them.
    pub(super) fn start(namespace: &'a Namespace<'a>, pods: usize) -> Result<Self> {
        let kinds: Vec<_> = Kind::ALL.into_iter().cycle().take(pods).collect();
        let mut documents = String::new();
        for (at, kind) in kinds.iter().enumerate() {
            writeln!(documents, "{}---", kind.pod(&name(at)))?;
        }
        namespace.apply(&documents)?;
        Ok(Self { namespace, kinds })
    }

    /// Waits until the rules of all have been in the node's kernel, started or not. What has
    /// ended has no `PodEnforcement` any more.
    pub(super) fn is_known(&self) -> Result<()> {
        let mut known = BTreeSet::new();
        eventually("the node has the rules of all pods", || {
            let now = self.namespace.get(&["podenforcements"])?;
            for enforcement in now["items"].as_array().into_iter().flatten() {
                let report = &enforcement["status"]["containers"][0];
                if report["state"].is_string() && report["reason"] != "RulesOnTheirWay" {
                    known.insert(enforcement["metadata"]["name"].to_string());
                }
            }
            Ok((known.len() == self.kinds.len()).then_some(()))
        })
    }

    /// How many pods have had no container of their own so far.
    pub(super) fn has_not_started(&self) -> Result<usize> {
        let pods = self.namespace.get(&["pods"])?;
        let pods = pods["items"].as_array().context("no list of pods")?;
        let has_started = |status: &Value| {
            status["state"]["waiting"].is_null() || !status["lastState"]["terminated"].is_null()
        };
        let rest = pods.iter().filter(|pod| {
            let lists = ["initContainerStatuses", "containerStatuses"];
            let mut statuses = lists
                .iter()
                .filter_map(|list| pod["status"][list].as_array())
                .flatten();
            !statuses.any(has_started)
        });
        Ok(rest.count())
    }

    /// Waits until every denied command was tried; fails if one ran.
    pub(super) fn has_no_escapes(&self) -> Result<()> {
        let mut escapes = Vec::new();
        for (at, kind) in self.kinds.iter().enumerate() {
            if *kind == Kind::Allowed {
                continue;
            }
            let name = name(at);
            let escape = self
                .namespace
                .escape(&name, kind.container(), kind.list())?;
            escapes.extend(escape.map(|did| format!("{name} ({kind:?}): {did}")));
        }
        ensure!(
            escapes.is_empty(),
            "{} escapes: {}",
            escapes.len(),
            escapes.join("; ")
        );
        Ok(())
    }

    /// How long each allowed container was unprotected, in µs.
    pub(super) fn times(&self) -> Result<Vec<i64>> {
        let kinds = self.kinds.iter().enumerate();
        let allowed = kinds.filter(|(_, kind)| **kind == Kind::Allowed);
        let time = |(at, _)| {
            let name = name(at);
            self.namespace.ready(&name)?;
            eventually(&format!("{name} is armed"), || {
                let enforcement = self.namespace.get(&["podenforcement", &name])?;
                Ok(enforcement["status"]["containers"][0]["unprotectedMicros"].as_i64())
            })
        };
        allowed.map(time).collect()
    }

    /// Both.
    pub(super) fn end(&self) -> Result<Vec<i64>> {
        self.has_no_escapes()?;
        self.times()
    }
}

fn name(at: usize) -> String {
    format!("pod-{at}")
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
