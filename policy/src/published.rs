//! Rule maps as the operator publishes them: the API's `RuleMap` and back.
//!
//! ```text
//!   operator: RuleMap ─► RuleMapSpec, name    enforcer: RuleMapSpec ─► RuleMap
//! ```
//!
//! Lossless for every rule map that [`crate::link`] makes, so that a node compiles what
//! the operator linked. The published form is for people too: words instead of numbers,
//! and each policy with its rules.

mod parse;

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation, Ops};
use bartizan_crds::{
    IpProtocol, LinkedAddresses, LinkedCapabilities, LinkedFiles, LinkedPolicy, LinkedPrograms,
    LinkedRule, LinkedSockets, LinkedUnix, RuleCategory, RuleEffect, RuleMapSpec,
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::pattern::Pattern;
use crate::rule_map::{
    Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, RuleMap, SocketKind,
};
use crate::{capability, socket};

pub use parse::parse;

/// Bytes of the digest that are a rule map's name: 160 bits, 40 letters.
const NAME_BYTES: usize = 20;

/// The name of a published rule map: the start of the SHA-256 digest of its JSON, in hex.
pub fn name(spec: &RuleMapSpec) -> String {
    let json = serde_json::to_vec(spec).expect("a rule map is JSON");
    let mut name = String::with_capacity(2 * NAME_BYTES);
    for byte in &Sha256::digest(&json)[..NAME_BYTES] {
        write!(name, "{byte:02x}").expect("strings take everything");
    }
    name
}

/// What is published of a rule map whose rules are in the order of their policies.
pub fn publish(map: &RuleMap) -> RuleMapSpec {
    let mut policies: Vec<LinkedPolicy> = map.policies.iter().map(policy).collect();
    for rule in &map.rules {
        policies[rule.policy].rules.push(published_rule(rule));
    }
    RuleMapSpec { policies }
}

fn policy(info: &PolicyInfo) -> LinkedPolicy {
    LinkedPolicy {
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        mode: match info.mode {
            Mode::Audit => bartizan_crds::Mode::Audit,
            Mode::Enforce => bartizan_crds::Mode::Enforce,
        },
        severity: info.severity,
        message: info.message.clone(),
        tags: info.tags.clone(),
        rules: Vec::new(),
    }
}

fn published_rule(rule: &Rule) -> LinkedRule {
    let mut published = LinkedRule {
        name: rule.name.clone(),
        effect: match rule.effect {
            Effect::Deny => RuleEffect::Deny,
            Effect::Allow => RuleEffect::Allow,
            Effect::Audit => RuleEffect::Audit,
            Effect::DefaultDeny => RuleEffect::DefaultDeny,
        },
        process: None,
        files: None,
        network: None,
        unix: None,
        sockets: None,
        capabilities: None,
        restrict: None,
        everything: None,
        from: texts(&rule.from),
        except_from: texts(&rule.except_from),
        unless_owner: rule.unless_owner,
    };
    match &rule.matcher {
        Matcher::Process { paths } => {
            published.process = Some(LinkedPrograms {
                paths: texts(paths),
            });
        }
        Matcher::Files { paths, operations } => {
            published.files = Some(LinkedFiles {
                paths: texts(paths),
                operations: operation_words(*operations, FILE_OPS),
            });
        }
        Matcher::Network {
            operations,
            protocols,
            addresses,
            ports,
        } => {
            published.network = Some(LinkedAddresses {
                operations: operation_words(*operations, ADDRESS_OPS),
                protocols: protocols.iter().map(|p| protocol_word(*p)).collect(),
                addresses: addresses.iter().map(cidr_text).collect(),
                ports: ports.iter().map(port_text).collect(),
            });
        }
        Matcher::Unix {
            operations,
            paths,
            names,
        } => {
            let names = names.iter().map(ToString::to_string);
            published.unix = Some(LinkedUnix {
                operations: operation_words(*operations, ADDRESS_OPS),
                names: texts(paths).into_iter().chain(names).collect(),
            });
        }
        Matcher::Sockets { kinds } => {
            let word = |kind: &SocketKind| match *kind {
                SocketKind::Family(family) => socket::family_name(family),
                SocketKind::IpType(kind) => socket::kind_name(kind),
            };
            published.sockets = Some(LinkedSockets {
                kinds: kinds
                    .iter()
                    .map(|kind| {
                        let word = word(kind).expect("policies name only sockets with a word");
                        from_word(word).expect("the tables have the API's words")
                    })
                    .collect(),
            });
        }
        Matcher::Capabilities { capabilities } => {
            let name = |number: &u8| {
                let name = capability::name(*number);
                name.expect("policies name only capabilities with a name")
                    .to_owned()
            };
            published.capabilities = Some(LinkedCapabilities {
                names: capabilities.iter().map(name).collect(),
            });
        }
        Matcher::Restrict(operation) => {
            let word = from_word(operation.name());
            published.restrict = Some(word.expect("API and kernel share these words"));
        }
        Matcher::Default(category) => {
            published.everything = Some(match category {
                Category::Process => RuleCategory::Process,
                Category::Files => RuleCategory::Files,
                Category::Network => RuleCategory::Network,
                Category::Capabilities => RuleCategory::Capabilities,
                Category::Restrict => unreachable!("`restrict` has no default"),
            });
        }
    }
    published
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

/// A word of the API as its type.
fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(Json::from(word)).ok()
}

/// Words of operations; none for all of them, which are most of what large maps would say.
fn operation_words<T: DeserializeOwned>(operations: Ops, all: Ops) -> Vec<T> {
    if operations == all {
        return Vec::new();
    }
    Operation::ALL
        .iter()
        .filter(|operation| operations & operation.bit() != 0)
        .map(|operation| from_word(operation.name()).expect("API and kernel share these words"))
        .collect()
}

fn protocol_word(protocol: Protocol) -> IpProtocol {
    match protocol {
        Protocol::Tcp => IpProtocol::Tcp,
        Protocol::Udp => IpProtocol::Udp,
        Protocol::Sctp => IpProtocol::Sctp,
        Protocol::Icmp => IpProtocol::Icmp,
    }
}

fn cidr_text(cidr: &Cidr) -> String {
    format!("{}/{}", cidr.address, cidr.prefix)
}

fn port_text(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::alone;
    use crate::load::{Source, load};

    fn published(rules: &str) -> RuleMapSpec {
        let text = format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: web, namespace: shop }}\nspec:\n  selector: {{}}\n{rules}"
        );
        let policies = load(&[Source::new("p.yaml", text)]).unwrap();
        publish(&alone(&policies[0]).unwrap())
    }

    #[test]
    fn a_published_rule_map_reads_like_its_policies() {
        let spec = published(
            "  mode: Enforce
  files: { deny: [{ paths: [/etc/shadow], operations: [Write] }] }
  network: { default: Deny, allow: [{ addresses: [10.1.2.3], ports: [443, 80-81] }] }
",
        );
        let json = serde_json::to_value(&spec).unwrap();
        let expected = serde_json::json!({ "policies": [{
            "namespace": "shop",
            "name": "web",
            "mode": "Enforce",
            "rules": [
                { "name": "files.deny[0]", "effect": "Deny", "files": {
                    "paths": ["/etc/shadow"], "operations": ["Write", "Append", "Truncate"],
                } },
                { "name": "network.allow[0]", "effect": "Allow", "network": {
                    "addresses": ["10.1.2.3/32"],
                    "ports": ["443", "80-81"],
                } },
                { "name": "network.default", "effect": "DefaultDeny", "everything": "Network" },
            ],
        }] });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_name_is_a_digest_of_the_content_and_never_changes() {
        let one = published("  process: { deny: [{ paths: [/a] }] }\n");
        let other = published("  process: { deny: [{ paths: [/b] }] }\n");
        assert_ne!(name(&one), name(&other));
        // Another digest for the same rules would rewrite every object of a cluster.
        assert_eq!(name(&one), "4ce646ecd53e78d4cc52dfe5698392d4fc1d63de");
    }

    #[test]
    fn what_no_operator_publishes_is_refused_with_its_place() {
        let good = published("  process: { deny: [{ paths: [/a] }] }\n");
        let check = |change: fn(&mut LinkedRule), expected: &str| {
            let mut spec = good.clone();
            change(&mut spec.policies[0].rules[0]);
            assert_eq!(parse(&spec).unwrap_err().to_string(), expected);
        };
        check(
            |rule| rule.from = vec!["a".to_owned()],
            "spec.policies[0].rules[0].from[0]: `a` is not absolute: start with `/`, or with \
             `**/` for any directory",
        );
        let one = "spec.policies[0].rules[0]: exactly one of `process`, `files`, `network`, `unix`, \
                   `sockets`, `capabilities`, `restrict` and, for DefaultDeny, `everything` is \
                   needed";
        check(|rule| rule.process = None, one);
        check(|rule| rule.everything = Some(RuleCategory::Files), one);
        check(|rule| rule.effect = RuleEffect::DefaultDeny, one);
        check(
            |rule| {
                rule.process = None;
                rule.network = Some(LinkedAddresses {
                    operations: Vec::new(),
                    protocols: Vec::new(),
                    addresses: vec!["10.0.0.0/33".to_owned()],
                    ports: Vec::new(),
                });
            },
            "spec.policies[0].rules[0].network.addresses[0]: no CIDR `10.0.0.0/33`",
        );
    }
}
