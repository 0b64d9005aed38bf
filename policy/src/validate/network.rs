//! Rules of the `network` category: addresses, Unix sockets, kinds of sockets.

use bartizan_abi::op::{ADDRESS_OPS, Category, Operation, Ops};
use bartizan_crds::{IpProtocol, NetworkOperation, NetworkRule, RuleHead};

use crate::rule_map::{Matcher, Protocol, SocketKind};
use crate::unix::UnixName;

use super::address;
use super::field::{FieldPath, Problems};
use super::list::{each, not_empty, repeated};
use super::rules::ApiRule;

impl ApiRule for NetworkRule {
    const CATEGORY: Category = Category::Network;
    const FIELD: &'static str = "network";

    fn head(&self) -> &RuleHead {
        &self.head
    }

    fn matcher(&self, field: &FieldPath, problems: &mut Problems) -> Option<Matcher> {
        lists(self, field, problems);
        let list = |name: &str| field.key(name);
        let addresses = self.addresses.as_deref().unwrap_or_default();
        let addresses = each(addresses, &list("addresses"), problems, |text| {
            address::cidr(text)
        });
        let ports = self.ports.as_deref().unwrap_or_default();
        let ports = each(ports, &list("ports"), problems, address::ports);
        let unix = self.unix.as_deref().unwrap_or_default();
        let unix = each(unix, &list("unix"), problems, |text| UnixName::parse(text));
        let written = [
            ("operations", self.operations.is_some()),
            ("protocols", self.protocols.is_some()),
            ("addresses", self.addresses.is_some()),
            ("ports", self.ports.is_some()),
            ("unix", self.unix.is_some()),
        ];
        if let Some(sockets) = &self.sockets {
            for (name, _) in written.iter().filter(|(_, given)| *given) {
                problems.add(
                    list(name),
                    format!(
                        "`{name}` is about addresses and `sockets` about creating sockets: \
                         write two rules"
                    ),
                );
            }
            let kinds = sockets
                .iter()
                .map(|socket| SocketKind::from(*socket))
                .collect();
            return Some(Matcher::Sockets { kinds });
        }
        let operations = self.operations.as_ref().map_or(ADDRESS_OPS, |list| {
            list.iter().fold(0, |ops, op| ops | network_ops(*op))
        });
        if self.unix.is_some() {
            let of_ip = written[1..4].iter().filter(|(_, given)| *given);
            for (name, _) in of_ip {
                problems.add(
                    list(name),
                    format!(
                        "`{name}` is about IP addresses and `unix` about Unix sockets: write \
                         two rules"
                    ),
                );
            }
            return Some(unix_sockets(operations, unix?));
        }
        let protocols = self
            .protocols
            .iter()
            .flatten()
            .map(|protocol| match protocol {
                IpProtocol::Tcp => Protocol::Tcp,
                IpProtocol::Udp => Protocol::Udp,
                IpProtocol::Sctp => Protocol::Sctp,
                IpProtocol::Icmp => Protocol::Icmp,
            });
        Some(Matcher::Network {
            operations,
            protocols: protocols.collect(),
            addresses: addresses?,
            ports: ports?,
        })
    }
}

/// Notes lists that are empty or say something twice.
fn lists(rule: &NetworkRule, field: &FieldPath, problems: &mut Problems) {
    let list = |name: &str| field.key(name);
    not_empty(
        rule.operations.as_ref(),
        &list("operations"),
        "every operation",
        problems,
    );
    not_empty(
        rule.protocols.as_ref(),
        &list("protocols"),
        "every protocol",
        problems,
    );
    not_empty(
        rule.addresses.as_ref(),
        &list("addresses"),
        "every address",
        problems,
    );
    not_empty(rule.ports.as_ref(), &list("ports"), "every port", problems);
    for (name, is_empty) in [
        ("unix", rule.unix.as_ref().is_some_and(Vec::is_empty)),
        ("sockets", rule.sockets.as_ref().is_some_and(Vec::is_empty)),
    ] {
        if is_empty {
            let message = "the list is empty: leave it out for a rule about addresses";
            problems.add(list(name), message);
        }
    }
    repeated(
        rule.operations.as_deref().unwrap_or_default(),
        &list("operations"),
        problems,
    );
    repeated(
        rule.protocols.as_deref().unwrap_or_default(),
        &list("protocols"),
        problems,
    );
    repeated(
        rule.sockets.as_deref().unwrap_or_default(),
        &list("sockets"),
        problems,
    );
}

/// Paths and abstract names apart, as they are matched.
pub(crate) fn unix_sockets(operations: Ops, all: Vec<UnixName>) -> Matcher {
    let (mut paths, mut names) = (Vec::new(), Vec::new());
    for name in all {
        match name {
            UnixName::Path(pattern) => paths.push(pattern),
            UnixName::Abstract(name) => names.push(name),
        }
    }
    Matcher::Unix {
        operations,
        paths,
        names,
    }
}

/// What a word of `operations` covers. Whoever may serve at an address may do all of it;
/// whoever may not must not get there by `listen` alone, which binds where nothing is bound.
fn network_ops(operation: NetworkOperation) -> Ops {
    use Operation::{Accept, Bind, Connect, Listen, Send};
    match operation {
        NetworkOperation::Connect => Connect.bit(),
        NetworkOperation::Bind => Bind.bit() | Listen.bit() | Accept.bit(),
        NetworkOperation::Send => Send.bit(),
        NetworkOperation::Listen => Listen.bit(),
        NetworkOperation::Accept => Accept.bit(),
    }
}
