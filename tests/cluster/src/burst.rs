//! Pods that are applied at once, and most of whose containers first do what is denied.
//!
//! ```text
//! touch /marks/pod-3 ── denied ──► the container ends, and says so
//!            └───────── ran ─────► a file on the node
//! ```
//! The file is what counts: a runtime that is starved may lose what became of a container
//! and what it said, but no container that ran what is denied goes without one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::case::Context;
use crate::cases::faults::NODE;
use crate::cases::policies::{BUSYBOX, NO_WGET, waiting_pod};
use crate::kubectl::{End, Namespace};
use crate::wait::eventually;

/// What is denied to them.
pub(crate) const DENIED_PROGRAM: &str = "/usr/bin/touch";
/// Of how many denied containers one may have ended in silence, before a burst shows too
/// little.
const SILENT_ONE_OF: usize = 4;

/// Which of a pod's containers does what is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Main,
    Init,
    Sidecar,
    /// None: the pod runs, so that the time of its arming can be told.
    Allowed,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Main, Self::Init, Self::Sidecar, Self::Allowed];

    fn pod(self, name: &str, marks: &str) -> String {
        let mount = "      volumeMounts: [{ name: marks, mountPath: /marks }]\n";
        let command = format!("      command: [{DENIED_PROGRAM}, /marks/{name}]\n");
        let first = |more: &str| {
            format!(
                "  initContainers:\n    - name: first\n      image: {BUSYBOX}\n{more}{command}{mount}"
            )
        };
        let (main, rest) = match self {
            Self::Main => (command, String::new()),
            Self::Init => (String::new(), first("")),
            Self::Sidecar => (String::new(), first("      restartPolicy: Always\n")),
            Self::Allowed => (String::new(), String::new()),
        };
        let policy = if self == Self::Allowed {
            "Always"
        } else {
            "Never"
        };
        waiting_pod(name)
            + &main
            + mount
            + &rest
            + &format!(
                "  restartPolicy: {policy}\n  volumes:\n    - name: marks\n      hostPath: \
                 {{ path: {marks}, type: DirectoryOrCreate }}\n"
            )
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

/// The pods, of all kinds by turns, in a namespace of their own.
pub(crate) struct Burst<'a> {
    pub(crate) namespace: Namespace<'a>,
    context: &'a Context,
    kinds: Vec<Kind>,
}

impl<'a> Burst<'a> {
    /// Applies their policy, and then them.
    pub(crate) fn start(context: &'a Context, name: &str, pods: usize) -> Result<Self> {
        let namespace = context.kubectl.namespace(name)?;
        namespace.apply(&NO_WGET.replace("wget", "touch"))?;
        let kinds = Kind::ALL.into_iter().cycle().take(pods).collect();
        let burst = Self {
            namespace,
            context,
            kinds,
        };
        let mut documents = String::new();
        for (at, kind) in burst.kinds.iter().enumerate() {
            writeln!(documents, "{}---", kind.pod(&name_of(at), &burst.marks()))?;
        }
        burst.namespace.apply(&documents)?;
        Ok(burst)
    }

    /// The node's folder with the marks.
    fn marks(&self) -> String {
        format!("/var/marks/{}", self.namespace.name)
    }

    fn pods_that(&self, are_allowed: bool) -> impl Iterator<Item = (String, Kind)> {
        let kinds = self.kinds.iter().enumerate();
        kinds
            .filter(move |(_, kind)| (**kind == Kind::Allowed) == are_allowed)
            .map(|(at, kind)| (name_of(at), *kind))
    }

    /// Waits until the rules of all have been in the node's kernel, started or not. What has
    /// ended has no `PodEnforcement` any more.
    pub(crate) fn is_known(&self) -> Result<()> {
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
    pub(crate) fn has_not_started(&self) -> Result<usize> {
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

    /// Waits until every denied command was tried, and fails if one ran; in words, how they
    /// ended.
    pub(crate) fn has_no_escapes(&self) -> Result<String> {
        let (mut denied, mut silent, mut escapes) = (0, Vec::new(), Vec::new());
        for (name, kind) in self.pods_that(false) {
            match self.namespace.end(&name, kind.container(), kind.list())? {
                End::Denied => denied += 1,
                End::Silent(how) => silent.push(format!("{name} ({kind:?}): {how}")),
                End::Said(what) => escapes.push(format!("{name} ({kind:?}): {what}")),
            }
        }
        let marked = self.marked()?;
        escapes.extend(
            marked
                .iter()
                .map(|name| format!("{name} has left its mark")),
        );
        ensure!(
            escapes.is_empty(),
            "{} escapes: {}",
            escapes.len(),
            escapes.join("; ")
        );
        let words = format!(
            "0 escapes, {denied} denied, {} that never ran ended without a word{}{}",
            silent.len(),
            if silent.is_empty() { "" } else { ": " },
            silent.join("; ")
        );
        ensure!(
            silent.len() * SILENT_ONE_OF <= denied + silent.len(),
            "it shows too little: {words}"
        );
        Ok(words)
    }

    /// Which pods have left their mark, but for one that is allowed to and so shows that a
    /// mark would be there.
    fn marked(&self) -> Result<BTreeSet<String>> {
        let (witness, _) = self.pods_that(true).next().context("no pod may run")?;
        self.namespace.ready(&witness)?;
        let mark = format!("/marks/{witness}");
        let said = self
            .namespace
            .exec(&witness, &["cp", "/etc/passwd", &mark])?;
        ensure!(said.status == Some(0), "no mark can be left: {said:?}");
        let list = format!("ls {}", self.marks());
        let marks = self.context.cluster.on_node(NODE, &list)?;
        let mut marks: BTreeSet<_> = marks.lines().map(str::to_owned).collect();
        ensure!(marks.remove(&witness), "{witness}'s mark can't be found");
        Ok(marks)
    }

    /// How long each allowed container was unprotected, in µs.
    pub(crate) fn times(&self) -> Result<Vec<i64>> {
        let time = |(name, _): (String, _)| {
            self.namespace.ready(&name)?;
            eventually(&format!("{name} is armed"), || {
                let enforcement = self.namespace.get(&["podenforcement", &name])?;
                Ok(enforcement["status"]["containers"][0]["unprotectedMicros"].as_i64())
            })
        };
        self.pods_that(true).map(time).collect()
    }
}

fn name_of(at: usize) -> String {
    format!("pod-{at}")
}

/// The least, median and most that containers were armed before their first exec, of how
/// long they were unprotected, in µs.
pub(crate) fn summary(mut unprotected: Vec<i64>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_denied_command_in_the_container_that_is_looked_at() {
        for kind in Kind::ALL {
            let pod = kind.pod("pod-3", "/var/marks/x");
            let commands = pod
                .matches("command: [/usr/bin/touch, /marks/pod-3]")
                .count();
            assert_eq!(commands, usize::from(kind != Kind::Allowed), "{pod}");
            let own = format!("- name: {}\n", kind.container());
            let (_, own) = pod.rsplit_once(&own).unwrap();
            assert_eq!(own.contains("command: "), kind != Kind::Allowed, "{pod}");
        }
    }
}
