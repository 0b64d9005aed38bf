//! The operator without an API server: its decisions, and writes that succeed at once.

use std::time::{Duration, Instant};

use bartizan_crds::{
    ContainerReport, ContainerState, PodEnforcementSpec, PodEnforcementStatus, RuleMap,
};
use bartizan_operator::cluster::{Change, Cluster, Enforcement, PodKey, PodPlan};
use bartizan_operator::write;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// What is written, as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) rule_maps: usize,
    pub(crate) rule_map_bytes: usize,
    pub(crate) enforcements: usize,
    pub(crate) enforcement_bytes: usize,
}

/// An operator whose writes succeed. Only deciding is timed, not making inputs and JSON.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    pub(crate) cluster: Cluster,
    pub(crate) written: Written,
    version: u64,
}

impl Operator {
    /// Takes changes in; returns how long that took.
    pub(crate) fn take(&mut self, changes: impl IntoIterator<Item = Change>) -> Duration {
        let mut time = Duration::ZERO;
        for change in changes {
            let started = Instant::now();
            self.cluster.apply(change);
            time += started.elapsed();
        }
        time
    }

    /// Plans the pods that are to be planned, takes in what writing would answer, and plans
    /// what that changes; returns how long planning and taking in took, and the pods written.
    ///
    /// `progress` hears after each pod how many have been planned.
    pub(crate) fn settle(&mut self, progress: impl Fn(usize)) -> (Duration, usize) {
        let (mut time, mut planned) = (Duration::ZERO, 0);
        let before = self.written.enforcements;
        loop {
            let started = Instant::now();
            let Some(key) = self.cluster.next_pod() else {
                break;
            };
            let plan = self.cluster.plan(&key);
            let same = self.is_there(&key, &plan);
            time += started.elapsed();
            if !same {
                let answers = self.write(&key, &plan);
                time += self.take(answers);
                planned += 1;
                progress(planned);
            }
        }
        (time, self.written.enforcements - before)
    }

    /// Works out the status of every policy that may have another; returns how long.
    pub(crate) fn statuses(&mut self) -> Duration {
        let now = Time(Timestamp::UNIX_EPOCH);
        let started = Instant::now();
        for key in self.cluster.take_policies() {
            std::hint::black_box(self.cluster.status(&key, &now));
        }
        started.elapsed()
    }

    fn is_there(&self, key: &PodKey, plan: &PodPlan) -> bool {
        match (self.cluster.enforcement(key), &plan.spec) {
            (None, None) => true,
            (Some(there), Some(spec)) => {
                there.owner.as_ref() == Some(&plan.owner) && there.spec.as_ref() == Some(spec)
            }
            _ => false,
        }
    }

    /// Counts what is written, and returns what the API server would say to it.
    fn write(&mut self, key: &PodKey, plan: &PodPlan) -> Vec<Change> {
        let Some(spec) = &plan.spec else {
            return vec![Change::Enforcement(key.clone(), None)];
        };
        let mut answers = Vec::new();
        for link in &plan.links {
            if !self.cluster.is_published(&link.name) {
                let map = RuleMap::new(&link.name, link.spec.clone());
                self.written.rule_maps += 1;
                self.written.rule_map_bytes += bytes(&map);
                answers.push(Change::RuleMap(link.name.to_string(), Some(map.into())));
            }
        }
        self.written.enforcements += 1;
        self.written.enforcement_bytes += bytes(&write::enforcement(key, &plan.owner, spec));
        self.version += 1;
        let enforcement = Enforcement {
            uid: format!("enforcement-of-{}", plan.owner),
            version: self.version,
            owner: Some(plan.owner.clone()),
            spec: Some(spec.clone()),
            status: armed(spec),
            since: Some(Time(Timestamp::UNIX_EPOCH)),
        };
        answers.push(Change::Enforcement(key.clone(), Some(enforcement)));
        answers
    }
}

/// What a node's enforcer says when everything is in its kernel.
fn armed(spec: &PodEnforcementSpec) -> PodEnforcementStatus {
    let wanted = spec.containers.iter().filter(|one| one.rule_map.is_some());
    let containers: Vec<ContainerReport> = wanted
        .map(|container| ContainerReport {
            name: container.name.clone(),
            state: ContainerState::Armed,
            rule_map: container.rule_map.clone(),
            since: Some(Time(Timestamp::UNIX_EPOCH)),
            unprotected_micros: Some(-1_000),
            hold: None,
            reason: None,
            message: None,
            unenforceable: Vec::new(),
        })
        .collect();
    PodEnforcementStatus {
        armed: Some(format!("{0}/{0}", containers.len())),
        containers,
    }
}

fn bytes(object: &impl serde::Serialize) -> usize {
    let json = serde_json::to_vec(object).expect("API objects are JSON");
    json.len()
}
