//! The tables that are in the kernel, by number and by content.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use bartizan_abi::op::Ops;
use bartizan_policy::rule_map::RuleMap;

use super::inherit::digest;
use crate::bpf::NewTable;

/// A table in the kernel.
pub(super) struct Loaded {
    /// What it was compiled from: names for its rule numbers.
    pub(super) rules: Rc<RuleMap>,
    /// Its bytes: mount points need its automata.
    pub(super) bytes: Vec<u8>,
    retired: Option<Instant>,
}

impl Loaded {
    pub(super) fn new(rules: Rc<RuleMap>, mut bytes: Vec<u8>) -> Self {
        bytes.shrink_to_fit();
        Self {
            rules,
            bytes,
            retired: None,
        }
    }

    /// As the kernel takes it.
    pub(super) fn to_add(&self) -> NewTable<'_> {
        NewTable {
            bytes: &self.bytes,
            digest: digest(&self.rules, &self.bytes),
        }
    }

    /// Operations it judges or reports.
    pub(super) fn judged(&self) -> Ops {
        super::judged(&self.bytes)
    }
}

#[derive(Default)]
pub(super) struct Tables(BTreeMap<u32, Loaded>);

impl Tables {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn judged(&self) -> Ops {
        self.0.values().fold(0, |all, loaded| all | loaded.judged())
    }

    pub(super) fn get(&self, number: u32) -> Option<&Loaded> {
        self.0.get(&number)
    }

    pub(super) fn insert(&mut self, number: u32, loaded: Loaded) {
        self.0.insert(number, loaded);
    }

    pub(super) fn remove(&mut self, number: u32) {
        self.0.remove(&number);
    }

    /// The table with exactly these rules; one on its way out will do.
    pub(super) fn find(&self, rules: &Rc<RuleMap>) -> Option<u32> {
        self.0
            .iter()
            .find(|(_, loaded)| Rc::ptr_eq(&loaded.rules, rules) || loaded.rules == *rules)
            .map(|(number, _)| *number)
    }

    /// Starts the grace period of all tables but those in use.
    pub(super) fn retire_except(&mut self, used: &[u32], now: Instant) {
        for (number, loaded) in &mut self.0 {
            if used.contains(number) {
                loaded.retired = None;
            } else {
                loaded.retired.get_or_insert(now);
            }
        }
    }

    pub(super) fn retired(&self) -> impl Iterator<Item = Instant> {
        self.0.values().filter_map(|loaded| loaded.retired)
    }

    pub(super) fn retired_before(&self, over: impl Fn(Instant) -> bool) -> Vec<u32> {
        self.0
            .iter()
            .filter(|(_, loaded)| loaded.retired.is_some_and(&over))
            .map(|(number, _)| *number)
            .collect()
    }
}
