//! Which rules an error names: those that most of what is too much is about.

use std::collections::BTreeMap;

use super::collect::Collected;
use super::error::{CompileError, Culprit};
use super::intern::Interner;
use super::layout::LayoutError;
use super::path::Explosion;
use crate::rule_map::RuleMap;

/// Parts of policies that an error names at most.
const MAX_CULPRITS: usize = 5;

/// A rule's number, a pattern of it, and how much it takes.
type Weight = ((usize, Option<String>), u64);

/// The error for patterns of `what` that take too many states.
pub(super) fn exploded(
    map: &RuleMap,
    rules: &Collected<'_>,
    what: &'static str,
    explosion: Explosion,
) -> CompileError {
    let weights = match explosion {
        Explosion::Paths(weights) => weights,
        Explosion::Names(weights) => by_origin(rules, weights),
    };
    CompileError::StateExplosion {
        what,
        culprits: by_pattern(map, rules, weights),
    }
}

/// The patterns, by origin, that most states follow.
pub(super) fn by_pattern(
    map: &RuleMap,
    rules: &Collected<'_>,
    weights: Vec<(u32, u32)>,
) -> Vec<Culprit> {
    heaviest(
        map,
        weights.into_iter().map(|(origin, weight)| {
            let (rule, pattern) = rules.origins[origin as usize];
            ((rule, Some(pattern.to_string())), u64::from(weight))
        }),
    )
}

/// The error for rules whose names alone take too many bytes.
pub(super) fn too_large(map: &RuleMap, rules: &Collected<'_>, bytes: usize) -> CompileError {
    let weights = rules
        .origins
        .iter()
        .map(|(rule, pattern)| ((*rule, None), pattern.components().len() as u64));
    CompileError::TooLarge {
        bytes,
        culprits: heaviest(map, weights),
    }
}

/// The error for a table that can't be laid out; `sets` are the states of the automata
/// of programs and files.
pub(super) fn no_layout(
    map: &RuleMap,
    rules: &Collected<'_>,
    sets: &[Interner<Vec<u32>>],
    error: LayoutError,
) -> CompileError {
    let patterns = [&rules.process, &rules.files].into_iter().zip(sets);
    let states = patterns.flat_map(|(patterns, sets)| patterns.weights(sets));
    let names = by_origin(rules, rules.names.weights());
    let paths = states
        .chain(names)
        .map(|(origin, weight)| ((rules.origins[origin as usize].0, None), u64::from(weight)));
    // About one state and edge per byte of an address.
    let addresses = rules.addresses.iter().map(|rule| {
        let bytes = rule
            .addresses
            .iter()
            .map(|cidr| u64::from(cidr.prefix).div_ceil(8));
        ((rule.rule, None), bytes.sum())
    });
    let culprits = heaviest(map, paths.chain(addresses));
    match error {
        LayoutError::TooLarge(bytes) => CompileError::TooLarge { bytes, culprits },
        LayoutError::TooMany(what, count) => CompileError::TooManyNumbers {
            what,
            count,
            culprits,
        },
    }
}

/// From weights of globs to those of the patterns that have them.
fn by_origin(rules: &Collected<'_>, weights: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut by_pattern = Vec::new();
    for (glob, weight) in weights {
        let glob = rules.names.glob(glob);
        for (origin, (_, pattern)) in rules.origins.iter().enumerate() {
            if pattern.components().contains(&glob) {
                by_pattern.push((origin as u32, weight));
            }
        }
    }
    by_pattern
}

/// Those with at least a quarter of the heaviest one's weight.
fn heaviest(map: &RuleMap, weights: impl IntoIterator<Item = Weight>) -> Vec<Culprit> {
    let mut sums: BTreeMap<(usize, Option<String>), u64> = BTreeMap::new();
    for (part, weight) in weights {
        *sums.entry(part).or_default() += weight;
    }
    let mut sums: Vec<Weight> = sums.into_iter().collect();
    sums.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let least = sums.first().map_or(0, |(_, weight)| weight.div_ceil(4));
    sums.into_iter()
        .take_while(|(_, weight)| *weight >= least)
        .take(MAX_CULPRITS)
        .map(|((rule, pattern), _)| {
            let rule = &map.rules[rule];
            let policy = map.policies[rule.policy].reference();
            Culprit {
                policy,
                rule: rule.name.clone(),
                pattern,
            }
        })
        .collect()
}
