//! From rules to what the automata are made of.

use bartizan_abi::op::{Category, Operation};

use super::address::AddressRule;
use super::effect::{Classes, Tag, category_ops};
use super::intern::Interner;
use super::leaf::{Leaves, Side};
use super::name::Names;
use super::path::Patterns;
use crate::pattern::{Component, Pattern};
use crate::rule_map::{Effect, Matcher, Rule, RuleMap, SocketKind};
use crate::unix::AbstractName;

/// The rules of a map, sorted by the automaton that decides which of them match.
pub(super) struct Collected<'a> {
    pub(super) names: Names,
    pub(super) classes: Classes,
    pub(super) process: Patterns,
    pub(super) files: Patterns,
    /// Tags of callers have the number of a list for a class.
    pub(super) callers: Patterns,
    pub(super) leaves: Leaves,
    /// Rules that match everything, things without a name too: programs, files.
    pub(super) everything: [Vec<Tag>; 2],
    pub(super) addresses: Vec<AddressRule<'a>>,
    pub(super) abstract_names: Vec<(Tag, &'a [AbstractName])>,
    pub(super) sockets: Vec<(Tag, &'a [SocketKind])>,
    /// Takes sockets out of a default of Deny.
    pub(super) exempt: Option<Tag>,
    /// By capability number.
    pub(super) capabilities: Vec<Vec<Tag>>,
    /// Rules about operations as a whole.
    pub(super) restrictions: Vec<Tag>,
    /// Patterns by origin, with their rules.
    pub(super) origins: Vec<(usize, &'a Pattern)>,
    lists: Interner<Vec<&'a [Component]>>,
}

/// Capability numbers of a table.
const CAPABILITIES: usize = 64;

impl<'a> Collected<'a> {
    pub(super) fn new(map: &'a RuleMap) -> Self {
        let mut all = Self {
            names: Names::new(),
            classes: Classes::new(),
            process: Patterns::new(),
            files: Patterns::new(),
            callers: Patterns::new(),
            leaves: Leaves::default(),
            everything: [Vec::new(), Vec::new()],
            addresses: Vec::new(),
            abstract_names: Vec::new(),
            sockets: Vec::new(),
            exempt: None,
            capabilities: vec![Vec::new(); CAPABILITIES],
            restrictions: Vec::new(),
            origins: Vec::new(),
            lists: Interner::new(),
        };
        for (number, rule) in map.rules.iter().enumerate() {
            all.rule(map, number, rule);
        }
        all
    }

    /// Number of lists of callers.
    pub(super) fn lists(&self) -> usize {
        self.lists.len()
    }

    fn rule(&mut self, map: &RuleMap, number: usize, rule: &'a Rule) {
        let from = self.list(number, &rule.from);
        let except = self.list(number, &rule.except_from);
        let mode = map.mode(rule);
        let tag = |all: &mut Self, category| {
            all.classes
                .tag(rule, number, mode, category, (from, except))
        };
        match &rule.matcher {
            Matcher::Process { paths } | Matcher::Files { paths, .. } => {
                let process = tag(self, Category::Process);
                let files = tag(self, Category::Files);
                for pattern in paths {
                    let origin = self.origin(number, pattern);
                    if let Some(tag) = process {
                        self.path(Side::Process, pattern, tag, origin);
                    }
                    if let Some(tag) = files {
                        self.path(Side::Files, pattern, tag, origin);
                    }
                }
            }
            Matcher::Network {
                protocols,
                addresses,
                ports,
                ..
            } => {
                if let Some(tag) = tag(self, Category::Network) {
                    self.addresses.push(AddressRule {
                        rule: number,
                        tag,
                        protocols,
                        addresses,
                        ports,
                    });
                }
            }
            Matcher::Unix { paths, names, .. } => {
                if let Some(tag) = tag(self, Category::Network) {
                    self.abstract_names.push((tag, names));
                }
                if let Some(tag) = tag(self, Category::Files) {
                    for pattern in paths {
                        let origin = self.origin(number, pattern);
                        self.path(Side::Files, pattern, tag, origin);
                    }
                }
            }
            Matcher::Sockets { kinds } => {
                if let Some(tag) = tag(self, Category::Network) {
                    self.sockets.push((tag, kinds));
                }
            }
            Matcher::Capabilities { capabilities } => {
                if let Some(tag) = tag(self, Category::Capabilities) {
                    for &capability in capabilities {
                        if let Some(tags) = self.capabilities.get_mut(usize::from(capability)) {
                            tags.push(tag);
                        }
                    }
                }
            }
            Matcher::Restrict(_) => {
                let tag = tag(self, Category::Restrict);
                self.restrictions.extend(tag);
            }
            Matcher::Default(category) => {
                let denies = rule.effect == Effect::DefaultDeny;
                if denies && category_ops(*category) & Operation::Socket.bit() != 0 {
                    self.exempt = Some(self.classes.exemption(Operation::Socket.bit()));
                }
            }
        }
    }

    fn path(&mut self, side: Side, pattern: &Pattern, tag: Tag, origin: u32) {
        if pattern.is_everything() {
            self.everything[side as usize].push(tag);
        } else if self.leaves.add(&mut self.names, pattern, side, tag) {
            return;
        }
        let patterns = match side {
            Side::Process => &mut self.process,
            Side::Files => &mut self.files,
        };
        patterns.add(&mut self.names, pattern, tag, origin);
    }

    /// The number of a list of callers, `None` for an empty one.
    fn list(&mut self, rule: usize, patterns: &'a [Pattern]) -> Option<u32> {
        if patterns.is_empty() {
            return None;
        }
        let mut list: Vec<&[Component]> = patterns.iter().map(Pattern::components).collect();
        list.sort_unstable();
        list.dedup();
        let before = self.lists.len();
        let number = self.lists.number(list);
        if self.lists.len() > before {
            for pattern in patterns {
                let origin = self.origin(rule, pattern);
                self.callers.add(
                    &mut self.names,
                    pattern,
                    Tag {
                        class: number,
                        rule: 0,
                    },
                    origin,
                );
            }
        }
        Some(number)
    }

    fn origin(&mut self, rule: usize, pattern: &'a Pattern) -> u32 {
        self.origins.push((rule, pattern));
        self.origins.len() as u32 - 1
    }
}
