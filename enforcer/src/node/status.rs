//! What is said of a pod, and when it is written.
//!
//! A status follows from what is in the kernel, so it is the same as long as nothing
//! happens; it is written when it differs from what the API server has, and at most once a
//! second for a pod.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bartizan_crds::{
    ContainerEnforcement, ContainerReport, ContainerState, HoldState, PodEnforcementStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::containers::{Container, ran_before, unprotected_micros};
use super::hold::{must_wait, withheld};
use super::keys::PodKey;
use super::pods::{Pod, Pods, Trouble};
use crate::kubepods::PodUid;

/// Between two writes for one pod.
const PACE: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Writes at a time.
const WRITES: usize = 4;
/// What the schema allows of a message, in bytes.
const MESSAGE: usize = 1_000;

impl Pods {
    /// The pods whose status may have changed since the last call, with what it is now.
    /// `unable`: why this node enforces nothing.
    pub fn changed_statuses(
        &mut self,
        unable: Option<&Trouble>,
    ) -> Vec<(PodKey, PodEnforcementStatus)> {
        let changed = std::mem::take(&mut self.changed);
        let status = |uid: PodUid| {
            let pod = self.by_uid.get(&uid)?;
            self.uid(&pod.key).filter(|known| *known == uid)?;
            Some((pod.key.clone(), self.status(uid, pod, unable)))
        };
        changed.into_iter().filter_map(status).collect()
    }

    fn status(&self, uid: PodUid, pod: &Pod, unable: Option<&Trouble>) -> PodEnforcementStatus {
        let own: Vec<&Container> = self.containers.of(uid).collect();
        let mut containers = Vec::new();
        let (mut armed, mut all) = (0, 0);
        for plan in &pod.plan {
            if plan.rule_map.is_none() && !must_wait(plan) {
                continue;
            }
            let pending = |trouble| because(report(plan, ContainerState::Pending), trouble);
            let held = pod.held.get(&plan.name);
            let mut report = match (held, unable, &plan.rule_map) {
                (Some(trouble), ..) => pending(trouble),
                (None, Some(trouble), _) => failed(plan, trouble),
                (None, None, None) => pending(&withheld(plan)),
                (None, None, Some(planned)) => self.report(pod, plan, planned, &own),
            };
            report.hold = self.hold(pod, plan);
            if report.state != ContainerState::Ended {
                all += 1;
            }
            if report.state == ContainerState::Armed && report.rule_map == plan.rule_map {
                armed += 1;
            }
            containers.push(report);
        }
        PodEnforcementStatus {
            armed: (!containers.is_empty()).then(|| format!("{armed}/{all}")),
            containers,
        }
    }

    fn hold(&self, pod: &Pod, plan: &ContainerEnforcement) -> Option<HoldState> {
        if pod.held.contains_key(&plan.name) {
            Some(HoldState::Waiting)
        } else if !must_wait(plan) {
            None
        } else if self.is_unasked {
            Some(HoldState::Impossible)
        } else {
            Some(HoldState::Kept)
        }
    }

    fn report(
        &self,
        pod: &Pod,
        plan: &ContainerEnforcement,
        planned: &str,
        own: &[&Container],
    ) -> ContainerReport {
        let role = pod.roles.get(&plan.name);
        let trouble = pod.troubles.get(&plan.name).cloned();
        let trouble = trouble.or_else(|| self.rule_maps.error(planned).map(Trouble::from));
        let is_named = |container: &&&Container| container.name.as_ref() == Some(&plan.name);
        let has_ended =
            pod.ended.contains(&plan.name) || own.iter().filter(is_named).any(|it| it.ended);
        let mut named = own
            .iter()
            .filter(is_named)
            .filter(|container| container.cgroup.is_some());
        // While one ends and the next starts there are two: what holds is the worse.
        let container = named
            .clone()
            .find(|container| container.workload().is_none())
            .or_else(|| named.next_back());
        let Some(container) = container else {
            if has_ended {
                return report(plan, ContainerState::Ended);
            }
            let nameless = own.iter().any(|container| container.is_nameless());
            let reason = match trouble {
                Some(trouble) => trouble,
                None if nameless => Trouble {
                    reason: "NameUnknown",
                    message: "the pod has a container whose name the runtime has not told: it \
                              has the strictest of the pod's rules"
                        .to_owned(),
                },
                None => Trouble {
                    reason: "NotStarted",
                    message: "the container has not been created".to_owned(),
                },
            };
            return because(report(plan, ContainerState::Pending), &reason);
        };
        let workload = role.map(|role| role.workload);
        match role {
            Some(role) if workload == container.workload() => {
                let armed = ContainerReport {
                    rule_map: role.rule_map.clone(),
                    since: Some(Time(role.since)),
                    unprotected_micros: container.arming().as_ref().and_then(unprotected_micros),
                    ..report(plan, ContainerState::Armed)
                };
                match trouble {
                    Some(trouble) if role.rule_map.as_deref() != Some(planned) => {
                        because(armed, &trouble)
                    }
                    _ if container.arming().is_some_and(|it| ran_before(&it)) => because(
                        armed,
                        &Trouble {
                            reason: "RanBefore",
                            message: "it ran before the node's enforcer did, so it was \
                                      unprotected for a time that is not known"
                                .to_owned(),
                        },
                    ),
                    _ => armed,
                }
            }
            _ => match container.trouble.clone().or(trouble) {
                Some(trouble) => failed(plan, &trouble),
                None => because(
                    report(plan, ContainerState::Pending),
                    &Trouble::on_their_way(),
                ),
            },
        }
    }
}

fn report(plan: &ContainerEnforcement, state: ContainerState) -> ContainerReport {
    ContainerReport {
        name: plan.name.clone(),
        state,
        rule_map: None,
        since: None,
        unprotected_micros: None,
        hold: None,
        reason: None,
        message: None,
    }
}

fn failed(plan: &ContainerEnforcement, trouble: &Trouble) -> ContainerReport {
    because(report(plan, ContainerState::Failed), trouble)
}

fn because(report: ContainerReport, trouble: &Trouble) -> ContainerReport {
    let mut message = trouble.message.clone();
    if message.len() > MESSAGE {
        message.truncate(message.floor_char_boundary(MESSAGE));
        message.push_str(" ...");
    }
    ContainerReport {
        reason: Some(trouble.reason.to_owned()),
        message: Some(message),
        ..report
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// What the API server has.
    known: PodEnforcementStatus,
    version: u64,
    /// Whether the API server is known to have the object.
    exists: bool,
    wanted: Option<PodEnforcementStatus>,
    in_flight: bool,
    next: Option<Instant>,
    wait: Duration,
}

impl Entry {
    fn differs(&self) -> bool {
        let wanted = self.wanted.as_ref();
        self.exists && wanted.is_some_and(|wanted| *wanted != self.known)
    }
}

/// The statuses of this node's pods on their way to the API server.
#[derive(Debug, Default)]
pub struct Statuses(BTreeMap<PodKey, Entry>);

impl Statuses {
    /// Takes what the API server has, as of a resource version.
    pub fn known(&mut self, key: &PodKey, version: u64, status: Option<PodEnforcementStatus>) {
        let entry = self.0.entry(key.clone()).or_default();
        entry.exists = true;
        if version >= entry.version {
            entry.version = version;
            entry.known = status.unwrap_or_default();
        }
    }

    /// Takes what should be said.
    pub fn want(&mut self, key: &PodKey, status: PodEnforcementStatus) {
        self.0.entry(key.clone()).or_default().wanted = Some(status);
    }

    /// The pod's `PodEnforcement` is gone.
    pub fn forget(&mut self, key: &PodKey) {
        self.0.remove(key);
    }

    /// What to write now.
    pub fn due(&mut self, now: Instant) -> Vec<(PodKey, PodEnforcementStatus)> {
        let flying = self.0.values().filter(|entry| entry.in_flight).count();
        let ready = self.0.iter_mut().filter(|(_, entry)| {
            entry.differs() && !entry.in_flight && entry.next.is_none_or(|next| next <= now)
        });
        let start = |(key, entry): (&PodKey, &mut Entry)| {
            entry.in_flight = true;
            Some((key.clone(), entry.wanted.clone()?))
        };
        ready
            .take(WRITES.saturating_sub(flying))
            .filter_map(start)
            .collect()
    }

    /// Takes what came of a write.
    pub fn written(&mut self, key: &PodKey, succeeded: bool, now: Instant) {
        let Some(entry) = self.0.get_mut(key) else {
            return;
        };
        entry.in_flight = false;
        entry.wait = if succeeded {
            PACE
        } else {
            (entry.wait * 2).clamp(PACE, MAX_WAIT)
        };
        entry.next = Some(now + entry.wait);
    }

    /// When the next write is due.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = |entry: &&Entry| entry.differs() && !entry.in_flight;
        let all = self.0.values().filter(waiting);
        all.filter_map(|entry| entry.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PodKey {
        PodKey {
            namespace: "shop".into(),
            name: "web".into(),
        }
    }

    fn status(armed: &str) -> PodEnforcementStatus {
        PodEnforcementStatus {
            armed: Some(armed.into()),
            containers: Vec::new(),
        }
    }

    #[test]
    fn a_pods_status_is_written_once_a_second_and_then_the_latest() {
        let (mut statuses, key, now) = (Statuses::default(), key(), Instant::now());
        statuses.want(&key, status("0/1"));
        assert!(statuses.due(now).is_empty(), "there is nothing to write to");
        statuses.known(&key, 1, None);
        assert_eq!(statuses.due(now), [(key.clone(), status("0/1"))]);
        statuses.want(&key, status("1/1"));
        assert!(statuses.due(now).is_empty(), "one at a time");
        statuses.written(&key, true, now);
        statuses.known(&key, 2, Some(status("0/1")));
        assert!(statuses.due(now).is_empty(), "too soon");
        assert_eq!(statuses.deadline(), Some(now + PACE));
        assert_eq!(
            statuses.due(now + PACE),
            [(key.clone(), status("1/1"))],
            "only the latest"
        );
    }

    #[test]
    fn what_the_api_server_has_is_not_written() {
        let (mut statuses, key, now) = (Statuses::default(), key(), Instant::now());
        statuses.known(&key, 5, Some(status("1/1")));
        statuses.want(&key, status("1/1"));
        assert!(statuses.due(now).is_empty());
        assert_eq!(statuses.deadline(), None);
        // Somebody else's write is put right; an old event says nothing new.
        statuses.known(&key, 4, None);
        assert!(statuses.due(now).is_empty());
        statuses.known(&key, 6, Some(status("9/9")));
        assert_eq!(statuses.due(now).len(), 1);
    }

    #[test]
    fn a_write_that_fails_is_tried_again_later_and_later() {
        let (mut statuses, key, mut now) = (Statuses::default(), key(), Instant::now());
        statuses.known(&key, 1, None);
        statuses.want(&key, status("1/1"));
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(statuses.due(now).len(), 1);
            statuses.written(&key, false, now);
            let next = statuses.deadline().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_busy_node_writes_a_few_at_a_time() {
        let (mut statuses, now) = (Statuses::default(), Instant::now());
        for number in 0..10 {
            let name = format!("web-{number}");
            let key = PodKey { name, ..key() };
            statuses.known(&key, 1, None);
            statuses.want(&key, status("1/1"));
        }
        let first = statuses.due(now);
        assert_eq!(first.len(), WRITES);
        assert!(statuses.due(now).is_empty());
        statuses.known(&first[0].0, 1, Some(status("1/1")));
        statuses.written(&first[0].0, true, now);
        assert_eq!(statuses.due(now).len(), 1);
    }
}
