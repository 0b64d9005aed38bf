//! A verdict in terms a user knows: policies, rules, files and lines.
//!
//! The verdict itself comes from the compiled tables, as in the kernel; this only
//! tells what it means. Which rules matched but lost is asked of the reference
//! evaluator, because the tables keep only what decides.

use bartizan_abi::verdict::Outcome;
use serde::Serialize;

use crate::operation::{Caller, Name, Object, Request, UnixSocket, Verdict};
use crate::policy::Policy;
use crate::printable::push_path;
use crate::rule_map::{Effect, Mode, PolicyInfo, RuleMap};
use crate::{capability, reference, socket};

/// One operation, what is decided and why. As JSON: what isn't known is left out, lists
/// are always there.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Its rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// [`Operation::name`](bartizan_abi::op::Operation::name).
    pub operation: &'static str,
    /// What it is done to: a path (see [`push_path`]), an address and port, a socket, a
    /// capability, or `anything`.
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
    pub tags: Vec<String>,
    /// Every rule that matched, the one that decided included, in canonical order.
    pub matched: Vec<Match>,
    /// Without a calling executable: the rules whose `from` or `exceptFrom` may give
    /// another answer for one, in canonical order.
    pub depends_on_caller: Vec<Match>,
    /// The policies that select the workload: `namespace/name`, in canonical order.
    pub selecting: Vec<String>,
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
    let mut matching = reference::matching_rules(map, request);
    // The tables have the last word, whatever the reference thinks.
    if let Some(rule) = verdict.rule
        && let Err(place) = matching.binary_search(&rule)
    {
        matching.insert(place, rule);
    }
    let decided = verdict.rule.or_else(|| permitting(map, &matching));
    let info = decided.map(|rule| &map.policies[map.rules[rule].policy]);
    let by_caller = match request.caller {
        Caller::Executable(_) => Vec::new(),
        Caller::Runtime => reference::rules_that_depend_on_caller(map, request),
    };
    let described = |rules: &[usize]| {
        let rules = rules.iter();
        rules
            .map(|&rule| matched(policies, map, rule, decided))
            .collect()
    };
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
        matched: described(&matching),
        depends_on_caller: described(&by_caller),
        selecting: map.policies.iter().map(PolicyInfo::reference).collect(),
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
        Name::Path(path) => {
            let mut text = String::new();
            push_path(&mut text, path);
            text
        }
        Name::Unresolved => "unnamed".to_owned(),
    }
}

/// An object as reports show it.
pub fn target(object: &Object) -> String {
    let word = |name: Option<&str>, number: u8| name.map_or(number.to_string(), str::to_owned);
    match object {
        Object::File { name, .. } | Object::Unix(UnixSocket::Path(name)) => name_text(name),
        Object::Address {
            protocol,
            address,
            port,
        } => {
            let protocol = word(socket::protocol_name(*protocol), *protocol);
            format!("{protocol} {}", std::net::SocketAddr::new(*address, *port))
        }
        Object::Unix(UnixSocket::Abstract(name)) => {
            let mut text = "@".to_owned();
            push_path(&mut text, name);
            text
        }
        Object::Socket { family, kind } => {
            let family = word(socket::family_name(*family), *family);
            format!("{family} {}", word(socket::kind_name(*kind), *kind))
        }
        Object::Capability(number) => word(capability::name(*number), *number),
        Object::Anything => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::evaluate::evaluate;
    use crate::link::{Workload, link};
    use crate::load::{Source, load};
    use crate::request::parse_request;

    fn policy(name: &str, mode: &str, rules: &str) -> String {
        format!(
            "---\napiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: {name} }}\nspec: {{ selector: {{}}, mode: {mode}, {rules} }}\n"
        )
    }

    fn explained(policies: &str, words: &str) -> Explanation {
        let policies = load(&[Source::new("p.yaml", policies)]).unwrap();
        let map = link(&policies, &Workload::default()).unwrap();
        let request = parse_request(&words.split(' ').collect::<Vec<_>>()).unwrap();
        let verdict = evaluate(&compile(&map).unwrap(), &request);
        explain(&policies, &map, &request, verdict)
    }

    /// Checks the outcome, the rule that decided, and those that lost.
    #[track_caller]
    fn check(policies: &str, words: &str, outcome: &str, decided: Option<&str>, lost: &[&str]) {
        let explained = explained(policies, words);
        let name = |rule: &Match| format!("{} {}", rule.policy, rule.rule);
        let found = explained.matched.iter().find(|rule| rule.decided).map(name);
        let others: Vec<String> = explained
            .matched
            .iter()
            .filter(|rule| !rule.decided)
            .map(name)
            .collect();
        assert_eq!(
            (explained.outcome, found.as_deref()),
            (outcome, decided),
            "{words}"
        );
        assert_eq!(others, lost, "{words}");
    }

    #[test]
    fn an_allow_rule_decides_where_a_default_would_have_denied() {
        let rules = "process: { default: Deny, allow: [{ paths: [/a] }] }";
        let text = policy("list", "Enforce", rules)
            + &policy("idle", "Enforce", "files: { allow: [{ paths: [/a] }] }");
        let allow = Some("default/list process.allow[0]");
        check(
            &text,
            "exec /a",
            "allow",
            allow,
            &["default/list process.default"],
        );
        check(
            &text,
            "exec /b",
            "deny",
            Some("default/list process.default"),
            &[],
        );
        check(
            &text,
            "file read /a",
            "allow",
            None,
            &["default/idle files.allow[0]"],
        );
        check(&text, "capability BPF", "allow", None, &[]);
    }

    #[test]
    fn an_enforced_default_is_only_beaten_by_an_enforced_rule() {
        let text = policy("a", "Audit", "process: { allow: [{ paths: [/a, /b] }] }")
            + &policy(
                "e",
                "Enforce",
                "process: { default: Deny, allow: [{ paths: [/a] }] }",
            );
        let lost = ["default/a process.allow[0]", "default/e process.default"];
        check(
            &text,
            "exec /a",
            "allow",
            Some("default/e process.allow[0]"),
            &lost,
        );
        check(
            &text,
            "exec /b",
            "deny",
            Some("default/e process.default"),
            &lost[..1],
        );
    }

    #[test]
    fn a_dry_run_is_attributed_to_the_policy_in_audit() {
        let text = policy(
            "a",
            "Audit",
            "process: { deny: [{ name: dry, paths: [/**] }] }",
        );
        let explained = explained(&text, "exec /a");
        assert_eq!(explained.verdict, Permission::Allow);
        assert!(explained.would_deny);
        check(&text, "exec /a", "would-deny", Some("default/a dry"), &[]);
        check(
            &text,
            "exec unnamed",
            "would-deny",
            Some("default/a dry"),
            &[],
        );
    }

    #[test]
    fn rules_that_ask_for_the_caller_are_named_when_none_is_given() {
        let text = policy(
            "a",
            "Enforce",
            "process: { deny: [{ name: some, paths: [/a], from: [/bin/sh] }, \
             { name: most, paths: [/a], exceptFrom: [/bin/sh] }, { name: all, paths: [/a] }, \
             { name: other, paths: [/b], from: [/bin/sh] }] }",
        );
        let named = |words: &str| -> Vec<String> {
            let explained = explained(&text, words);
            let rules = explained.depends_on_caller.into_iter();
            rules.map(|rule| rule.rule).collect()
        };
        assert_eq!(named("exec /a"), ["some", "most"]);
        assert_eq!(named("exec /a --by /bin/sh"), [""; 0]);
        // Moving what a deny rule protects is denied to callers outside of its `from`, too.
        assert_eq!(named("file rename /a"), ["most"]);
        assert_eq!(explained(&text, "exec /c").selecting, ["default/a"]);
    }

    #[test]
    fn targets_are_shown_in_the_words_of_policies() {
        for (words, expected) in [
            ("exec unnamed", "unnamed"),
            ("connect tcp [fd00::1]:443", "TCP [fd00::1]:443"),
            ("send 200 1.2.3.4:5", "200 1.2.3.4:5"),
            ("connect unix /run/x", "/run/x"),
            ("send unix @x", "@x"),
            ("socket packet raw", "Packet Raw"),
            ("socket 99 7", "99 7"),
            ("capability cap_bpf", "BPF"),
        ] {
            let request = parse_request(&words.split(' ').collect::<Vec<_>>()).unwrap();
            assert_eq!(target(&request.object), expected);
        }
    }
}
