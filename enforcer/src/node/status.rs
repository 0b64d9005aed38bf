//! What is said of a pod. It follows from what is in the kernel, so it is the same as long
//! as nothing happens.

use bartizan_crds::{
    ContainerEnforcement, ContainerReport, ContainerState, HoldState, PodEnforcementStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::containers::{Container, ran_before, unprotected_micros};
use super::hold::{must_wait, withheld};
use super::keys::PodKey;
use super::partial::partial;
use super::pods::{Pod, Pods, Trouble};
use crate::kubepods::PodUid;

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
                let is_current = role.rule_map.as_deref() == Some(planned);
                let armed = match trouble {
                    Some(trouble) if !is_current => because(armed, &trouble),
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
                };
                partial(armed, &role.rules, &self.gaps, is_current)
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
        unenforceable: Vec::new(),
    }
}

fn failed(plan: &ContainerEnforcement, trouble: &Trouble) -> ContainerReport {
    because(report(plan, ContainerState::Failed), trouble)
}

pub(super) fn because(report: ContainerReport, trouble: &Trouble) -> ContainerReport {
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
