//! A change of rules: everything is compiled, then loaded, then swapped.

use std::rc::Rc;
use std::time::Instant;

use bartizan_policy::compile::compile;
use bartizan_policy::rule_map::RuleMap;

use super::tables::Loaded;
use super::{Engine, EngineError, Identity, Maps, WorkloadId};
use crate::policies::Policies;

/// What a change of policies did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Tables compiled and loaded.
    pub loaded: usize,
    /// Workloads whose rules changed.
    pub changed: usize,
}

/// Where a workload's table is.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// In the kernel, by its number.
    Loaded(u32),
    /// Among those to be loaded, by its index.
    Fresh(usize),
}

impl Source {
    /// Its number; `fresh` are those of the tables that were to be loaded.
    pub(super) fn number(self, fresh: &[u32]) -> u32 {
        match self {
            Self::Loaded(number) => number,
            Self::Fresh(index) => fresh[index],
        }
    }
}

/// A workload that gets another table.
struct Swap {
    workload: u32,
    name: String,
    old: u32,
    new: u32,
}

impl<M: Maps> Engine<M> {
    /// Gives all workloads the rules that `policies` mean for them. Nothing is half
    /// applied: on an error all of them have the rules they had.
    pub fn apply(&mut self, policies: &Policies, now: Instant) -> Result<Applied, EngineError> {
        let enforced = self.workloads.iter();
        let rules = enforced
            .filter(|(_, workload)| workload.departed.is_none())
            .map(|(number, workload)| {
                let rules = linked(&workload.identity, policies)?;
                Ok((WorkloadId(*number), rules))
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        self.replace_rules(&rules, now)
    }

    /// Gives workloads other rules, as [`Engine::apply`] does: all or none.
    pub fn replace_rules(
        &mut self,
        rules: &[(WorkloadId, Rc<RuleMap>)],
        now: Instant,
    ) -> Result<Applied, EngineError> {
        let before = self.tables.len();
        let result = self.try_replace(rules);
        self.retire_unused(now);
        let changed = result?;
        Ok(Applied {
            loaded: self.tables.len() - before,
            changed,
        })
    }

    fn try_replace(&mut self, rules: &[(WorkloadId, Rc<RuleMap>)]) -> Result<usize, EngineError> {
        let start = Instant::now();
        let swaps = self.prepare(rules)?;
        let loaded = start.elapsed();
        for (done, swap) in swaps.iter().enumerate() {
            if let Err(error) = self.rebind(swap.workload, &swap.name, swap.new) {
                for swap in &swaps[..done] {
                    if let Err(error) = self.rebind(swap.workload, &swap.name, swap.old) {
                        tracing::error!(%error, workload = %swap.name, "going back to the old rules failed");
                    }
                }
                return Err(error);
            }
        }
        let bound = start.elapsed().saturating_sub(loaded);
        tracing::debug!(?loaded, ?bound, workloads = swaps.len(), "rules swapped");
        Ok(swaps.len())
    }

    /// Loads what is new and says who gets it.
    fn prepare(&mut self, rules: &[(WorkloadId, Rc<RuleMap>)]) -> Result<Vec<Swap>, EngineError> {
        let mut fresh = Vec::new();
        let mut found = Vec::new();
        for (id, rules) in rules {
            let workload = self.workloads.get(&id.0);
            if let Some(workload) = workload.filter(|workload| workload.departed.is_none()) {
                let source = self.find(&workload.identity, rules, &mut fresh)?;
                found.push((id.0, source));
            }
        }
        let numbers = self.load(fresh)?;
        let swap = |(number, source): (u32, Source)| {
            let workload = self.workloads.get(&number)?;
            let new = source.number(&numbers);
            (new != workload.table).then(|| Swap {
                workload: number,
                name: workload.identity.name.clone(),
                old: workload.table,
                new,
            })
        };
        Ok(found.into_iter().filter_map(swap).collect())
    }

    /// The table with a workload's rules. One that is neither in the kernel nor in `fresh`
    /// is compiled and put there.
    pub(super) fn find(
        &self,
        identity: &Identity,
        rules: &Rc<RuleMap>,
        fresh: &mut Vec<Loaded>,
    ) -> Result<Source, EngineError> {
        if let Some(number) = self.tables.find(rules) {
            return Ok(Source::Loaded(number));
        }
        if let Some(index) = fresh.iter().position(|other| other.rules == *rules) {
            return Ok(Source::Fresh(index));
        }
        let start = Instant::now();
        let bytes = compile(rules).map_err(|source| EngineError::Compile {
            workload: identity.name.clone(),
            source,
        })?;
        let (took, size) = (start.elapsed(), bytes.len());
        tracing::debug!(?took, size, workload = %identity.name, "table compiled");
        fresh.push(Loaded::new(Rc::clone(rules), bytes));
        Ok(Source::Fresh(fresh.len() - 1))
    }

    /// Loads compiled tables, all or none, with the hooks that they need; their numbers.
    pub(super) fn load(&mut self, fresh: Vec<Loaded>) -> Result<Vec<u32>, EngineError> {
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let start = Instant::now();
        let judged = fresh.iter().fold(0, |all, loaded| all | loaded.judged());
        self.maps.require(judged).map_err(EngineError::Hooks)?;
        let attached = start.elapsed();
        let tables: Vec<_> = fresh.iter().map(Loaded::to_add).collect();
        let numbers = self.maps.add_tables(&tables).map_err(EngineError::Maps)?;
        let added = start.elapsed().saturating_sub(attached);
        tracing::debug!(?attached, ?added, tables = numbers.len(), "tables loaded");
        for (number, loaded) in numbers.iter().zip(fresh) {
            self.tables.insert(*number, loaded);
        }
        Ok(numbers)
    }

    fn rebind(&mut self, number: u32, name: &str, table: u32) -> Result<(), EngineError> {
        let Some(workload) = self.workloads.get(&number) else {
            return Ok(());
        };
        let mounts = workload.mounts.clone();
        self.bind(number, name, &mounts, table)?;
        if let Some(workload) = self.workloads.get_mut(&number) {
            workload.table = table;
        }
        Ok(())
    }
}

/// What policies mean for one workload.
pub(super) fn linked(identity: &Identity, policies: &Policies) -> Result<Rc<RuleMap>, EngineError> {
    let rules = policies.rules_for(&identity.workload);
    rules.map(Rc::new).map_err(|source| EngineError::Link {
        workload: identity.name.clone(),
        source,
    })
}
