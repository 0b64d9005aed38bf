//! From kernel counters to metric series: numbers become names, and what was counted
//! under tables and workloads that are gone stays counted.

use std::collections::BTreeMap;

use bartizan_abi::maps::CounterKey;
use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;
use bartizan_policy::rule_map::{Effect, Matcher, Mode, PolicyInfo};

use super::{Engine, EngineError, Maps};
use crate::events;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Blocked (Enforce) or would be (Audit).
    Denial(Mode),
    /// Reported because an audit rule says so.
    Audited,
    /// Went on although its object has no name.
    Unresolved,
}

/// One time series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is counted.
    pub counted: Counted,
    /// The workload's namespace, empty if it has none.
    pub namespace: String,
    /// The policy as reports name it, empty if no rule decided.
    pub policy: String,
    /// Its rule.
    pub rule: String,
    /// [`Operation::name`]
    pub operation: &'static str,
}

/// Counts that no longer are in the kernel.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<Series, u64>);

impl Tally {
    pub(super) fn add(&mut self, series: Series, count: u64) {
        *self.0.entry(series).or_default() += count;
    }
}

/// Series that are shown with 0 before the first denial, so that alerts see it as an
/// increase; more rules than that start to appear with their first denial.
const ZEROES: usize = 1_000;

impl<M: Maps> Engine<M> {
    /// All counts since the start, and zeroes for deny rules that nothing hit yet.
    pub fn counts(&self) -> Result<BTreeMap<Series, u64>, EngineError> {
        let mut counts = self.tally.0.clone();
        for series in self.zeroes() {
            counts.entry(series).or_default();
        }
        let counters = self.maps.counters().map_err(EngineError::Maps)?;
        // What a predecessor counted has no name before its workload is claimed.
        let named = counters.into_iter().filter(|(key, _)| self.has_names(*key));
        for (key, count) in named {
            *counts.entry(self.series(key)).or_default() += count;
        }
        Ok(counts)
    }

    /// Whether the engine knows what a counter's numbers mean.
    pub(super) fn has_names(&self, key: CounterKey) -> bool {
        self.workloads.contains_key(&key.workload) && self.tables.get(key.table).is_some()
    }

    /// Names for a counter's numbers.
    pub(super) fn series(&self, key: CounterKey) -> Series {
        let rules = self.tables.get(key.table).map(|loaded| &loaded.rules);
        let rule = rules.and_then(|rules| rules.rules.get(usize::from(key.rule)));
        let policy = rules
            .zip(rule)
            .and_then(|(rules, rule)| rules.policies.get(rule.policy));
        let workload = self.workloads.get(&key.workload);
        Series {
            counted: match events::outcome(key.outcome) {
                Ok(Outcome::WouldDeny) => Counted::Denial(Mode::Audit),
                Ok(Outcome::Audit) => Counted::Audited,
                Ok(Outcome::Unresolved) => Counted::Unresolved,
                Ok(Outcome::Deny | Outcome::Allow) | Err(_) => Counted::Denial(Mode::Enforce),
            },
            namespace: workload
                .and_then(|workload| workload.identity.namespace(policy))
                .unwrap_or_default(),
            policy: policy.map(PolicyInfo::reference).unwrap_or_default(),
            rule: rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            operation: Operation::from_number(key.operation).map_or("", Operation::name),
        }
    }

    fn zeroes(&self) -> Vec<Series> {
        let mut zeroes = Vec::new();
        for (identity, rules) in self.rule_maps() {
            let denying = rules
                .rules
                .iter()
                .filter(|rule| matches!(rule.effect, Effect::Deny | Effect::DefaultDeny));
            for rule in denying {
                for operation in Operation::ALL
                    .iter()
                    .filter(|op| names(&rule.matcher, **op))
                {
                    if zeroes.len() >= ZEROES {
                        return zeroes;
                    }
                    let policy = &rules.policies[rule.policy];
                    zeroes.push(Series {
                        counted: Counted::Denial(rules.mode(rule)),
                        namespace: identity.namespace(Some(policy)).unwrap_or_default(),
                        policy: policy.reference(),
                        rule: rule.name.clone(),
                        operation: operation.name(),
                    });
                }
            }
        }
        zeroes
    }
}

/// Whether a rule as written is about an operation.
fn names(matcher: &Matcher, operation: Operation) -> bool {
    match matcher {
        Matcher::Process { .. } => operation == Operation::Exec,
        Matcher::Files { operations, .. }
        | Matcher::Network { operations, .. }
        | Matcher::Unix { operations, .. } => operations & operation.bit() != 0,
        Matcher::Sockets { .. } => operation == Operation::Socket,
        Matcher::Capabilities { .. } => operation == Operation::Capable,
        Matcher::Restrict(restricted) => operation == *restricted,
        Matcher::Default(category) => {
            operation.category() == *category && operation != Operation::Map
        }
    }
}
