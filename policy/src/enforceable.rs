//! What of a policy a kernel can't enforce, because it lacks a hook.
//!
//! ```text
//!   hooks of a kernel ─► Gaps ─┬─► operations, for the node
//!   rules of a rule map ───────┴─► Unenforceable per policy, for its status
//! ```

use bartizan_abi::hooks::{HOOKS, Hook, Need, Sockets};
use bartizan_abi::op::{FILE_OPS, Operation, Ops};

use crate::compile::judged;
use crate::rule_map::{Matcher, Rule, RuleMap};

/// Rules that [`Unenforceable::rules`] names.
pub const MAX_NAMED: usize = 16;

/// A kernel without one of the hooks that every node must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel has no LSM hook `{hook}`, without which nothing can be enforced: {why}")]
pub struct Unfit {
    /// The hook.
    pub hook: &'static str,
    /// What would be wrong.
    pub why: &'static str,
}

/// The optional hooks that a kernel lacks.
#[derive(Clone, Debug, Default)]
pub struct Gaps(Vec<&'static Hook>);

/// What is missing for a rule, or for several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// Operations that are not judged wherever they could happen.
    pub operations: Ops,
    /// The hooks that are missing.
    pub hooks: Vec<&'static str>,
}

impl Gap {
    /// Names of the operations.
    pub fn operations(&self) -> impl Iterator<Item = &'static str> {
        let all = Operation::ALL.iter();
        let missing = all.filter(|operation| self.operations & operation.bit() != 0);
        missing.map(|operation| operation.name())
    }

    fn add(&mut self, other: &Self) {
        self.operations |= other.operations;
        for hook in &other.hooks {
            if !self.hooks.contains(hook) {
                self.hooks.push(hook);
            }
        }
    }
}

/// What of a policy can't be enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforceable<'a> {
    /// Place in [`RuleMap::policies`].
    pub policy: usize,
    /// Names of the rules, in their order; at most [`MAX_NAMED`].
    pub rules: Vec<&'a str>,
    /// What is missing for them, and for those that aren't named.
    pub gap: Gap,
}

impl Gaps {
    /// Those of a kernel, by whether it has a hook.
    pub fn new(has: impl Fn(&str) -> bool) -> Result<Self, Unfit> {
        let mut gaps = Vec::new();
        for hook in HOOKS.iter().filter(|hook| !has(hook.name)) {
            match hook.need {
                Need::Required(why) => {
                    return Err(Unfit {
                        hook: hook.name,
                        why,
                    });
                }
                Need::Optional(_) => gaps.push(hook),
                Need::Replaced(_) => {}
            }
        }
        Ok(Self(gaps))
    }

    /// Whether everything can be enforced.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Operations that can't be enforced in full, each with a hook that is missing for it;
    /// sorted.
    pub fn pairs(&self) -> Vec<(Operation, &'static str)> {
        let of = |operation: &Operation| {
            let missing = self.0.iter();
            let missing = missing.filter(|hook| hook.ops & operation.bit() != 0);
            missing.map(|hook| (*operation, hook.name)).collect()
        };
        let all = Operation::ALL.iter();
        all.flat_map(|operation| -> Vec<_> { of(operation) })
            .collect()
    }

    /// What is missing for a rule.
    pub fn of(&self, rule: &Rule) -> Option<Gap> {
        let mut gap = Gap::default();
        for hook in &self.0 {
            let operations = needed(rule, hook);
            if operations != 0 {
                let hooks = vec![hook.name];
                gap.add(&Gap { operations, hooks });
            }
        }
        (gap.operations != 0).then_some(gap)
    }

    /// Whether something in a rule map can't be enforced.
    pub fn concern(&self, map: &RuleMap) -> bool {
        !self.is_empty() && map.rules.iter().any(|rule| self.of(rule).is_some())
    }

    /// What of a rule map's policies can't be enforced; those that can are left out.
    pub fn by_policy<'a>(&self, map: &'a RuleMap) -> Vec<Unenforceable<'a>> {
        let mut found: Vec<Unenforceable<'a>> = Vec::new();
        if self.is_empty() {
            return found;
        }
        for rule in &map.rules {
            let Some(gap) = self.of(rule) else {
                continue;
            };
            // Rules are sorted by policy.
            match found.last_mut().filter(|last| last.policy == rule.policy) {
                Some(last) => {
                    last.gap.add(&gap);
                    if last.rules.len() < MAX_NAMED {
                        last.rules.push(&rule.name);
                    }
                }
                None => found.push(Unenforceable {
                    policy: rule.policy,
                    rules: vec![&rule.name],
                    gap,
                }),
            }
        }
        found
    }
}

/// The operations for which a rule needs a hook.
fn needed(rule: &Rule, hook: &Hook) -> Ops {
    let of_others = match rule.matcher {
        Matcher::Network { .. } => hook.sockets == Sockets::Unix,
        // An abstract name is no file that is made or kept where it is.
        Matcher::Unix { ref paths, .. } => {
            hook.sockets == Sockets::Internet || paths.is_empty() && hook.ops & FILE_OPS != 0
        }
        _ => false,
    };
    if of_others {
        0
    } else {
        judged(rule) & hook.ops
    }
}

#[cfg(test)]
mod tests;
