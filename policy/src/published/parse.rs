//! From a published rule map back to the one that was linked.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation, Ops};
use bartizan_crds::{
    IpProtocol, LinkedAddresses, LinkedRule, RestrictedOperation, RuleCategory, RuleEffect,
    RuleMapSpec,
};
use serde::Serialize;
use serde_json::Value as Json;

use crate::capability;
use crate::pattern::Pattern;
use crate::rule_map::{Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, RuleMap};
use crate::unix::UnixName;
use crate::validate::{FieldPath, Problem, unix_sockets};

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
        unix,
        sockets,
        capabilities,
        restrict,
        everything,
        effect,
        ..
    } = rule;
    let unclear = || Problem {
        field: field.clone(),
        message: "exactly one of `process`, `files`, `network`, `unix`, `sockets`, \
                  `capabilities`, `restrict` and, for DefaultDeny, `everything` is needed"
            .to_owned(),
    };
    if everything.is_some() != (*effect == RuleEffect::DefaultDeny) {
        return Err(unclear());
    }
    let matcher = match (
        process,
        files,
        network,
        unix,
        sockets,
        capabilities,
        restrict,
        everything,
    ) {
        (Some(programs), None, None, None, None, None, None, None) => Matcher::Process {
            paths: patterns(&programs.paths, &field.key("process").key("paths"))?,
        },
        (None, Some(files), None, None, None, None, None, None) => Matcher::Files {
            paths: patterns(&files.paths, &field.key("files").key("paths"))?,
            operations: operations(&files.operations, FILE_OPS),
        },
        (None, None, Some(network), None, None, None, None, None) => {
            addresses(network, &field.key("network"))?
        }
        (None, None, None, Some(unix), None, None, None, None) => unix_sockets(
            operations(&unix.operations, ADDRESS_OPS),
            each(&unix.names, &field.key("unix").key("names"), |text| {
                UnixName::parse(text).map_err(|error| error.to_string())
            })?,
        ),
        (None, None, None, None, Some(sockets), None, None, None) => Matcher::Sockets {
            kinds: sockets.kinds.iter().map(|kind| (*kind).into()).collect(),
        },
        (None, None, None, None, None, Some(capabilities), None, None) => Matcher::Capabilities {
            capabilities: each(
                &capabilities.names,
                &field.key("capabilities").key("names"),
                |name| capability::number(name).ok_or_else(|| format!("no capability `{name}`")),
            )?,
        },
        (None, None, None, None, None, None, None, Some(category)) => {
            Matcher::Default(match category {
                RuleCategory::Process => Category::Process,
                RuleCategory::Files => Category::Files,
                RuleCategory::Network => Category::Network,
                RuleCategory::Capabilities => Category::Capabilities,
            })
        }
        (None, None, None, None, None, None, Some(restricted), None) => {
            Matcher::Restrict(match restricted {
                RestrictedOperation::Mount => Operation::Mount,
                RestrictedOperation::Ptrace => Operation::Ptrace,
                RestrictedOperation::Bpf => Operation::Bpf,
                RestrictedOperation::UserNamespace => Operation::UserNamespace,
                RestrictedOperation::ModuleLoad => Operation::ModuleLoad,
                RestrictedOperation::IoUring => Operation::IoUring,
            })
        }
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

/// The word of a value of the API.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(word)) => word,
        _ => unreachable!("enumerations of the API are words"),
    }
}
