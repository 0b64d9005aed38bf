//! What holds for any rule map and any request.
//!
//! The compiled tables are compared with the reference; what the language promises of
//! modes, order and unrelated policies is asked of the reference, and so of both.

mod generate;

use std::cell::Cell;

use bartizan_abi::verdict::Outcome;
use bartizan_crds::RuleMapSpec;
use bartizan_policy::compile::{CompileError, compile};
use bartizan_policy::evaluate::{check_table, evaluate};
use bartizan_policy::operation::{Request, Verdict};
use bartizan_policy::rule_map::{Effect, Mode, RuleMap};
use bartizan_policy::strictest::strictest;
use bartizan_policy::{published, reference};
use generate::rules::Case;
use generate::{Choices, requests, rules};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::Config;

/// Requests made of one rule map.
const REQUESTS: usize = 24;

/// `PROPTEST_CASES` overrides the number of cases, for a night of testing.
fn config(cases: u32) -> Config {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        default.cases
    } else {
        cases
    };
    Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..default
    }
}

/// Decisions for a rule map and, independently, for requests.
fn decisions() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (vec(any::<u8>(), 0..600), vec(any::<u8>(), 0..800))
}

fn make(decisions: &(Vec<u8>, Vec<u8>)) -> (Case, Vec<Request>) {
    let case = rules::case(&mut Choices::new(&decisions.0), 4, 5);
    let mut choices = Choices::new(&decisions.1);
    let requests = (0..REQUESTS)
        .map(|_| requests::request(&mut choices, &case))
        .collect();
    (case, requests)
}

/// What comes of each request.
fn outcomes(map: &RuleMap, requests: &[Request]) -> Vec<Outcome> {
    requests
        .iter()
        .map(|request| reference::evaluate(map, request).outcome)
        .collect()
}

/// The rule map without the policies that `keep` refuses.
fn only(map: &RuleMap, keep: impl Fn(usize) -> bool) -> RuleMap {
    let rules = map
        .rules
        .iter()
        .filter(|rule| keep(rule.policy))
        .cloned()
        .collect();
    RuleMap {
        policies: map.policies.clone(),
        rules,
    }
}

/// What may be said of an outcome without knowing who audits: is it blocked?
fn is_denied(outcome: Outcome) -> bool {
    outcome == Outcome::Deny
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn compiled_tables_say_what_the_reference_says(decisions in decisions()) {
        let (case, requests) = make(&decisions);
        let compiled = compile(&case.map);
        // One rule map in ten thousand has globs that are refused. Many such would fail the
        // test as well.
        prop_assume!(!matches!(
            compiled,
            Err(CompileError::StateExplosion { .. } | CompileError::TooLarge { .. })
        ));
        let table = compiled.expect("a few dozen patterns fit in every other way");
        prop_assert_eq!(check_table(&table), Ok(()));
        for request in &requests {
            prop_assert_eq!(
                evaluate(&table, request),
                reference::evaluate(&case.map, request),
                "{:?} of {:#?}", request, case.map
            );
        }
    }

    #[test]
    fn compiling_twice_gives_the_same_bytes(decisions in vec(any::<u8>(), 0..600)) {
        let case = rules::case(&mut Choices::new(&decisions), 4, 5);
        prop_assert_eq!(compile(&case.map), compile(&case.map));
    }

    #[test]
    fn a_published_rule_map_reads_back_as_it_was(decisions in vec(any::<u8>(), 0..600)) {
        let case = rules::case(&mut Choices::new(&decisions), 4, 5);
        let spec = published::publish(&case.map);
        // As the API server keeps it.
        let json = serde_json::to_string(&spec).expect("a rule map is JSON");
        let stored: RuleMapSpec = serde_json::from_str(&json).expect("and reads back");
        prop_assert_eq!(published::name(&stored), published::name(&spec));
        prop_assert_eq!(published::parse(&stored), Ok(case.map));
    }

    #[test]
    fn dropping_audited_policies_never_changes_what_is_blocked(decisions in decisions()) {
        let (case, requests) = make(&decisions);
        let map = case.map;
        let enforced = only(&map, |policy| map.policies[policy].mode == Mode::Enforce);
        for (request, (all, alone)) in requests
            .iter()
            .zip(outcomes(&map, &requests).into_iter().zip(outcomes(&enforced, &requests)))
        {
            prop_assert_eq!(is_denied(all), is_denied(alone), "{:?}", request);
        }
    }

    #[test]
    fn what_any_of_several_rule_maps_denies_the_strictest_denies(
        decisions in decisions(),
        selects in vec(any::<u8>(), 3),
    ) {
        // Containers of one pod: each is selected by some of the policies.
        let (case, requests) = make(&decisions);
        let maps: Vec<RuleMap> = selects
            .iter()
            .map(|bits| only(&case.map, |policy| bits >> (policy % 8) & 1 == 1))
            .collect();
        let together = strictest(&maps.iter().collect::<Vec<_>>()).expect("few rules");
        for request in &requests {
            let denied = maps
                .iter()
                .any(|map| is_denied(reference::evaluate(map, request).outcome));
            let outcome = reference::evaluate(&together, request).outcome;
            prop_assert!(!denied || is_denied(outcome), "{:?} of {:#?}", request, maps);
        }
    }

    #[test]
    fn enforcing_the_dry_run_blocks_exactly_what_it_announced(decisions in decisions()) {
        let (case, requests) = make(&decisions);
        let mut enforced = case.map.clone();
        enforced.policies.iter_mut().for_each(|policy| policy.mode = Mode::Enforce);
        for request in &requests {
            let before = reference::evaluate(&case.map, request);
            let after = reference::evaluate(&enforced, request);
            match before.outcome {
                // An audited allow rule may open an enforced default once it counts.
                Outcome::Deny if !is_denied(after.outcome) => {
                    let default = before.rule.map(|rule| case.map.rules[rule].effect);
                    prop_assert_eq!(default, Some(Effect::DefaultDeny), "{:?}", request);
                }
                Outcome::Deny | Outcome::WouldDeny => {
                    prop_assert!(is_denied(after.outcome), "{:?}", request);
                }
                other => prop_assert_eq!(other, after.outcome, "{:?}", request),
            }
        }
    }

    #[test]
    fn the_order_of_policies_and_rules_changes_no_outcome(
        decisions in decisions(),
        order in vec(any::<u32>(), 40),
    ) {
        let (case, requests) = make(&decisions);
        let mut shuffled = case.map.clone();
        let mut keyed: Vec<_> = shuffled.rules.drain(..).zip(order.into_iter().chain(0..)).collect();
        keyed.sort_by_key(|(_, key)| *key);
        shuffled.rules = keyed.into_iter().map(|(rule, _)| rule).collect();
        prop_assert_eq!(outcomes(&case.map, &requests), outcomes(&shuffled, &requests));
    }

    #[test]
    fn the_rule_named_matches_and_has_the_named_effect(decisions in decisions()) {
        let (case, requests) = make(&decisions);
        for request in &requests {
            let Verdict { outcome, rule } = reference::evaluate(&case.map, request);
            let Some(number) = rule else {
                prop_assert!(matches!(outcome, Outcome::Allow | Outcome::Unresolved));
                continue;
            };
            let rule = &case.map.rules[number];
            let matching = reference::matching_rules(&case.map, request);
            prop_assert!(matching.contains(&number));
            let (effects, mode): (&[Effect], _) = match outcome {
                Outcome::Deny => (&[Effect::Deny, Effect::DefaultDeny], Some(Mode::Enforce)),
                Outcome::WouldDeny => (&[Effect::Deny, Effect::DefaultDeny], Some(Mode::Audit)),
                _ => (&[Effect::Audit], None),
            };
            prop_assert!(effects.contains(&rule.effect), "{:?} {:?}", outcome, rule);
            prop_assert!(mode.is_none_or(|mode| mode == case.map.mode(rule)));
        }
    }
}

/// Without this the properties could hold because nothing ever matches.
#[test]
fn generated_requests_reach_every_outcome_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let counts: [Cell<u32>; 5] = Default::default();
    let named = Cell::new(0);
    for _ in 0..1000 {
        let (case, requests) = make(&decisions().new_tree(&mut runner).unwrap().current());
        for request in &requests {
            let verdict = reference::evaluate(&case.map, request);
            let count = &counts[verdict.outcome as usize];
            count.set(count.get() + 1);
            let default = verdict
                .rule
                .is_some_and(|rule| case.map.rules[rule].effect == Effect::DefaultDeny);
            named.set(named.get() + u32::from(verdict.rule.is_some() && !default));
        }
    }
    let counts = counts.map(|count| count.get());
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
    assert!(named.get() > 4000, "{}", named.get());
}
