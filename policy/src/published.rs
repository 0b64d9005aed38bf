//! Rule maps as the operator publishes them: the API's `RuleMap` and back.
//!
//! ```text
//!   operator: RuleMap ─► RuleMapSpec, name    enforcer: RuleMapSpec ─► RuleMap
//! ```
//!
//! Lossless for every rule map that [`crate::link`] makes, so that a node compiles what
//! the operator linked. The published form is for people too: words instead of numbers,
//! and each policy with its rules.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation, Ops};
use bartizan_crds::{
    IpProtocol, LinkedAddresses, LinkedCapabilities, LinkedFiles, LinkedPolicy, LinkedPrograms,
    LinkedRule, LinkedSockets, RuleCategory, RuleEffect, RuleMapSpec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::pattern::Pattern;
use crate::rule_map::{
    Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, RuleMap, SocketKind,
};
use crate::validate::{FieldPath, Problem};
use crate::{capability, socket};

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
        sockets: None,
        capabilities: None,
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
        Matcher::Default(category) => {
            published.everything = Some(match category {
                Category::Process => RuleCategory::Process,
                Category::Files => RuleCategory::Files,
                Category::Network => RuleCategory::Network,
                Category::Capabilities => RuleCategory::Capabilities,
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

/// The word of a value of the API.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(word)) => word,
        _ => unreachable!("enumerations of the API are words"),
    }
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

/// The rule map that was published, or the first thing in it that this version doesn't
/// understand.
pub fn parse(spec: &RuleMapSpec) -> Result<RuleMap, Problem> {
    let mut map = RuleMap::default();
    let field = FieldPath::default().key("spec").key("policies");
    for (number, policy) in spec.policies.iter().enumerate() {
        map.policies.push(PolicyInfo {
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            mode: match policy.mode {
                bartizan_crds::Mode::Audit => Mode::Audit,
                bartizan_crds::Mode::Enforce => Mode::Enforce,
            },
            severity: policy.severity,
            message: policy.message.clone(),
            tags: policy.tags.clone(),
        });
        let field = field.index(number).key("rules");
        for (i, rule) in policy.rules.iter().enumerate() {
            let rule = parse_rule(rule, number, &field.index(i))?;
            map.rules.push(rule);
        }
    }
    Ok(map)
}

fn parse_rule(rule: &LinkedRule, policy: usize, field: &FieldPath) -> Result<Rule, Problem> {
    Ok(Rule {
        policy,
        name: rule.name.clone(),
        effect: match rule.effect {
            RuleEffect::Deny => Effect::Deny,
            RuleEffect::Allow => Effect::Allow,
            RuleEffect::Audit => Effect::Audit,
            RuleEffect::DefaultDeny => Effect::DefaultDeny,
        },
        matcher: matcher(rule, field)?,
        from: patterns(&rule.from, &field.key("from"))?,
        except_from: patterns(&rule.except_from, &field.key("exceptFrom"))?,
        unless_owner: rule.unless_owner,
    })
}

fn matcher(rule: &LinkedRule, field: &FieldPath) -> Result<Matcher, Problem> {
    let LinkedRule {
        process,
        files,
        network,
        sockets,
        capabilities,
        everything,
        effect,
        ..
    } = rule;
    let unclear = || Problem {
        field: field.clone(),
        message: "exactly one of `process`, `files`, `network`, `sockets`, `capabilities` and, \
                  for DefaultDeny, `everything` is needed"
            .to_owned(),
    };
    if everything.is_some() != (*effect == RuleEffect::DefaultDeny) {
        return Err(unclear());
    }
    let matcher = match (process, files, network, sockets, capabilities, everything) {
        (Some(programs), None, None, None, None, None) => Matcher::Process {
            paths: patterns(&programs.paths, &field.key("process").key("paths"))?,
        },
        (None, Some(files), None, None, None, None) => Matcher::Files {
            paths: patterns(&files.paths, &field.key("files").key("paths"))?,
            operations: operations(&files.operations, FILE_OPS),
        },
        (None, None, Some(network), None, None, None) => addresses(network, &field.key("network"))?,
        (None, None, None, Some(sockets), None, None) => Matcher::Sockets {
            kinds: sockets.kinds.iter().map(|kind| (*kind).into()).collect(),
        },
        (None, None, None, None, Some(capabilities), None) => Matcher::Capabilities {
            capabilities: each(
                &capabilities.names,
                &field.key("capabilities").key("names"),
                |name| capability::number(name).ok_or_else(|| format!("no capability `{name}`")),
            )?,
        },
        (None, None, None, None, None, Some(category)) => Matcher::Default(match category {
            RuleCategory::Process => Category::Process,
            RuleCategory::Files => Category::Files,
            RuleCategory::Network => Category::Network,
            RuleCategory::Capabilities => Category::Capabilities,
        }),
        _ => return Err(unclear()),
    };
    Ok(matcher)
}

fn addresses(network: &LinkedAddresses, field: &FieldPath) -> Result<Matcher, Problem> {
    let protocols = network.protocols.iter().map(|protocol| match protocol {
        IpProtocol::Tcp => Protocol::Tcp,
        IpProtocol::Udp => Protocol::Udp,
        IpProtocol::Sctp => Protocol::Sctp,
        IpProtocol::Icmp => Protocol::Icmp,
    });
    Ok(Matcher::Network {
        operations: operations(&network.operations, ADDRESS_OPS),
        protocols: protocols.collect(),
        addresses: each(&network.addresses, &field.key("addresses"), |text| {
            parse_cidr(text).ok_or_else(|| format!("no CIDR `{text}`"))
        })?,
        ports: each(&network.ports, &field.key("ports"), |text| {
            parse_ports(text).ok_or_else(|| format!("no range of ports `{text}`"))
        })?,
    })
}

/// Unlike those of policies, these are normalised: nothing is masked, mapped or guessed.
fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= bits).then_some(Cidr { address, prefix })
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports = first.parse().ok()?..=last.parse().ok()?;
    (!ports.is_empty()).then_some(ports)
}

fn patterns(texts: &[String], field: &FieldPath) -> Result<Vec<Pattern>, Problem> {
    each(texts, field, |text| {
        Pattern::parse(text).map_err(|error| error.to_string())
    })
}

fn each<T>(
    texts: &[String],
    field: &FieldPath,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    let parsed = texts.iter().enumerate().map(|(i, text)| {
        parse(text).map_err(|message| Problem {
            field: field.index(i),
            message,
        })
    });
    parsed.collect()
}

/// Bits of exactly these words; of all that there are, if there are none.
fn operations(words: &[impl Serialize], known: Ops) -> Ops {
    if words.is_empty() {
        return known;
    }
    let words: Vec<String> = words.iter().map(word).collect();
    Operation::ALL
        .iter()
        .filter(|operation| known & operation.bit() != 0)
        .filter(|operation| words.iter().any(|word| word == operation.name()))
        .fold(0, |ops, operation| ops | operation.bit())
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
        let one = "spec.policies[0].rules[0]: exactly one of `process`, `files`, `network`, \
                   `sockets`, `capabilities` and, for DefaultDeny, `everything` is needed";
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
