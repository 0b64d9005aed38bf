//! Rules without which nothing would be decided otherwise.
//!
//! Sound and not complete: what is said is true, but not everything that is true is said.
//! Coverage of patterns is decided component by component, without automata.

use std::fmt;

use crate::link::alone;
use crate::load::Diagnostic;
use crate::pattern::{Component, Pattern, Token};
use crate::policy::Policy;
use crate::rule_map::{Cidr, Effect, Matcher, Mode, Rule, RuleMap};

/// Rules above which nothing is looked for: pairs are compared.
const MAX_RULES: usize = 1_000;

/// A rule that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number in the rule map.
    pub rule: usize,
    /// Why it changes nothing.
    pub cause: Cause,
}

/// Why a rule changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It allows only what this rule denies.
    Denied(usize),
    /// It denies or reports only what this rule denies.
    Covered(usize),
    /// It allows what is allowed anyway: nothing denies by default.
    Idle,
}

/// A finding in words.
pub struct Said<'a>(pub &'a Finding, pub &'a RuleMap);

/// All such rules, in their order.
pub fn lint(map: &RuleMap) -> Vec<Finding> {
    if map.rules.len() > MAX_RULES {
        return Vec::new();
    }
    let rules = map.rules.iter().enumerate();
    rules
        .filter_map(|(number, rule)| cause(map, number, rule))
        .collect()
}

/// What in a valid policy is probably not meant, whatever other policies there are; in the
/// order of its lines, if it is from a file.
pub fn warnings(policy: &Policy) -> Vec<Diagnostic> {
    let mut warnings = policy.warnings.clone();
    // What other policies deny or allow by default may be elsewhere; what a policy's own
    // rules make of another one holds anywhere.
    if let Ok(map) = alone(policy) {
        let origin = policy.origin.as_ref();
        let warning = |line, message| Diagnostic {
            file: origin.map_or(String::new(), |origin| origin.file.clone()),
            line,
            column: None,
            field: None,
            message,
        };
        let dead = lint(&map).into_iter();
        let dead = dead.filter(|finding| finding.cause != Cause::Idle);
        warnings.extend(dead.map(|finding| {
            let line = origin.and_then(|origin| origin.rules.get(finding.rule).copied());
            warning(line, Said(&finding, &map).to_string())
        }));
        if map.rules.is_empty() {
            let line = origin.map(|origin| origin.line);
            let message = "the policy has no rule: it denies and reports nothing";
            warnings.push(warning(line, message.to_owned()));
        }
    }
    warnings.sort_by_key(|warning| warning.line);
    warnings
}

fn cause(map: &RuleMap, number: usize, rule: &Rule) -> Option<Finding> {
    let finding = |cause| {
        Some(Finding {
            rule: number,
            cause,
        })
    };
    if rule.effect == Effect::DefaultDeny {
        return None;
    }
    let category = rule.matcher.category();
    let defaults = map.rules.iter().any(|other| {
        other.matcher == Matcher::Default(category) && other.effect == Effect::DefaultDeny
    });
    if rule.effect == Effect::Allow && !defaults {
        return finding(Cause::Idle);
    }
    let denying = map.rules.iter().enumerate().find(|(other, by)| {
        // Of two that are the same the first decides.
        let first = *other < number || !covers(rule, by);
        *other != number
            && by.effect == Effect::Deny
            && (by.policy == rule.policy || map.mode(by) == Mode::Enforce)
            && (rule.effect != Effect::Deny || first)
            && covers(by, rule)
    });
    match (denying, rule.effect) {
        (Some((by, _)), Effect::Allow) => finding(Cause::Denied(by)),
        (Some((by, _)), _) => finding(Cause::Covered(by)),
        (None, _) => None,
    }
}

/// Whether a rule matches whatever another one does.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let same_names = if narrow.effect == Effect::Deny {
        is_protected
    } else {
        is_matched
    };
    matches_all(&wide.matcher, &narrow.matcher, same_names)
        && (wide.from.is_empty()
            || (!narrow.from.is_empty() && paths(&wide.from, &narrow.from, is_matched)))
        && paths(&narrow.except_from, &wide.except_from, is_matched)
        && (!wide.unless_owner || narrow.unless_owner)
}

/// `pattern`: whether what one pattern means is within what another one does.
fn matches_all(wide: &Matcher, narrow: &Matcher, pattern: Within) -> bool {
    match (wide, narrow) {
        (Matcher::Process { paths: wide }, Matcher::Process { paths: narrow }) => {
            paths(wide, narrow, pattern)
        }
        (
            Matcher::Files {
                paths: wide,
                operations: all,
            },
            Matcher::Files {
                paths: narrow,
                operations: some,
            },
        ) => some & !all == 0 && paths(wide, narrow, pattern),
        (
            Matcher::Network {
                operations: all,
                protocols,
                addresses,
                ports,
            },
            Matcher::Network {
                operations: some,
                protocols: narrow_protocols,
                addresses: narrow_addresses,
                ports: narrow_ports,
            },
        ) => {
            some & !all == 0
                && within(protocols, narrow_protocols, |wide, narrow| wide == narrow)
                && within(addresses, narrow_addresses, contains)
                && within(ports, narrow_ports, |wide, narrow| {
                    wide.contains(narrow.start()) && wide.contains(narrow.end())
                })
        }
        (
            Matcher::Unix {
                operations: all,
                paths: wide,
                names: wide_names,
            },
            Matcher::Unix {
                operations: some,
                paths: narrow,
                names: narrow_names,
            },
        ) => {
            let is_covered = |name| wide_names.iter().any(|wide| wide.covers(name));
            some & !all == 0 && paths(wide, narrow, pattern) && narrow_names.iter().all(is_covered)
        }
        (Matcher::Sockets { kinds: wide }, Matcher::Sockets { kinds: narrow }) => {
            narrow.iter().all(|kind| wide.contains(kind))
        }
        (
            Matcher::Capabilities { capabilities: wide },
            Matcher::Capabilities {
                capabilities: narrow,
            },
        ) => narrow.iter().all(|capability| wide.contains(capability)),
        (Matcher::Restrict(one), Matcher::Restrict(other)) => one == other,
        _ => false,
    }
}

/// Empty lists stand for everything.
fn within<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    let one = |narrow: &T| wide.iter().any(|wide| covers(wide, narrow));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(one))
}

fn contains(wide: &Cidr, narrow: &Cidr) -> bool {
    let bits = |cidr: &Cidr| match cidr.address {
        std::net::IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 4),
        std::net::IpAddr::V6(v6) => (v6.to_bits(), 6),
    };
    let ((wide_bits, family), (narrow_bits, same)) = (bits(wide), bits(narrow));
    let mask = u128::MAX
        .checked_shl(128 - u32::from(wide.prefix))
        .unwrap_or(0);
    family == same && wide.prefix <= narrow.prefix && (wide_bits ^ narrow_bits) & mask == 0
}

/// Whether what a narrow pattern means is within what a wide one does.
type Within = fn(wide: &Pattern, narrow: &Pattern) -> bool;

/// Whether each of some patterns is within one of others.
fn paths(wide: &[Pattern], narrow: &[Pattern], pattern: Within) -> bool {
    let one = |narrow| wide.iter().any(|wide| pattern(wide, narrow));
    narrow.iter().all(one)
}

/// Whether a pattern matches whatever another one does.
fn is_matched(wide: &Pattern, narrow: &Pattern) -> bool {
    wide.is_everything() || components(wide.components(), narrow.components())
}

/// The same, and a deny rule with it also keeps the directories above in their places:
/// `**/x`, which matches wherever they are moved, doesn't keep those of `/a/x`.
fn is_protected(wide: &Pattern, narrow: &Pattern) -> bool {
    let has_none = |pattern: &[Component]| matches!(pattern, [Component::AnyDepth, _]);
    is_matched(wide, narrow)
        && (wide.is_everything()
            || wide.components().first() != Some(&Component::AnyDepth)
            || wide.components() == narrow.components()
            || has_none(narrow.components()))
}

fn components(wide: &[Component], narrow: &[Component]) -> bool {
    match (wide, narrow) {
        ([], []) => true,
        // At the end it stands for one component or more, and so does what is left.
        ([Component::AnyDepth], _) => !narrow.is_empty(),
        ([Component::AnyDepth, rest @ ..], _) => {
            components(rest, narrow)
                || matches!(narrow, [_, others @ ..] if components(wide, others))
        }
        ([one, rest @ ..], [other, others @ ..]) => {
            component(one, other) && components(rest, others)
        }
        _ => false,
    }
}

fn component(wide: &Component, narrow: &Component) -> bool {
    match (wide, narrow) {
        (_, Component::AnyDepth) => false,
        (Component::Glob(glob), _) if glob.tokens() == [Token::AnyRun] => true,
        (Component::Glob(glob), Component::Literal(name)) => glob.matches(name),
        _ => wide == narrow,
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(finding, map) = self;
        let rule = &map.rules[finding.rule];
        let by = |number: usize| {
            let by = &map.rules[number];
            if by.policy == rule.policy {
                format!("rule {}", by.name)
            } else {
                let policy = map.policies[by.policy].reference();
                format!("rule {} of policy {policy}", by.name)
            }
        };
        let name = &rule.name;
        match finding.cause {
            Cause::Denied(number) => {
                write!(
                    f,
                    "rule {name} never allows anything: {} denies it all",
                    by(number)
                )
            }
            Cause::Covered(number) => {
                write!(
                    f,
                    "rule {name} changes nothing: {} denies all of it",
                    by(number)
                )
            }
            Cause::Idle => write!(
                f,
                "rule {name} has no effect: nothing of its category is denied by default"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Source, load};

    #[track_caller]
    fn check(spec: &str, expected: &[&str]) {
        let text = format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: web, namespace: shop }}\nspec: {{ selector: {{}}, {spec} }}\n"
        );
        let map = alone(&load(&[Source::new("p.yaml", text)]).unwrap()[0]).unwrap();
        let said: Vec<String> = lint(&map)
            .iter()
            .map(|finding| Said(finding, &map).to_string())
            .collect();
        assert_eq!(said, expected, "{spec}");
    }

    #[test]
    fn a_deny_rule_covers_narrower_ones() {
        check(
            "process: { deny: [{ paths: [/usr/bin/curl] }, { paths: [/usr/**] }] }",
            &["rule process.deny[0] changes nothing: rule process.deny[1] denies all of it"],
        );
        check(
            "process: { deny: [{ paths: [/a, /b] }, { paths: [/a, /b] }] }",
            &["rule process.deny[1] changes nothing: rule process.deny[0] denies all of it"],
        );
        check(
            "network: { deny: [{ unix: [/run/x, '@ab'] }, { unix: ['/**', '@a*'] }] }",
            &["rule network.deny[0] changes nothing: rule network.deny[1] denies all of it"],
        );
        check(
            "files: { deny: [{ paths: ['**/a.so'] }, { paths: ['**/*.so'] }], \
             audit: [{ paths: [/a/b.so] }] }",
            &[
                "rule files.deny[0] changes nothing: rule files.deny[1] denies all of it",
                "rule files.audit[0] changes nothing: rule files.deny[1] denies all of it",
            ],
        );
        for different in [
            "process: { deny: [{ paths: [/usr] }, { paths: [/usr/**] }] }",
            "process: { deny: [{ paths: [/a] }, { paths: ['/**'], from: [/bin/sh] }] }",
            "process: { deny: [{ paths: [/a] }, { paths: ['/**'], exceptFrom: [/bin/sh] }] }",
            "files: { deny: [{ paths: [/a] }, { paths: ['/**'], operations: [Read] }] }",
            "files: { deny: [{ paths: [/a] }, { paths: ['/**'], unlessOwner: true }] }",
            // Only the first keeps `/a` from being moved.
            "process: { deny: [{ paths: [/a/curl] }, { paths: ['**/curl'] }] }",
            "files: { deny: [{ paths: ['**/a/x'] }, { paths: ['**/x'] }] }",
            "network: { deny: [{ unix: [/a, '@a*'] }, { unix: ['/**', '@ab*'] }] }",
            "network: { deny: [{ unix: [/a] }, { addresses: ['0.0.0.0/0', '::/0'] }] }",
            "network: { deny: [{ ports: [443] }, { addresses: [10.0.0.0/8] }] }",
        ] {
            check(different, &[]);
        }
    }

    #[test]
    fn a_policy_without_a_rule_is_said_to_deny_nothing() {
        let said = |spec: &str| {
            let text = format!(
                "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
                 metadata: {{ name: web, namespace: shop }}\nspec: {spec}\n"
            );
            let policy = load(&[Source::new("p.yaml", text)]).unwrap().remove(0);
            let warnings = warnings(&policy).into_iter();
            warnings
                .map(|warning| warning.to_string())
                .collect::<Vec<_>>()
        };
        let nothing = "p.yaml:1: the policy has no rule: it denies and reports nothing";
        assert_eq!(said("{ selector: {}, mode: Enforce }"), [nothing]);
        assert_eq!(
            said("{ selector: {}, files: { default: Allow } }"),
            [nothing]
        );
        for rule in [
            "files: { default: Deny }",
            "files: { allow: [{ paths: [/a] }] }",
            "restrict: { mounts: Deny }",
        ] {
            assert_eq!(said(&format!("{{ selector: {{}}, {rule} }}")), [""; 0]);
        }
    }

    #[test]
    fn an_allow_rule_needs_a_default_and_no_rule_that_denies_it() {
        check(
            "files: { allow: [{ paths: [/a] }] }",
            &["rule files.allow[0] has no effect: nothing of its category is denied by default"],
        );
        check(
            "network: { default: Deny, allow: [{ addresses: [10.1.0.0/16], ports: [443] }], \
             deny: [{ addresses: [10.0.0.0/8], name: inside }] }",
            &["rule network.allow[0] never allows anything: rule inside denies it all"],
        );
        check(
            "process: { default: Deny, allow: [{ paths: ['/opt/*/x'] }], \
             deny: [{ paths: ['**/x'] }] }",
            &["rule process.allow[0] never allows anything: rule process.deny[0] denies it all"],
        );
    }
}
