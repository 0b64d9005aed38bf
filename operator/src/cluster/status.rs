//! What is said of a policy.
//!
//! The numbers come from the `PodEnforcement`s: a container counts as enforced when its
//! node's enforcer reports the very rule map that the plan has for it. Deterministic, so
//! that a status that says the same is not written again; condition times move only when
//! the condition flips.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use bartizan_crds::{ContainerCounts, ContainerReport, ContainerState, NodeBehind, PolicyStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::holding::Holding;
use super::keys::{PodKey, PolicyKey};
use super::links::{Accepted, Link};
use super::plan::{PlannedContainer, Withheld};
use super::unenforceable::Unenforceable;
use super::{Cluster, PodRecord, PolicyRecord};

/// Condition: the policy is valid.
pub const ACCEPTED: &str = "Accepted";
/// Condition: the policy is in the kernel for every container that it selects.
pub const ENFORCED: &str = "Enforced";
/// Condition: the policy is withheld from containers because of others.
pub const CONFLICTED: &str = "Conflicted";
/// Condition of a policy with `startup: Hold`: no container that it selects starts without
/// its rules.
pub const HOLDS: &str = "Holds";
/// Condition: rules of the policy never decide anything.
pub const UNREACHABLE: &str = "Unreachable";

/// Reason: the kernel of a node lacks hooks.
const NOT_ENFORCEABLE: &str = "NotEnforceableHere";

/// Nodes that a status names.
const MAX_NODES: usize = 10;
/// Rules that a condition names.
const MAX_RULES: usize = 10;

/// What the containers of a policy add up to.
#[derive(Default)]
struct Tally {
    counts: ContainerCounts,
    nodes: BTreeMap<String, NodeBehind>,
    /// A container that the policy is withheld from, and why.
    withheld: Option<(PodKey, String, Withheld)>,
    withheld_from: usize,
    /// Containers on nodes whose kernels lack hooks for it.
    unenforceable: Unenforceable,
    /// What is said of containers that have to wait for it.
    holding: Holding,
    /// The rule maps that it is in.
    links: BTreeMap<Arc<str>, Arc<Link>>,
}

impl Cluster {
    /// What should be said of a policy; `None` if there is no such policy.
    pub fn status(&self, key: &PolicyKey, now: &Time) -> Option<PolicyStatus> {
        let (key, record) = self.policies.get_key_value(key)?;
        let tally = self.tally(key, record);
        let old = record.status.as_ref();
        let condition = |type_: &str, status: bool, reason: &str, message: String| {
            let status = if status { "True" } else { "False" };
            let before = old
                .iter()
                .flat_map(|old| &old.conditions)
                .find(|condition| condition.type_ == type_ && condition.status == status);
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message,
                observed_generation: Some(record.generation),
                last_transition_time: before
                    .map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            }
        };
        let (accepted, reason, message) = acceptance(record);
        let mut conditions = vec![condition(ACCEPTED, accepted, reason, message)];
        if let Some((pod, container, why)) = &tally.withheld {
            let message = format!(
                "withheld from {}, such as {container} of pod {pod}: {}",
                count(tally.withheld_from, "container"),
                why.message()
            );
            conditions.push(condition(CONFLICTED, true, why.reason(), message));
        }
        let (conflicts, unreachable) = unreachable(key, &tally.links);
        if tally.withheld.is_none() && !conflicts.is_empty() {
            conditions.push(condition(CONFLICTED, true, "Overridden", conflicts));
        }
        if !unreachable.is_empty() {
            conditions.push(condition(UNREACHABLE, true, "NeverDecides", unreachable));
        }
        let accepted = record.accepted.as_ref();
        if accepted.is_some_and(|accepted| accepted.policy.holds_containers()) {
            let (holds, reason, message) = tally.holding.said();
            conditions.push(condition(HOLDS, holds, reason, message));
        }
        let mut behind: Vec<NodeBehind> = tally.nodes.into_values().collect();
        behind.sort_by(|a, b| (time(a), &a.node).cmp(&(time(b), &b.node)));
        let (enforced, reason, message) = enforcement(
            record,
            tally.counts,
            &behind,
            tally.withheld_from,
            &tally.unenforceable,
        );
        conditions.push(condition(ENFORCED, enforced, reason, message));
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        behind.truncate(MAX_NODES);
        let counts = tally.counts;
        Some(PolicyStatus {
            observed_generation: Some(record.generation),
            enforced: Some(format!("{}/{}", counts.enforced, counts.selected)),
            containers: Some(counts),
            behind,
            conditions,
        })
    }

    fn tally(&self, key: &Arc<PolicyKey>, record: &PolicyRecord) -> Tally {
        let mut tally = Tally::default();
        let Some(accepted) = &record.accepted else {
            return tally;
        };
        for pod in &record.pods {
            if let Some(record) = self.pods.get(pod).filter(|record| !record.pod.ended) {
                self.tally_pod(key, accepted, pod, record, &mut tally);
            }
        }
        tally
    }

    fn tally_pod(
        &self,
        key: &Arc<PolicyKey>,
        accepted: &Accepted,
        pod: &PodKey,
        record: &PodRecord,
        tally: &mut Tally,
    ) {
        let enforcement = self
            .enforcements
            .get(pod)
            .filter(|enforcement| enforcement.owner.as_ref() == Some(&record.pod.uid));
        let selected = record.pod.containers.iter();
        for container in selected.filter(|one| accepted.policy.selects_container(&one.name)) {
            let planned = record
                .planned
                .iter()
                .find(|planned| planned.name == container.name);
            if let Some(link) = planned.and_then(|planned| planned.link.as_ref()) {
                tally.links.insert(Arc::clone(&link.name), Arc::clone(link));
            }
            let report = enforcement.and_then(|enforcement| {
                let mut reports = enforcement.status.containers.iter();
                reports.find(|report| report.name == container.name)
            });
            if report.is_some_and(|report| report.state == ContainerState::Ended) {
                continue;
            }
            tally.counts.selected += 1;
            let name = key.to_string();
            let place = (pod, container.name.as_str(), record.pod.node.as_deref());
            tally.holding.add(place, report);
            let withheld = planned.filter(|planned| planned.withheld.contains(key));
            if let Some(why) = withheld.and_then(|planned| planned.why.as_ref()) {
                tally.withheld_from += 1;
                tally
                    .withheld
                    .get_or_insert_with(|| (pod.clone(), container.name.clone(), why.clone()));
            }
            let current = report
                .filter(|report| planned.is_some_and(|planned| has_planned_rules(planned, report)));
            if withheld.is_none() && current.is_some_and(|report| report.enforces(&name)) {
                tally.counts.enforced += 1;
                continue;
            }
            let reason = match (&record.pod.node, enforcement, report) {
                _ if withheld.is_some() => "Withheld",
                (None, ..) => "NotScheduled",
                (_, None, _) => "NotPublished",
                (_, _, None) => "NoReport",
                (_, _, Some(report)) => {
                    let said = report.reason.as_deref();
                    // Of rules that are no longer planned it means nothing.
                    let said = said.filter(|said| current.is_some() || *said != NOT_ENFORCEABLE);
                    said.unwrap_or(match report.state {
                        ContainerState::Failed => "Failed",
                        _ => "Pending",
                    })
                }
            };
            if reason == NOT_ENFORCEABLE {
                tally.unenforceable.add(place, report, &name);
            }
            let since = enforcement.and_then(|enforcement| enforcement.since.clone());
            let node = record.pod.node.clone().unwrap_or_default();
            let behind = tally
                .nodes
                .entry(node.clone())
                .or_insert_with(|| NodeBehind {
                    node,
                    containers: 0,
                    since: None,
                    reason: reason.to_owned(),
                });
            behind.containers += 1;
            let older = match (&since, &behind.since) {
                (Some(since), Some(known)) => since.0 < known.0,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if older {
                behind.since = since;
                reason.clone_into(&mut behind.reason);
            }
        }
    }
}

/// Whether the enforcer reports the rule map that was planned.
fn has_planned_rules(planned: &PlannedContainer, report: &ContainerReport) -> bool {
    planned.rule_map.is_some() && report.rule_map == planned.rule_map
}

/// What other policies override in some container, and what never decides in any.
fn unreachable(key: &PolicyKey, links: &BTreeMap<Arc<str>, Arc<Link>>) -> (String, String) {
    let mut found: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for link in links.values() {
        for one in link.unreachable.iter().filter(|one| one.policy == *key) {
            let (times, _) = found.entry(&one.said).or_insert((0, one.conflict));
            *times += 1;
        }
    }
    let said = |conflict: bool| {
        let found = found.iter().filter(|(_, (times, conflicts))| {
            *conflicts == conflict && (conflict || *times == links.len())
        });
        let all: Vec<&str> = found.map(|(said, _)| *said).collect();
        let mut text = all[..all.len().min(MAX_RULES)].join("; ");
        if all.len() > MAX_RULES {
            text = format!("{text}; and {} more", all.len() - MAX_RULES);
        }
        text
    };
    (said(true), said(false))
}

fn acceptance(record: &PolicyRecord) -> (bool, &'static str, String) {
    let Some(refusal) = &record.refusal else {
        return (true, "Valid", "the policy is valid".to_owned());
    };
    let what = match &record.accepted {
        Some(accepted) => format!(
            "generation {} goes on being enforced until this is mended",
            accepted.generation
        ),
        None => "no earlier generation is known: containers that have rules of this policy keep \
                 them, others get none of it until this is mended"
            .to_owned(),
    };
    (false, refusal.reason(), format!("{refusal}; {what}"))
}

fn enforcement(
    record: &PolicyRecord,
    counts: ContainerCounts,
    behind: &[NodeBehind],
    withheld: usize,
    unenforceable: &Unenforceable,
) -> (bool, &'static str, String) {
    let ContainerCounts { selected, enforced } = counts;
    let of = format!("{enforced} of {}", count(selected, "container"));
    if record.accepted.is_none() {
        let message = "the policy is not accepted".to_owned();
        return (false, "NotAccepted", message);
    }
    if selected == 0 {
        let message = "the policy selects no container that runs or will run".to_owned();
        return (false, "SelectsNothing", message);
    }
    if enforced < selected {
        let reason = if withheld > 0 {
            "Conflicted"
        } else if unenforceable.is_all(counts) {
            NOT_ENFORCEABLE
        } else {
            "Behind"
        };
        let nodes = count(behind.len(), "node");
        let first = behind.first().map(|node| match node.node.as_str() {
            "" => format!(", the longest waiting without a node ({})", node.reason),
            name => format!(", the longest waiting on {name} ({})", node.reason),
        });
        let first = first.unwrap_or_default();
        let message = format!("{of}; {nodes} behind{first}{unenforceable}");
        return (false, reason, message);
    }
    if let (Some(_), Some(accepted)) = (&record.refusal, &record.accepted) {
        let message = format!("{of}, but with generation {}", accepted.generation);
        return (false, "OlderGeneration", message);
    }
    (true, "Armed", of)
}

/// Nodes that say nothing of when come last.
fn time(node: &NodeBehind) -> (bool, Option<k8s_openapi::jiff::Timestamp>) {
    (
        node.since.is_none(),
        node.since.as_ref().map(|since| since.0),
    )
}

fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {what}{plural}")
}
