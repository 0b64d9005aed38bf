//! Names for an event's numbers.

use std::time::{Duration, SystemTime};

use super::{Engine, Maps};
use crate::events::Denial;
use crate::report::{Record, Subject, path_text, target_text};

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic: u64,
    /// Wall clock.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self {
            monotonic: seconds * 1_000_000_000 + nanoseconds,
            wall: SystemTime::now(),
        }
    }

    /// Wall-clock time of a monotonic one; the future counts as now.
    fn wall_time(&self, monotonic: u64) -> SystemTime {
        self.wall - Duration::from_nanos(self.monotonic.saturating_sub(monotonic))
    }
}

impl<M: Maps> Engine<M> {
    /// The event with names; `None` if its workload was never one of the engine's (the
    /// self-test's).
    pub fn describe(&self, denial: &Denial, now: Moment, node: Option<&str>) -> Option<Record> {
        let workload = self.workloads.get(&denial.workload)?;
        let identity = &workload.identity;
        let rules = self.tables.get(denial.table).map(|loaded| &loaded.rules);
        let rule = rules
            .zip(denial.rule)
            .and_then(|(rules, n)| rules.rules.get(usize::from(n)));
        let policy = rules
            .zip(rule)
            .and_then(|(rules, rule)| rules.policies.get(rule.policy));
        let point = |number| workload.mounts.point(number);
        let path = |path: &Option<_>| path.as_ref().map(|path| path_text(path, point));
        Some(Record {
            key: (denial.workload, denial.table, denial.rule),
            time: now.wall_time(denial.time),
            subject: Subject {
                node: node.map(str::to_owned),
                namespace: identity.namespace(policy),
                pod: Some(identity.name.clone()),
                container: identity.workload.container.clone(),
                image: identity.image.clone(),
            },
            policy: policy.cloned(),
            rule: rule.map(|rule| rule.name.clone()),
            operation: denial.operation,
            outcome: denial.outcome,
            target: target_text(&denial.target, point),
            executable: path(&denial.executable),
            parent_executable: path(&denial.parent_executable),
            pid: denial.pid,
            uid: denial.uid,
        })
    }
}
