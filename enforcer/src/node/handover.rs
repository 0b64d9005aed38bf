//! Whether this enforcer has in force what the one before had.

use super::pods::{Pod, Pods};
use crate::engine::{Inherited, Owner};
use crate::kubepods::{ContainerId, PodUid};

impl Pods {
    /// Whether everything that should be in force is, so that nothing is lost with what a
    /// predecessor has. `said_all`: the API server has said all there is; before that, who
    /// isn't known may still have rules.
    ///
    /// Rules that can't be had leave what the predecessor has in force, as they leave what
    /// this enforcer has.
    pub fn replace(&self, inherited: &Inherited, said_all: bool) -> bool {
        let is_known = |owner| said_all || self.has_rules_of(owner);
        let mut pods = self.by_uid.iter();
        self.is_settled()
            && pods.all(|(uid, pod)| self.is_in_force(*uid, pod, inherited, said_all))
            && (said_all || inherited.is_complete)
            && inherited.owners.iter().all(is_known)
    }

    fn is_in_force(&self, uid: PodUid, pod: &Pod, inherited: &Inherited, said_all: bool) -> bool {
        let had_rules = |name: &str| {
            let mut owners = inherited.owners.iter();
            owners.any(|owner| owner.pod == uid && owner.container.as_deref() == Some(name))
        };
        let is_failed = |name: &str, rule_map: Option<&str>| {
            let error = rule_map.and_then(|name| self.rule_maps.error(name));
            error.is_some() || pod.troubles.contains_key(name)
        };
        let mut plans = pod.plan.iter();
        !pod.is_selected()
            || plans.all(|plan| {
                let role = pod.roles.get(&plan.name);
                role.is_some_and(|role| role.rule_map == plan.rule_map)
                    || said_all
                        && is_failed(&plan.name, plan.rule_map.as_deref())
                        && !had_rules(&plan.name)
            })
    }

    fn has_rules_of(&self, owner: &Owner) -> bool {
        let pod = self.by_uid.get(&owner.pod);
        pod.is_some_and(|pod| match &owner.container {
            Some(name) => pod.roles.contains_key(name),
            None => pod.has_whole(),
        })
    }

    /// Whether a container's cgroup is there.
    pub fn has_cgroup(&self, id: &ContainerId) -> bool {
        let container = self.containers.get(*id);
        container.is_some_and(|container| container.cgroup.is_some())
    }

    /// Whether a container is known, by its cgroup or to the runtime.
    pub fn knows(&self, id: &ContainerId) -> bool {
        self.containers.get(*id).is_some()
    }
}
