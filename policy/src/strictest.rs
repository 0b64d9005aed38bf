//! One rule map that denies what any of several denies: for a container of which only the
//! pod is known.
//!
//! Deny rules and defaults of all of them, but an allow rule only where every map that
//! denies by default has it. Policies in Audit mode are left out, since a dry run must not
//! block and can't be attributed to a container that has no name; where all maps are the
//! same there is nothing to guess, and that one holds as it is.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bartizan_abi::limits::MAX_RULES;
use bartizan_abi::op::Category;

use crate::link::LinkError;
use crate::rule_map::{Effect, Matcher, Mode, PolicyInfo, Rule, RuleMap};

/// The rule map that denies what any of these denies. None at all allow everything.
pub fn strictest(maps: &[&RuleMap]) -> Result<RuleMap, LinkError> {
    let Some((first, others)) = maps.split_first() else {
        return Ok(RuleMap::default());
    };
    if others.iter().all(|other| other == first) {
        return Ok((*first).clone());
    }
    // In canonical order; a policy may be in two maps with different rules while an edit
    // of it is on its way.
    let mut policies: BTreeMap<_, (&PolicyInfo, Vec<&Rule>)> = BTreeMap::new();
    for map in maps {
        for rule in &map.rules {
            let policy = &map.policies[rule.policy];
            if policy.mode != Mode::Enforce || !holds(rule, maps) {
                continue;
            }
            let place = (
                Reverse(policy.namespace.is_some()),
                &policy.namespace,
                &policy.name,
            );
            let (_, rules) = policies.entry(place).or_insert((policy, Vec::new()));
            if !rules.iter().any(|known| is_same(known, rule)) {
                rules.push(rule);
            }
        }
    }
    let rules: usize = policies.values().map(|(_, rules)| rules.len()).sum();
    if rules > MAX_RULES {
        let largest = policies.values().max_by_key(|(_, rules)| rules.len());
        return Err(LinkError::TooManyRules {
            rules,
            largest: largest.map_or_else(String::new, |(policy, _)| policy.reference()),
            of_largest: largest.map_or(0, |(_, rules)| rules.len()),
        });
    }
    let mut map = RuleMap::default();
    for (number, (policy, rules)) in policies.into_values().enumerate() {
        map.policies.push(policy.clone());
        map.rules.extend(rules.into_iter().map(|rule| Rule {
            policy: number,
            ..rule.clone()
        }));
    }
    Ok(map)
}

/// Whether an enforced rule holds whichever of the maps it is.
fn holds(rule: &Rule, maps: &[&RuleMap]) -> bool {
    if rule.effect != Effect::Allow {
        return true;
    }
    let category = rule.matcher.category();
    let closed = |map: &&&RuleMap| enforced(map).any(|rule| denies_by_default(rule, category));
    maps.iter()
        .filter(closed)
        .all(|map| enforced(map).any(|other| is_same(other, rule)))
}

fn enforced(map: &RuleMap) -> impl Iterator<Item = &Rule> {
    let is_enforced = |rule: &&Rule| map.mode(rule) == Mode::Enforce;
    map.rules.iter().filter(is_enforced)
}

fn denies_by_default(rule: &Rule, category: Category) -> bool {
    rule.effect == Effect::DefaultDeny && rule.matcher == Matcher::Default(category)
}

/// Whether two rules do the same, whatever they are called.
fn is_same(one: &Rule, other: &Rule) -> bool {
    one.effect == other.effect
        && one.unless_owner == other.unless_owner
        && one.matcher == other.matcher
        && one.from == other.from
        && one.except_from == other.except_from
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::alone;
    use crate::load::{Source, load};

    fn map(name: &str, spec: &str) -> RuleMap {
        let text = format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: {name}, namespace: shop }}\nspec: {{ selector: {{}}, {spec} }}\n"
        );
        alone(&load(&[Source::new("p.yaml", text)]).unwrap()[0]).unwrap()
    }

    fn names(map: &RuleMap) -> Vec<String> {
        let name = |rule: &Rule| format!("{} {}", map.policies[rule.policy].name, rule.name);
        map.rules.iter().map(name).collect()
    }

    #[test]
    fn what_only_one_allows_is_not_allowed() {
        let process = |more: &str| {
            format!(
                "mode: Enforce, process: {{ default: Deny, \
                 allow: [{{ paths: [/bin/both] }}{more}] }}"
            )
        };
        let web = map("web", &process(", { paths: [/bin/web] }"));
        let database = map("db", &process(""));
        let open = map("open", "mode: Enforce, files: { deny: [{ paths: [/a] }] }");
        let strictest = strictest(&[&web, &database, &open]).unwrap();
        assert_eq!(
            names(&strictest),
            [
                "db process.allow[0]",
                "db process.default",
                "open files.deny[0]",
                "web process.allow[0]",
                "web process.default",
            ]
        );
    }

    #[test]
    fn a_dry_run_blocks_nothing_and_shows_where_there_is_nothing_to_guess() {
        let trial = map("trial", "process: { default: Deny }");
        assert_eq!(strictest(&[&trial, &trial]).unwrap(), trial);
        let none = RuleMap::default();
        assert_eq!(strictest(&[&trial, &none]).unwrap(), none);
        assert_eq!(strictest(&[]).unwrap(), none);
    }
}
