//! Makes the engine what the marked pods mean.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bartizan_policy::rule_map::RuleMap;
use bartizan_policy::strictest::strictest;
use k8s_openapi::jiff::Timestamp;

use super::{Pod, Pods, Role, Trouble};
use crate::agent::chain;
use crate::engine::{EngineError, Identity};
use crate::kubepods::PodUid;
use crate::node::enforce::Enforce;
use crate::node::rule_maps::RuleMaps;

/// When what the engine refused is tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Pods {
    /// Makes the kernel what the marked pods mean.
    pub fn settle(&mut self, engine: &mut impl Enforce, now: Instant) {
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
            self.marked.extend(self.by_uid.keys());
        }
        let marked = std::mem::take(&mut self.marked);
        if marked.is_empty() {
            return;
        }
        let mut refused = false;
        for uid in marked {
            refused |= self.settle_pod(uid, engine, now).is_err();
            self.changed.insert(uid);
        }
        if let Err(error) = self.compare(engine) {
            tracing::error!(
                error = chain(&error),
                "the kernel's containers can't be read"
            );
            refused = true;
        }
        if refused {
            self.retry.get_or_insert(now + RETRY);
        }
        let plans = self.by_uid.values().flat_map(|pod| &pod.plan);
        let used = plans.filter_map(|plan| plan.rule_map.clone()).collect();
        self.rule_maps.keep(&used);
    }

    fn settle_pod(
        &mut self,
        uid: PodUid,
        engine: &mut impl Enforce,
        now: Instant,
    ) -> Result<(), Refused> {
        let Some(pod) = self.by_uid.get_mut(&uid) else {
            return Ok(());
        };
        if !pod.is_selected() {
            return self.release(uid, engine);
        }
        pod.troubles.clear();
        let roles = settle_roles(pod, uid, &mut self.rule_maps, engine);
        let whole = settle_whole(pod, uid, engine);
        let mut containers = Ok(());
        for (id, container) in self.containers.of_mut(uid) {
            let name = container.name.as_ref();
            let Some(role) = name.and_then(|name| pod.roles.get(name)) else {
                continue;
            };
            if let Err(error) = container.expect(id, role.workload, engine, now) {
                tracing::error!(container = %id, error = chain(&error), "not labelled");
                container.trouble = Some(Trouble::from(&error));
                containers = Err(Refused);
            }
        }
        roles.and(whole).and(containers)
    }

    /// Takes everything of a pod out of the kernel.
    fn release(&mut self, uid: PodUid, engine: &mut impl Enforce) -> Result<(), Refused> {
        let Some(pod) = self.by_uid.get_mut(&uid) else {
            return Ok(());
        };
        // What was expected under a workload is forgotten with it.
        let whole = pod.whole.take().map(|(role, _)| role);
        let roles = std::mem::take(&mut pod.roles).into_values();
        let mut result = Ok(());
        for role in roles.chain(whole) {
            if let Err(error) = engine.remove(role.workload) {
                tracing::error!(pod = %uid, error = chain(&error), "not taken out of the kernel");
                result = Err(Refused);
            }
        }
        for (_, container) in self.containers.of_mut(uid) {
            container.release();
        }
        if !self.uids.values().any(|known| *known == uid) {
            self.by_uid.remove(&uid);
        }
        result
    }
}

/// The engine refused something, which has been said.
struct Refused;

/// A workload for each container whose rules are known.
fn settle_roles(
    pod: &mut Pod,
    uid: PodUid,
    rule_maps: &mut RuleMaps,
    engine: &mut impl Enforce,
) -> Result<(), Refused> {
    let mut result = Ok(());
    for plan in pod.plan.clone() {
        let rules = match &plan.rule_map {
            None => Rc::new(RuleMap::default()),
            Some(name) => match rule_maps.get(name) {
                Some(rules) => rules,
                None => continue,
            },
        };
        let outcome = match pod.roles.get_mut(&plan.name) {
            Some(role) if role.rule_map == plan.rule_map => Ok(()),
            Some(role) => replace(engine, role, rules, plan.rule_map.clone()),
            None => {
                let identity = pod.identity(uid, Some(&plan));
                add(engine, identity, rules, plan.rule_map.clone())
                    .map(|role| pod.roles.insert(plan.name.clone(), role))
                    .map(|_| ())
            }
        };
        if let Err(error) = outcome {
            tracing::error!(pod = %pod.key, container = plan.name, error = chain(&error), "rules not loaded");
            pod.troubles
                .insert(plan.name.clone(), Trouble::from(&error));
            result = Err(Refused);
        }
    }
    result
}

/// The workload of containers without a name, with the strictest of the pod's rules.
fn settle_whole(pod: &mut Pod, uid: PodUid, engine: &mut impl Enforce) -> Result<(), Refused> {
    let names: BTreeSet<_> = pod
        .roles
        .values()
        .map(|role| role.rule_map.clone())
        .collect();
    if names.iter().all(Option::is_none) || pod.whole.as_ref().is_some_and(|(_, of)| *of == names) {
        return Ok(());
    }
    let maps: Vec<&RuleMap> = pod.roles.values().map(|role| &*role.rules).collect();
    let rules = match strictest(&maps) {
        Ok(rules) => Rc::new(rules),
        Err(error) => {
            // Containers get their own rules as soon as they have a name.
            tracing::error!(pod = %pod.key, %error, "the pod's rules make no common one");
            return Ok(());
        }
    };
    let outcome = if let Some((role, of)) = &mut pod.whole {
        replace(engine, role, rules, None).map(|()| *of = names)
    } else {
        let identity = pod.identity(uid, None);
        add(engine, identity, rules, None).and_then(|role| {
            let workload = role.workload;
            pod.whole = Some((role, names));
            engine.expect_pod(uid, workload)
        })
    };
    outcome.map_err(|error| {
        tracing::error!(pod = %pod.key, error = chain(&error), "the pod's common rules not loaded");
        Refused
    })
}

fn add(
    engine: &mut impl Enforce,
    identity: Identity,
    rules: Rc<RuleMap>,
    rule_map: Option<String>,
) -> Result<Role, EngineError> {
    let workload = engine.add_rules(identity, &rules)?;
    Ok(Role {
        workload,
        rules,
        rule_map,
        since: this_second(),
    })
}

fn replace(
    engine: &mut impl Enforce,
    role: &mut Role,
    rules: Rc<RuleMap>,
    rule_map: Option<String>,
) -> Result<(), EngineError> {
    engine.replace_rules(&[(role.workload, Rc::clone(&rules))])?;
    (role.rules, role.rule_map, role.since) = (rules, rule_map, this_second());
    Ok(())
}

/// Now, as precisely as the API keeps it.
fn this_second() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
