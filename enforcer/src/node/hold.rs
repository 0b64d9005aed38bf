//! Containers that must not start without their rules: `startup: Hold`.
//!
//! ```text
//!   runtime: creates a container ─► its rules are there? ─┬─ yes ─► it goes on
//!                  ▲                                      └─ no ──► refused, with the reason
//!                  └──────── the kubelet tries again ◄──────────────────────┘
//! ```
//!
//! A refusal costs the node nothing: while an answer is awaited, all its other containers
//! wait as well, so what isn't there now is never waited for. The kubelet tries again every
//! ten seconds or so and makes an event of the reason.
//!
//! Until a pod's `PodEnforcement` is here nobody on the node knows its policies. A pod for
//! which that is too late asks by itself, with the annotation [`ANNOTATION`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bartizan_crds::{ContainerEnforcement, Startup};

use super::containers::Named;
use super::enforce::Enforce;
use super::pods::{Pod, Pods, Trouble};
use super::runtime;
use crate::kubepods::PodUid;
use crate::nri::Event;
use crate::nri::messages;

/// The annotation by which a pod asks that its containers wait for their rules.
pub const ANNOTATION: &str = "bartizan.dev/startup";

/// Whether a pod asks that its containers wait. Any value but `Report` says so: a misspelt
/// `Hold` must not be weaker than none.
fn asks(pod: &messages::Pod) -> bool {
    let value = pod.annotations.get(ANNOTATION);
    value.is_some_and(|value| value != "Report")
}

/// Whether a container must not start without its rules.
pub(super) fn must_wait(plan: &ContainerEnforcement) -> bool {
    plan.startup == Startup::Hold || !plan.withheld.is_empty()
}

/// What a container waits for that a policy with `startup: Hold` is withheld from.
pub(super) fn withheld(plan: &ContainerEnforcement) -> Trouble {
    let policies = plan.withheld.join(", ");
    Trouble {
        reason: "Withheld",
        message: format!(
            "its other policies can't be enforced together with {policies}, whose status says why"
        ),
    }
}

/// The names of the containers that have to wait, for the thread that answers the runtime
/// when the main loop is too busy.
#[derive(Clone, Debug, Default)]
pub struct Holds(Arc<Mutex<BTreeMap<PodUid, BTreeSet<String>>>>);

impl Holds {
    pub(super) fn set(&self, pod: PodUid, plan: &[ContainerEnforcement]) {
        let names = plan.iter().filter(|plan| must_wait(plan));
        let names: BTreeSet<_> = names.map(|plan| plan.name.clone()).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.is_empty() {
            all.remove(&pod);
        } else {
            all.insert(pod, names);
        }
    }

    /// The answer to an event that nobody has looked at in time.
    pub fn unanswered(&self, event: &Event) -> Result<(), String> {
        let Event::Creating(pod, container) = event else {
            return Ok(());
        };
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = pod.uid.parse().ok().and_then(|uid: PodUid| all.get(&uid));
        if !asks(pod) && !names.is_some_and(|names| names.contains(&container.name)) {
            return Ok(());
        }
        let trouble = Trouble {
            reason: "EnforcerBusy",
            message: "the enforcer has not answered in time".to_owned(),
        };
        Err(refusal(pod, &container.name, &trouble))
    }
}

/// What a runtime, and so the pod's events, say of a container that waits.
fn refusal(pod: &messages::Pod, container: &str, trouble: &Trouble) -> String {
    let messages::Pod {
        namespace, name, ..
    } = pod;
    let Trouble { reason, message } = trouble;
    let way_out = if asks(pod) {
        format!("without the pod's annotation {ANNOTATION} and")
    } else {
        "without".to_owned()
    };
    format!(
        "bartizan holds container {container} of pod {namespace}/{name}: {message} ({reason}); it \
         is tried again by itself, `kubectl describe podenforcement {name} --namespace \
         {namespace}` says how it stands, and {way_out} `startup: Hold` in its policies it starts \
         without its rules"
    )
}

impl Pods {
    /// Takes that a runtime is about to create a container, of that name if its ids are such
    /// as a node has. The engine, or why there is none, has its rules waiting for it; the
    /// error is what to tell the runtime if it has to wait for them.
    pub fn create(
        &mut self,
        pod: &messages::Pod,
        container: &messages::Container,
        engine: Result<&mut impl Enforce, &Trouble>,
        now: Instant,
    ) -> Result<(), String> {
        let name = &container.name;
        let Some(named) = runtime::container(pod, container) else {
            let trouble = Trouble {
                reason: "UnknownIds",
                message: "the runtime's ids of it are none that a cgroup has".to_owned(),
            };
            return if asks(pod) {
                Err(refusal(pod, name, &trouble))
            } else {
                Ok(())
            };
        };
        let obstacle = match engine {
            Err(unable) => self.obstacle(asks(pod), &named, Some(unable)),
            Ok(engine) => {
                self.name(named.clone());
                self.settle(engine, now);
                let obstacle = self.obstacle(asks(pod), &named, None);
                if obstacle.is_some() {
                    // The next attempt has another id.
                    self.removed(named.id, engine);
                }
                obstacle
            }
        };
        if let Some(known) = self.by_uid.get_mut(&named.pod) {
            let before = match &obstacle {
                Some(trouble) => known.held.insert(name.clone(), trouble.clone()),
                None => known.held.remove(name),
            };
            if before != obstacle {
                self.changed.insert(named.pod);
            }
        }
        match obstacle {
            Some(trouble) => Err(refusal(pod, name, &trouble)),
            None => Ok(()),
        }
    }

    /// What a container has to wait for.
    fn obstacle(&self, asks: bool, named: &Named, unable: Option<&Trouble>) -> Option<Trouble> {
        let name = named.name.as_deref()?;
        let known = self
            .by_uid
            .get(&named.pod)
            .filter(|pod| !pod.plan.is_empty());
        let Some(pod) = known else {
            return asks.then(|| Trouble {
                reason: "NoPodEnforcement",
                message: "no policy selects the pod, or the operator's word is on its way"
                    .to_owned(),
            });
        };
        let Some(plan) = pod.plan.iter().find(|plan| plan.name == name) else {
            let waits = asks || pod.plan.iter().any(must_wait);
            return waits.then(|| Trouble {
                reason: "NotPlanned",
                message: "the pod's PodEnforcement doesn't name the container yet".to_owned(),
            });
        };
        let waits = must_wait(plan) || asks && plan.rule_map.is_some();
        if !waits {
            return None;
        }
        if let Some(trouble) = unable {
            return Some(trouble.clone());
        }
        if !plan.withheld.is_empty() {
            return Some(withheld(plan));
        }
        self.missing_rules(pod, plan, named)
    }

    /// Why the rules of a plan are not in the kernel for a container.
    fn missing_rules(
        &self,
        pod: &Pod,
        plan: &ContainerEnforcement,
        named: &Named,
    ) -> Option<Trouble> {
        let planned = plan.rule_map.as_deref()?;
        let role = pod.roles.get(&plan.name);
        let Some(role) = role.filter(|role| role.rule_map.as_deref() == Some(planned)) else {
            let trouble = pod.troubles.get(&plan.name).cloned();
            let trouble = trouble.or_else(|| self.rule_maps.error(planned).map(Trouble::from));
            return Some(trouble.unwrap_or_else(Trouble::on_their_way));
        };
        let container = self.containers.get(named.id)?;
        if container.is_expected_in(role.workload) {
            return None;
        }
        let trouble = container.trouble.clone();
        Some(trouble.unwrap_or_else(Trouble::on_their_way))
    }

    /// Takes whether the runtime asks before it starts containers.
    pub fn set_asked(&mut self, is_asked: bool) {
        if self.is_unasked != is_asked {
            return;
        }
        self.is_unasked = !is_asked;
        let pods = self.by_uid.iter();
        let waiting = pods.filter(|(_, pod)| pod.plan.iter().any(must_wait));
        self.changed.extend(waiting.map(|(uid, _)| *uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creating(annotation: Option<&str>, container: &str) -> Event {
        let annotations = annotation.map(|value| (ANNOTATION.to_owned(), value.to_owned()));
        let pod = messages::Pod {
            uid: "0d8a4a2c-5d7e-4c1b-9b8e-6f1f0a9d3c11".to_owned(),
            name: "web-1".to_owned(),
            namespace: "shop".to_owned(),
            annotations: annotations.into_iter().collect(),
            ..messages::Pod::default()
        };
        let container = messages::Container {
            name: container.to_owned(),
            ..messages::Container::default()
        };
        Event::Creating(pod, container)
    }

    #[test]
    fn what_must_wait_is_refused_when_nobody_has_looked_at_it() {
        let holds = Holds::default();
        let uid = "0d8a4a2c-5d7e-4c1b-9b8e-6f1f0a9d3c11".parse().unwrap();
        let plan = |name: &str, startup| ContainerEnforcement {
            name: name.to_owned(),
            kind: bartizan_crds::ContainerKind::Regular,
            image: None,
            rule_map: Some("a".to_owned()),
            startup,
            withheld: Vec::new(),
        };
        let plan = [plan("web", Startup::Hold), plan("log", Startup::Report)];
        holds.set(uid, &plan);
        let said = holds.unanswered(&creating(None, "web")).unwrap_err();
        assert!(
            said.starts_with("bartizan holds container web of pod shop/web-1: the enforcer has"),
            "{said}"
        );
        assert_eq!(holds.unanswered(&creating(None, "log")), Ok(()));
        assert!(holds.unanswered(&creating(Some("hold"), "log")).is_err());
        assert_eq!(holds.unanswered(&creating(Some("Report"), "log")), Ok(()));
        holds.set(uid, &[]);
        assert_eq!(holds.unanswered(&creating(None, "web")), Ok(()));
    }
}
