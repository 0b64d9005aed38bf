//! A verdict in terms a user knows: policies, rules, files and lines.
//!
//! The verdict itself comes from the compiled tables, as in the kernel; this only
//! tells what it means. Which rules matched but lost is asked of the reference
//! evaluator, because the tables keep only what decides.

use bartizan_abi::verdict::Outcome;
use serde::Serialize;

use crate::operation::{Caller, Name, Object, Request, Verdict};
use crate::policy::Policy;
use crate::rule_map::{Effect, Mode, PolicyInfo, RuleMap};
use crate::{capability, reference, socket};

/// One operation, what is decided and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether the operation goes on.
    pub verdict: Permission,
    /// It goes on, but wouldn't if the policies in Audit were enforced.
    pub would_deny: bool,
    /// [`outcome_name`] of the outcome.
    pub outcome: &'static str,
    /// The policy that decided: `namespace/name`, or `name` of a cluster policy.
    pub policy: Option<String>,
    /// Its rule that decided.
    pub rule: Option<String>,
    /// [`Operation::name`](bartizan_abi::op::Operation::name).
    pub operation: &'static str,
    /// What it is done to: a path, an address and port, a socket, a capability.
    pub target: String,
    /// The calling executable, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Severity of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// Message of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tags of the policy that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Every rule that matched, the one that decided included, in canonical order.
    pub matched: Vec<Match>,
}

/// Whether an operation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// It does.
    Allow,
    /// It doesn't.
    Deny,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Its policy.
    pub policy: String,
    /// Its name.
    pub rule: String,
    /// `allow`, `deny`, `audit` or `default-deny`.
    pub effect: &'static str,
    /// `Enforce` or `Audit`.
    pub mode: &'static str,
    /// It is the one that decided.
    pub decided: bool,
    /// Where it was written: `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// What an outcome is called in reports: `allow`, `deny`, `would-deny`, `audit`,
/// `unresolved`.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::WouldDeny => "would-deny",
        Outcome::Audit => "audit",
        Outcome::Unresolved => "unresolved",
    }
}

/// Tells why the tables of `map`, linked from `policies`, gave a request this verdict.
pub fn explain(
    policies: &[Policy],
    map: &RuleMap,
    request: &Request,
    verdict: Verdict,
) -> Explanation {
    let matching = reference::matching_rules(map, request);
    let decided = verdict.rule.or_else(|| permitting(map, &matching));
    let info = decided.map(|rule| &map.policies[map.rules[rule].policy]);
    Explanation {
        verdict: match verdict.outcome {
            Outcome::Deny => Permission::Deny,
            _ => Permission::Allow,
        },
        would_deny: verdict.outcome == Outcome::WouldDeny,
        outcome: outcome_name(verdict.outcome),
        policy: info.map(PolicyInfo::reference),
        rule: decided.map(|rule| map.rules[rule].name.clone()),
        operation: request.operation.name(),
        target: target(&request.object),
        executable: match &request.caller {
            Caller::Executable(name) => Some(name_text(name)),
            Caller::Runtime => None,
        },
        severity: info.and_then(|info| info.severity),
        message: info.and_then(|info| info.message.clone()),
        tags: info.map(|info| info.tags.clone()).unwrap_or_default(),
        matched: matching
            .iter()
            .map(|&rule| matched(policies, map, rule, decided))
            .collect(),
    }
}

/// The allow rule without which a default would have denied.
fn permitting(map: &RuleMap, matching: &[usize]) -> Option<usize> {
    let first = |effect: Effect, enforced: bool| {
        matching.iter().copied().find(|&number| {
            let rule = &map.rules[number];
            rule.effect == effect && (!enforced || map.mode(rule) == Mode::Enforce)
        })
    };
    first(Effect::DefaultDeny, false)?;
    // An enforced default is only beaten by an enforced rule.
    let enforced = first(Effect::DefaultDeny, true).is_some();
    first(Effect::Allow, enforced)
}

fn matched(policies: &[Policy], map: &RuleMap, number: usize, decided: Option<usize>) -> Match {
    let rule = &map.rules[number];
    let info = &map.policies[rule.policy];
    let policy = policies.iter().find(|policy| policy.info == *info);
    let place = policy.and_then(|policy| {
        let origin = policy.origin.as_ref()?;
        let index = policy
            .rules
            .iter()
            .position(|known| known.name == rule.name)?;
        Some(format!("{}:{}", origin.file, origin.rules.get(index)?))
    });
    Match {
        policy: info.reference(),
        rule: rule.name.clone(),
        effect: match rule.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
            Effect::Audit => "audit",
            Effect::DefaultDeny => "default-deny",
        },
        mode: match info.mode {
            Mode::Enforce => "Enforce",
            Mode::Audit => "Audit",
        },
        decided: decided == Some(number),
        place,
    }
}

fn name_text(name: &Name) -> String {
    match name {
        Name::Path(path) => String::from_utf8_lossy(path).into_owned(),
        Name::Unresolved => "unnamed".to_owned(),
    }
}

/// An object as reports show it.
pub fn target(object: &Object) -> String {
    let word = |name: Option<&str>, number: u8| name.map_or(number.to_string(), str::to_owned);
    match object {
        Object::File { name, .. } => name_text(name),
        Object::Address {
            protocol,
            address,
            port,
        } => {
            let protocol = word(socket::protocol_name(*protocol), *protocol);
            format!("{protocol} {}", std::net::SocketAddr::new(*address, *port))
        }
        Object::Socket { family, kind } => {
            let family = word(socket::family_name(*family), *family);
            format!("{family} {}", word(socket::kind_name(*kind), *kind))
        }
        Object::Capability(number) => word(capability::name(*number), *number),
    }
}
