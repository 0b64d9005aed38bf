//! What is measured, in the order in which an operator lives through it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bartizan_operator::cluster::{Change, PolicyKey};
use serde_json::json;

use crate::fleet::{self, Size};
use crate::operator::{Operator, Written};
use crate::policies;

/// Edits of which the slowest counts.
const EDITS: i64 = 5;
/// Pods that come one after the other.
const COMERS: usize = 1_000;
/// Pods between two lines about progress.
const STEP: usize = 20_000;

/// An edit of a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    /// Pods whose rules it changed.
    pub(crate) pods: usize,
    /// The slowest time to all of them planned.
    pub(crate) slowest: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// From nothing known to everything planned.
    pub(crate) recompute: Duration,
    /// The part of it in which policies are judged.
    pub(crate) judging: Duration,
    /// The part of it that plans.
    pub(crate) planning: Duration,
    /// Every status once.
    pub(crate) statuses: Duration,
    /// Everything planned again, with nothing changed.
    pub(crate) again: Duration,
    /// KiB of this process with everything known and linked.
    pub(crate) resident_kib: u64,
    /// What the first plan wrote.
    pub(crate) written: Written,
    /// Sets of policies that were linked.
    pub(crate) links: usize,
    pub(crate) edit: Edit,
    /// Of a cluster policy that selects every pod.
    pub(crate) cluster_edit: Edit,
    /// From a new pod to its plan, fastest first.
    pub(crate) comers: Vec<Duration>,
}

/// Feeds a cluster of that size to an operator, and changes it.
pub(crate) fn measure(size: Size, say: impl Fn(String)) -> Result<Measured> {
    let mut operator = Operator::default();
    say(format!("judging {} policies", size.policies));
    operator.take(fleet::namespaces(size));
    let judging = operator.take(fleet::policies(size));
    say(format!(
        "taking in {} pods on {} nodes",
        size.pods, size.nodes
    ));
    let taking = operator.take(fleet::pods(size, 0..size.pods));
    say(format!("planning {} pods", size.pods));
    let progress = |planned: usize| {
        if planned.is_multiple_of(STEP) {
            say(format!("planned {planned} of {}", size.pods));
        }
    };
    let (planning, _) = operator.settle(progress);
    let statuses = operator.statuses();
    let (resident_kib, written) = (resident_kib()?, operator.written);
    let links = operator.cluster.sizes().links;
    say("planning everything again".to_owned());
    operator.cluster.touch_all();
    let (again, _) = operator.settle(|_| ());
    say("editing policies".to_owned());
    let edit = edit(&mut operator, &fleet::edited_policy(), 2);
    let everything = PolicyKey::cluster("everything");
    operator.take([change(&everything, 1)]);
    operator.settle(|_| ());
    let cluster_edit = self::edit(&mut operator, &everything, 2);
    operator.take([Change::Policy(everything, None)]);
    operator.settle(|_| ());
    say(format!("adding {COMERS} pods, one after the other"));
    Ok(Measured {
        recompute: judging + taking + planning,
        judging,
        planning,
        statuses,
        again,
        resident_kib,
        written,
        links,
        edit,
        cluster_edit,
        comers: comers(&mut operator, size),
    })
}

/// Edits a policy several times, from a generation on.
fn edit(operator: &mut Operator, key: &PolicyKey, first: i64) -> Edit {
    let (mut pods, mut slowest) = (0, Duration::ZERO);
    for generation in first..first + EDITS {
        let taken = operator.take([change(key, generation)]);
        let (settled, written) = operator.settle(|_| ());
        operator.statuses();
        slowest = slowest.max(taken + settled);
        pods = written;
    }
    Edit { pods, slowest }
}

fn change(key: &PolicyKey, generation: i64) -> Change {
    let mut spec = policies::edited(generation);
    if key.namespace.is_none() {
        // Another path than that of the namespace's, whose rule would be the same.
        spec["process"]["deny"][0]["paths"] = json!([format!("/srv/tool-{generation}/**")]);
    }
    policies::change(key.clone(), generation, spec)
}

fn comers(operator: &mut Operator, size: Size) -> Vec<Duration> {
    let numbers = size.pods..size.pods + COMERS;
    let mut times = Vec::with_capacity(COMERS);
    for pod in fleet::pods(size, numbers) {
        let started = Instant::now();
        operator.cluster.apply(pod);
        if let Some(key) = operator.cluster.next_pod() {
            std::hint::black_box(operator.cluster.plan(&key));
            times.push(started.elapsed());
            operator.cluster.touch_pod(key);
        }
        // As if it were written before the next comes.
        operator.settle(|_| ());
    }
    times.sort_unstable();
    times
}

/// Resident memory of this process.
fn resident_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("no /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.context("no VmRSS in /proc/self/status")?;
    let number = words.trim().trim_end_matches(" kB");
    number.parse().with_context(|| format!("VmRSS is {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Measured {
        let size = Size {
            nodes: 50,
            pods: 500,
            policies: 20,
        };
        measure(size, |_| ()).unwrap()
    }

    #[test]
    fn a_small_cluster_is_measured_completely() {
        let measured = small();
        assert_eq!(
            measured.written.enforcements, 500,
            "a rule map for every pod"
        );
        assert!(measured.written.rule_maps > 5, "{measured:?}");
        assert!(
            measured.written.rule_maps < 250,
            "rule maps are shared: {measured:?}"
        );
        assert_eq!(measured.edit.pods, 5);
        assert_eq!(measured.cluster_edit.pods, 500);
        assert_eq!(measured.comers.len(), COMERS);
        assert!(measured.comers.is_sorted());
        assert!(measured.resident_kib > 0);
    }

    #[test]
    fn two_runs_write_the_same() {
        assert_eq!(small().written, small().written);
    }
}
