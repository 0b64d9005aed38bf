//! What a rule map means, as directly as it can be written: the oracle.
//!
//! ```text
//!   request ─► rule::matches, rule by rule ─► deny? allow? audit? ─► verdict
//!                    └─► path::matches, recursion over a pattern
//! ```
//!
//! The tests compare the compiled tables and the kernel with it, so it shares no code
//! with the automata: no tables, no classes, no sets, only `docs/policy-language.md`
//! read aloud. It is slow on purpose; nothing that answers users may call [`evaluate`].
//! [`matching_rules`] and [`rules_that_depend_on_caller`] are for explanations: which
//! rules matched, or could have, whatever won.

mod address;
mod path;
mod rule;

use bartizan_abi::verdict::Outcome;

use crate::operation::{Request, Verdict};
use crate::rule_map::{Effect, Mode, Rule, RuleMap};

/// Decides one operation.
pub fn evaluate(map: &RuleMap, request: &Request) -> Verdict {
    let enforced = |rule: &Rule| map.mode(rule) == Mode::Enforce;
    let audited = |rule: &Rule| map.mode(rule) == Mode::Audit;
    let first = |effect: Effect, of: &dyn Fn(&Rule) -> bool| {
        map.rules
            .iter()
            .position(|rule| rule.effect == effect && of(rule) && rule::matches(rule, request))
    };
    let any = |_: &Rule| true;

    // Rule 1 of the page: what the enforced policies alone deny.
    if let Some(rule) = first(Effect::Deny, &enforced) {
        return verdict(Outcome::Deny, rule);
    }
    if let Some(default) = first(Effect::DefaultDeny, &enforced)
        && first(Effect::Allow, &enforced).is_none()
    {
        return verdict(Outcome::Deny, default);
    }
    // Rule 2: what they deny together with the audited ones. A deny rule or a default
    // that gets here is an audited one, or rule 1 had seen it.
    if let Some(rule) = first(Effect::Deny, &audited) {
        return verdict(Outcome::WouldDeny, rule);
    }
    if let Some(default) = first(Effect::DefaultDeny, &audited)
        && first(Effect::Allow, &any).is_none()
    {
        return verdict(Outcome::WouldDeny, default);
    }
    // Rules 3 and 4.
    if let Some(rule) = first(Effect::Audit, &any) {
        return verdict(Outcome::Audit, rule);
    }
    let unresolved = rule::object_is_unresolved(request)
        && map
            .rules
            .iter()
            .any(|rule| rule::judges(rule, request.operation));
    Verdict {
        outcome: if unresolved {
            Outcome::Unresolved
        } else {
            Outcome::Allow
        },
        rule: None,
    }
}

/// Numbers of all rules that match, defaults included, whatever wins; ascending.
pub fn matching_rules(map: &RuleMap, request: &Request) -> Vec<usize> {
    (0..map.rules.len())
        .filter(|&number| rule::matches(&map.rules[number], request))
        .collect()
}

/// Numbers of the rules of whose `from` and `exceptFrom` it depends whether they match,
/// given that the request's caller is in none; ascending.
pub fn rules_that_depend_on_caller(map: &RuleMap, request: &Request) -> Vec<usize> {
    let depends = |rule: &Rule| {
        let for_some = Rule {
            from: Vec::new(),
            except_from: Vec::new(),
            ..rule.clone()
        };
        let excepts = !rule.except_from.is_empty();
        (excepts || !rule::matches(rule, request)) && rule::matches(&for_some, request)
    };
    let asks = |rule: &Rule| !rule.from.is_empty() || !rule.except_from.is_empty();
    (0..map.rules.len())
        .filter(|&number| asks(&map.rules[number]) && depends(&map.rules[number]))
        .collect()
}

fn verdict(outcome: Outcome, rule: usize) -> Verdict {
    Verdict {
        outcome,
        rule: Some(rule),
    }
}

#[cfg(test)]
mod tests;
