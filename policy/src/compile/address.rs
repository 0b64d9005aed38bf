//! The address automaton: protocol, family, address and port, byte by byte.
//!
//! Built bottom-up from sorted prefixes: each node is made once all of its successors
//! are, and equal nodes are one, so the result is minimal without ever having been
//! larger. Inputs of one protocol and family all have the same length; the row counts
//! only at their end. Abstract names of Unix sockets have no length and no end: each of
//! their states has the row of the name that ends there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use bartizan_abi::address::{FAMILY_UNIX, PROTOCOL_UNIX};

use super::automaton::{Automaton, State};
use super::effect::Tag;
use super::intern::Interner;
use crate::rule_map::{Cidr, Protocol};
use crate::unix::AbstractName;

/// One rule.
pub(super) struct AddressRule<'a> {
    /// Its number.
    pub(super) rule: usize,
    pub(super) tag: Tag,
    pub(super) protocols: &'a [Protocol],
    pub(super) addresses: &'a [Cidr],
    pub(super) ports: &'a [RangeInclusive<u16>],
}

/// A rule's ports, once its protocol and address have matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Item {
    tag: Tag,
    /// Sorted; none for all ports.
    ports: Vec<(u16, u16)>,
}

/// A range of addresses of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    bytes: [u8; 16],
    bits: u8,
    item: u32,
}

/// A node: what each byte leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    /// Whatever follows, this is the row.
    Row(u32),
    /// The row if nothing follows, the default, and the bytes that lead elsewhere.
    Fork(u32, u32, Vec<(u8, u32)>),
}

/// The automaton of all rules; `row` numbers what matched.
pub(super) fn automaton(
    rules: &[AddressRule<'_>],
    abstract_names: &[(Tag, &[AbstractName])],
    row: &mut dyn FnMut(Vec<Tag>) -> u32,
) -> Automaton {
    let mut builder = Builder {
        nodes: Interner::new(),
        items: Interner::new(),
        row,
    };
    let rule_items: Vec<u32> = rules.iter().map(|rule| builder.item(rule)).collect();
    let mut names: Vec<(&AbstractName, Tag)> = abstract_names
        .iter()
        .flat_map(|(tag, names)| names.iter().map(|name| (name, *tag)))
        .collect();
    names.sort_unstable();
    let unix = builder.names(&names, 0, &[]);
    let none = builder.nodes.number(Node::Row(0));
    let mut by_rules: BTreeMap<(Vec<usize>, u32), u32> = BTreeMap::new();
    let mut protocol = |number: u8| {
        let active: Vec<usize> = (0..rules.len())
            .filter(|&rule| is_judged(rules[rule].protocols, number))
            .collect();
        let unix = if number == PROTOCOL_UNIX { unix } else { none };
        *by_rules.entry((active.clone(), unix)).or_insert_with(|| {
            let rules: Vec<(&AddressRule<'_>, u32)> = active
                .iter()
                .map(|&rule| (&rules[rule], rule_items[rule]))
                .collect();
            builder.families(&rules, unix)
        })
    };
    let by_protocol: Vec<u32> = (0..=255).map(&mut protocol).collect();
    let start = builder.fork(&|byte| by_protocol[usize::from(byte)]);
    builder.finish(start)
}

/// Whether a rule with these protocols is about that IP protocol number.
fn is_judged(protocols: &[Protocol], number: u8) -> bool {
    protocols.is_empty()
        || protocols.iter().any(|protocol| match protocol {
            Protocol::Tcp => number == 6,
            Protocol::Udp => number == 17 || number == 136,
            Protocol::Sctp => number == 132,
            Protocol::Icmp => number == 1 || number == 58,
        })
}

struct Builder<'a> {
    nodes: Interner<Node>,
    items: Interner<Item>,
    row: &'a mut dyn FnMut(Vec<Tag>) -> u32,
}

impl Builder<'_> {
    fn item(&mut self, rule: &AddressRule<'_>) -> u32 {
        let mut ports: Vec<(u16, u16)> = rule
            .ports
            .iter()
            .map(|range| (*range.start(), *range.end()))
            .collect();
        ports.sort_unstable();
        if ports.contains(&(0, u16::MAX)) {
            ports.clear();
        }
        self.items.number(Item {
            tag: rule.tag,
            ports,
        })
    }

    /// The node before byte `at` of abstract names that are the same up to there, with the
    /// tags of those that match whatever follows.
    fn names(&mut self, names: &[(&AbstractName, Tag)], at: usize, matched: &[Tag]) -> u32 {
        let ends = |prefix: bool| {
            names
                .iter()
                .filter(move |(name, _)| name.bytes().len() == at && name.is_prefix() == prefix)
                .map(|(_, tag)| *tag)
        };
        let mut matched = matched.to_vec();
        matched.extend(ends(true));
        let here = matched.iter().copied().chain(ends(false)).collect();
        let (here, rest) = ((self.row)(here), (self.row)(matched.clone()));
        let rest = self.nodes.number(Node::Row(rest));
        let longer: Vec<_> = names
            .iter()
            .copied()
            .filter(|(name, _)| name.bytes().len() > at)
            .collect();
        let edges = longer
            .chunk_by(|a, b| a.0.bytes()[at] == b.0.bytes()[at])
            .map(|same| (same[0].0.bytes()[at], self.names(same, at + 1, &matched)))
            .collect();
        self.ending(here, rest, edges)
    }

    fn families(&mut self, rules: &[(&AddressRule<'_>, u32)], unix: u32) -> u32 {
        let mut any: Vec<u32> = Vec::new();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (rule, item) in rules {
            if rule.addresses.is_empty() {
                any.push(*item);
            }
            for cidr in rule.addresses {
                let (bytes, of_family) = match cidr.address {
                    IpAddr::V4(address) => {
                        let mut bytes = [0; 16];
                        bytes[..4].copy_from_slice(&address.octets());
                        (bytes, &mut v4)
                    }
                    IpAddr::V6(address) => (address.octets(), &mut v6),
                };
                let bits = cidr
                    .prefix
                    .min(if cidr.address.is_ipv4() { 32 } else { 128 });
                of_family.push(Prefix {
                    bytes,
                    bits,
                    item: *item,
                });
            }
        }
        let v4 = self.family(v4, 4, &any);
        let v6 = self.family(v6, 16, &any);
        let none = self.nodes.number(Node::Row(0));
        self.fork(&|byte| match byte {
            4 => v4,
            6 => v6,
            FAMILY_UNIX => unix,
            _ => none,
        })
    }

    fn family(&mut self, mut prefixes: Vec<Prefix>, length: usize, any: &[u32]) -> u32 {
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut matched = any.to_vec();
        matched.extend(
            prefixes
                .iter()
                .filter(|prefix| prefix.bits == 0)
                .map(|p| p.item),
        );
        prefixes.retain(|prefix| prefix.bits > 0);
        let mut tails = BTreeMap::new();
        let matched = self.lowest(matched);
        self.address(&prefixes, 0, length, &matched, &mut tails)
    }

    /// The node before byte `at` of an address, with the rules that match whatever
    /// follows, and those that still depend on it.
    fn address(
        &mut self,
        prefixes: &[Prefix],
        at: usize,
        length: usize,
        matched: &[u32],
        tails: &mut BTreeMap<(usize, Vec<u32>), u32>,
    ) -> u32 {
        if prefixes.is_empty() {
            if let Some(&tail) = tails.get(&(at, matched.to_vec())) {
                return tail;
            }
            let tail = if at == length {
                self.ports(matched)
            } else {
                let next = self.address(&[], at + 1, length, matched, tails);
                self.node(next, Vec::new())
            };
            tails.insert((at, matched.to_vec()), tail);
            return tail;
        }
        let mut branches: BTreeMap<u8, (Vec<u32>, Vec<Prefix>)> = BTreeMap::new();
        for prefix in prefixes {
            let byte = prefix.bytes[at];
            let bits = usize::from(prefix.bits) - at * 8;
            if bits > 8 {
                branches.entry(byte).or_default().1.push(*prefix);
            } else {
                let host = (0xff_u16 >> bits) as u8;
                for byte in byte & !host..=byte | host {
                    branches.entry(byte).or_default().0.push(prefix.item);
                }
            }
        }
        let rest = self.address(&[], at + 1, length, matched, tails);
        let mut edges: Vec<(u8, u32)> = Vec::with_capacity(branches.len());
        for (byte, (mut items, deeper)) in branches {
            items.extend_from_slice(matched);
            let items = self.lowest(items);
            let next = self.address(&deeper, at + 1, length, &items, tails);
            if next != rest {
                edges.push((byte, next));
            }
        }
        if edges.len() < 128 {
            return self.node(rest, edges);
        }
        let mut next = [rest; 256];
        for (byte, to) in edges {
            next[usize::from(byte)] = to;
        }
        self.fork(&|byte| next[usize::from(byte)])
    }

    /// Items without those that add nothing; sorted.
    fn lowest(&self, mut items: Vec<u32>) -> Vec<u32> {
        items.sort_unstable();
        items.dedup();
        let value = |item: u32| &self.items.values()[item as usize];
        let all = items.clone();
        items.retain(|&item| {
            !all.iter().any(|&by| {
                let wider = value(by).ports.is_empty() || value(by).ports == value(item).ports;
                by != item && wider && value(by).tag.covers(value(item).tag)
            })
        });
        items
    }

    /// The node before the two bytes of the port.
    fn ports(&mut self, items: &[u32]) -> u32 {
        // Ports at which something begins or ends, and the rows from there on.
        let items: Vec<Item> = items
            .iter()
            .map(|item| self.items.value(*item).as_ref().clone())
            .collect();
        let mut starts = vec![0_u32];
        for (first, last) in items.iter().flat_map(|item| &item.ports) {
            starts.extend([u32::from(*first), u32::from(*last) + 1]);
        }
        starts.sort_unstable();
        starts.dedup();
        let nodes: Vec<u32> = starts
            .iter()
            .map(|&port| {
                let has = |&(first, last): &(u16, u16)| {
                    (u32::from(first)..=u32::from(last)).contains(&port)
                };
                let tags = items
                    .iter()
                    .filter(|item| item.ports.is_empty() || item.ports.iter().any(has))
                    .map(|item| item.tag)
                    .collect();
                let row = (self.row)(tags);
                self.nodes.number(Node::Row(row))
            })
            .collect();
        let node_of = |port: u32| nodes[starts.partition_point(|start| *start <= port) - 1];
        let high: Vec<u32> = (0..256)
            .map(|high| {
                let (first, last) = (high << 8, high << 8 | 0xff);
                if starts
                    .iter()
                    .any(|start| (first + 1..=last).contains(start))
                {
                    self.fork(&|low| node_of(first | u32::from(low)))
                } else {
                    node_of(first)
                }
            })
            .collect();
        self.fork(&|byte| high[usize::from(byte)])
    }

    /// A node whose successors are given by a function.
    fn fork(&mut self, next: &dyn Fn(u8) -> u32) -> u32 {
        let mut targets: Vec<u32> = (0..=255).map(next).collect();
        targets.sort_unstable();
        let groups = targets.chunk_by(|a, b| a == b);
        let default = groups
            .max_by_key(|group| group.len())
            .map_or(0, |group| group[0]);
        let edges: Vec<(u8, u32)> = (0..=255)
            .map(|byte| (byte, next(byte)))
            .filter(|edge| edge.1 != default)
            .collect();
        self.node(default, edges)
    }

    /// A node with a default that most bytes lead to, and edges of the others.
    fn node(&mut self, default: u32, edges: Vec<(u8, u32)>) -> u32 {
        if edges.is_empty() && matches!(*self.nodes.value(default), Node::Row(_)) {
            return default;
        }
        self.nodes.number(Node::Fork(0, default, edges))
    }

    /// The same, with the row of what ends here.
    fn ending(&mut self, row: u32, default: u32, edges: Vec<(u8, u32)>) -> u32 {
        if edges.is_empty() && *self.nodes.value(default) == Node::Row(row) {
            return default;
        }
        self.nodes.number(Node::Fork(row, default, edges))
    }

    fn finish(self, start: u32) -> Automaton {
        let states = self
            .nodes
            .values()
            .iter()
            .enumerate()
            .map(|(number, node)| match &**node {
                Node::Row(row) => State {
                    row: *row,
                    default: number as u32,
                    ..State::default()
                },
                Node::Fork(row, default, edges) => State {
                    row: *row,
                    default: *default,
                    edges: edges
                        .iter()
                        .map(|edge| (u32::from(edge.0), edge.1))
                        .collect(),
                    ..State::default()
                },
            });
        Automaton {
            states: states.collect(),
            starts: vec![start],
        }
    }
}
