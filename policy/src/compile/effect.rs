//! What a matching rule does, and which rules do the same.
//!
//! Rules of one *class* have the same effect on the same callers; only the lowest of
//! those that match is ever named. So wherever one is certain to match, the higher ones
//! of its class need not be followed any further, which keeps automata small.

use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, MOVE_OPS, Operation, Ops, PROCESS_OPS};

use super::intern::Interner;
use crate::rule_map::{Effect, Matcher, Mode, Rule};

/// A rule as one automaton sees it. Ordered by class, then rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tag {
    /// Number of its [`Class`].
    pub(super) class: u32,
    /// Number of the rule; 0 for those that are never named.
    pub(super) rule: u32,
}

impl Tag {
    /// Whether `other` adds nothing where this one matches.
    pub(super) fn covers(self, other: Self) -> bool {
        self.class == other.class && self.rule <= other.rule
    }
}

/// Everything about a rule but its number and what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    /// Never [`Effect::DefaultDeny`].
    pub(super) effect: Effect,
    pub(super) mode: Mode,
    /// Operations on what it matches.
    pub(super) ops: Ops,
    /// Operations on what it matches, whoever in `from` calls.
    pub(super) moves: Ops,
    /// Operations on ancestors of what it matches, whoever in `from` calls.
    pub(super) above: Ops,
    /// Number of the list of callers; `None`: any.
    pub(super) from: Option<u32>,
    /// Number of the list of excepted callers.
    pub(super) except: Option<u32>,
    pub(super) unless_owner: bool,
}

/// The classes of a rule map.
pub(super) struct Classes(Interner<Class>);

impl Classes {
    pub(super) fn new() -> Self {
        Self(Interner::new())
    }

    /// The tag of rule number `rule` for things of `category`, `None` if it says
    /// nothing of them. `from` and `except` are the numbers of its lists of callers.
    pub(super) fn tag(
        &mut self,
        rule: &Rule,
        number: usize,
        mode: Mode,
        category: Category,
        (from, except): (Option<u32>, Option<u32>),
    ) -> Option<Tag> {
        let denies = rule.effect == Effect::Deny;
        let (ops, named) = match (&rule.matcher, category) {
            (Matcher::Process { .. }, Category::Process) => (PROCESS_OPS, false),
            (Matcher::Process { .. }, Category::Files) if denies => (0, true),
            (Matcher::Files { operations, .. }, Category::Files) => (operations & FILE_OPS, true),
            (
                Matcher::Network { operations, .. } | Matcher::Unix { operations, .. },
                Category::Network,
            ) => (operations & ADDRESS_OPS, false),
            // By path: a socket's file is one that can be moved.
            (Matcher::Unix { operations, .. }, Category::Files) => (operations & ADDRESS_OPS, true),
            (Matcher::Sockets { .. }, Category::Network) => (Operation::Socket.bit(), false),
            (Matcher::Capabilities { .. }, Category::Capabilities) => {
                (Operation::Capable.bit(), false)
            }
            (Matcher::Restrict(operation), Category::Restrict) => (operation.bit(), false),
            _ => return None,
        };
        let moved = named && denies;
        let has_owner = matches!(category, Category::Process | Category::Files);
        let class = self.0.number(Class {
            effect: rule.effect,
            mode,
            ops,
            moves: if moved { MOVE_OPS } else { 0 },
            above: if moved { Operation::Rename.bit() } else { 0 },
            from,
            except,
            unless_owner: rule.unless_owner && has_owner,
        });
        let rule = if rule.effect == Effect::Allow {
            0
        } else {
            number as u32
        };
        Some(Tag { class, rule })
    }

    /// A tag that allows an operation to everybody.
    pub(super) fn exemption(&mut self, ops: Ops) -> Tag {
        let class = self.0.number(Class {
            effect: Effect::Allow,
            mode: Mode::Enforce,
            ops,
            moves: 0,
            above: 0,
            from: None,
            except: None,
            unless_owner: false,
        });
        Tag { class, rule: 0 }
    }

    pub(super) fn class(&self, tag: Tag) -> Class {
        *self.0.value(tag.class)
    }
}

/// The operations that a rule or a default denies or reports. A deny rule on a name has
/// those along with it that would move the object out from under the name.
pub fn judged(rule: &Rule) -> Ops {
    let ops = match (&rule.matcher, rule.effect) {
        (_, Effect::Allow) => 0,
        (Matcher::Process { .. }, _) => PROCESS_OPS,
        (Matcher::Files { operations, .. }, _) => operations & FILE_OPS,
        (Matcher::Network { operations, .. } | Matcher::Unix { operations, .. }, _) => {
            operations & ADDRESS_OPS
        }
        (Matcher::Sockets { .. }, _) => Operation::Socket.bit(),
        (Matcher::Capabilities { .. }, _) => Operation::Capable.bit(),
        (Matcher::Restrict(operation), _) => operation.bit(),
        (Matcher::Default(category), _) => category_ops(*category),
    };
    match (&rule.matcher, rule.effect) {
        (Matcher::Process { .. } | Matcher::Files { .. } | Matcher::Unix { .. }, Effect::Deny) => {
            ops | MOVE_OPS
        }
        _ => ops,
    }
}

/// All operations of a category.
pub(super) fn category_ops(category: Category) -> Ops {
    Operation::ALL
        .iter()
        .filter(|operation| operation.category() == category)
        .fold(0, |ops, operation| ops | operation.bit())
}
