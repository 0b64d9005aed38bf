//! Which policies hold for one container together, as far as the policies alone tell, and
//! whether they can.
//!
//! Pods are not known here, but every policy selects some: for each a pod is made up that
//! has what the policy asks for and nothing else, and containers that the policies which
//! select it name. So whatever is refused would be refused for a container that may exist
//! ([`refusals`] is sound). It is not complete: two policies that ask for different labels
//! may still meet in a pod that has both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::compile::{CompileError, compile};
use crate::glob::Glob;
use crate::link::{LinkError, Workload, together};
use crate::policy::Policy;
use crate::selector::{Condition, Labels, NAMESPACE_NAME, Requirement, Selector};

/// Policies that can't be enforced together, or one that can't be enforced at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Places of the policies; no part of these is refused elsewhere.
    pub policies: Vec<usize>,
    /// A container that all of them select.
    pub workload: Workload,
    /// Why.
    pub error: CombinationError,
}

/// Why policies can't be enforced together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CombinationError {
    /// They make no rule map.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Their rule map makes no table.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl CombinationError {
    /// `namespace/name` of the policy that costs most, where one stands out.
    pub fn culprit(&self) -> Option<&str> {
        match self {
            Self::Link(LinkError::TooManyRules { largest, .. }) => Some(largest),
            Self::Compile(error) => Some(&error.culprits().first()?.policy),
        }
    }
}

/// All policies, and all combinations of them that hold for one container, that can't be
/// enforced.
pub fn refusals(policies: &[Policy]) -> Vec<Refusal> {
    let mut queue: VecDeque<_> = combinations(policies).into();
    let mut smallest_first = false;
    let mut judged = BTreeSet::new();
    let mut alone: BTreeMap<usize, Refusal> = BTreeMap::new();
    let mut fitting: Vec<BTreeSet<usize>> = Vec::new();
    let mut refused: Vec<(BTreeSet<usize>, Refusal)> = Vec::new();
    while let Some((mut set, workload)) = queue.pop_front() {
        set.retain(|place| !alone.contains_key(place));
        // What is part of something that fits, fits; what has a part that doesn't, doesn't.
        if fitting.iter().any(|other| set.is_subset(other))
            || refused.iter().any(|(other, _)| other.is_subset(&set))
        {
            continue;
        }
        let refusal = |set: &BTreeSet<usize>, error| Refusal {
            policies: set.iter().copied().collect(),
            workload: workload.clone(),
            error,
        };
        let Err(error) = fit(policies, &set) else {
            fitting.push(set);
            continue;
        };
        let before = alone.len();
        for &place in &set {
            let one = BTreeSet::from([place]);
            if judged.insert(place)
                && let Err(error) = fit(policies, &one)
            {
                alone.insert(place, refusal(&one, error));
            }
        }
        if alone.len() > before {
            // Those are said alone; what is left may fit.
            queue.push_front((set, workload));
        } else if smallest_first {
            let refusal = refusal(&set, error);
            refused.push((set, refusal));
        } else {
            // Largest first is cheapest as long as all fit. From here on the parts that are
            // to blame are looked for.
            smallest_first = true;
            queue.push_front((set, workload));
            queue.make_contiguous().reverse();
        }
    }
    let refused = refused.into_iter().map(|(_, refusal)| refusal);
    alone.into_values().chain(refused).collect()
}

fn fit(policies: &[Policy], set: &BTreeSet<usize>) -> Result<(), CombinationError> {
    let selected: Vec<&Policy> = set.iter().map(|&place| &policies[place]).collect();
    compile(&together(&selected)?)?;
    Ok(())
}

/// Sets of policies that hold for one container, each with such a container, the largest
/// sets first. Every policy is in one, if only alone.
fn combinations(policies: &[Policy]) -> Vec<(BTreeSet<usize>, Workload)> {
    let mut sets: BTreeMap<BTreeSet<usize>, Workload> = BTreeMap::new();
    for (place, policy) in policies.iter().enumerate() {
        let pod = pod_of(policy, policies).unwrap_or_default();
        let selecting: Vec<usize> = (0..policies.len())
            .filter(|&other| pod.pod_is_selected_by(&policies[other]))
            .collect();
        let globs = selecting
            .iter()
            .flat_map(|&other| &policies[other].containers);
        let named: BTreeSet<Option<String>> = globs.map(Glob::example).collect();
        for container in [None].into_iter().chain(named) {
            let workload = Workload {
                container,
                ..pod.clone()
            };
            let set = selecting.iter().copied();
            let set = set.filter(|&other| workload.is_selected_by(&policies[other]));
            sets.entry(set.collect()).or_insert(workload);
        }
        if !sets.keys().any(|set| set.contains(&place)) {
            // It selects nothing that could be made up, so it meets nobody.
            sets.insert([place].into(), pod);
        }
    }
    sets.remove(&BTreeSet::new());
    let mut sets: Vec<_> = sets.into_iter().collect();
    sets.sort_by_key(|(set, _)| std::cmp::Reverse(set.len()));
    sets
}

/// A pod that a policy selects, with no label more than that takes, in a container without
/// a name.
fn pod_of(policy: &Policy, policies: &[Policy]) -> Option<Workload> {
    let mut namespace_labels = match &policy.namespace_selector {
        Some(selector) => labels_for(selector)?,
        None => Labels::new(),
    };
    let named = namespace_labels.remove(NAMESPACE_NAME);
    let namespace = policy.info.namespace.clone().or(named);
    let namespace = namespace.unwrap_or_else(|| {
        unlike(|name| {
            let mut others = policies.iter();
            others.any(|other| other.info.namespace.as_deref() == Some(name))
        })
    });
    let pod = Workload {
        namespace: Some(namespace),
        namespace_labels,
        labels: labels_for(&policy.selector)?,
        container: None,
    };
    pod.pod_is_selected_by(policy).then_some(pod)
}

/// The fewest labels that a selector selects; `None` if none do.
fn labels_for(selector: &Selector) -> Option<Labels> {
    let mut labels = Labels::new();
    for Requirement { key, condition } in &selector.requirements {
        let value = match condition {
            Condition::In(values) => {
                let fits = |value: &&String| {
                    let label = Labels::from([(key.clone(), (*value).clone())]);
                    let mut same = selector.requirements.iter().filter(|r| r.key == *key);
                    same.all(|requirement| requirement.matches(&label))
                };
                values.iter().find(fits)?.clone()
            }
            Condition::Exists => unlike(|value| {
                let same = selector.requirements.iter().filter(|r| r.key == *key);
                let mut conditions = same.map(|requirement| &requirement.condition);
                conditions.any(|c| matches!(c, Condition::NotIn(values) if values.contains(value)))
            }),
            Condition::NotIn(_) | Condition::DoesNotExist => continue,
        };
        // What values ask for is more than that there is one.
        if matches!(condition, Condition::In(_)) || !labels.contains_key(key) {
            labels.insert(key.clone(), value);
        }
    }
    selector.matches(&labels).then_some(labels)
}

/// A word that isn't taken: `x`, `xx` and so on.
fn unlike(taken: impl Fn(&str) -> bool) -> String {
    let mut word = "x".to_owned();
    while taken(&word) {
        word.push('x');
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Source, load};

    fn policy(name: &str, spec: &str) -> String {
        let (kind, namespace) = match name.split_once('/') {
            Some((namespace, _)) => ("SecurityPolicy", format!(", namespace: {namespace}")),
            None => ("ClusterSecurityPolicy", String::new()),
        };
        let own = name.rsplit('/').next().unwrap();
        format!(
            "---\napiVersion: bartizan.dev/v1alpha1\nkind: {kind}\n\
             metadata: {{ name: {own}{namespace} }}\n\
             spec: {{ {spec}, process: {{ deny: [{{ paths: [/{own}] }}] }} }}\n"
        )
    }

    fn policies(texts: &[String]) -> Vec<Policy> {
        load(&[Source::new("p.yaml", texts.concat())]).unwrap()
    }

    fn names(policies: &[Policy], places: impl IntoIterator<Item = usize>) -> Vec<String> {
        let places = places.into_iter();
        let mut names: Vec<String> = places.map(|i| policies[i].info.reference()).collect();
        names.sort();
        names
    }

    /// Checks which policies of several meet: the sets that are part of no other.
    #[track_caller]
    fn check(specs: &[(&str, &str)], expected: &[&[&str]]) {
        let texts: Vec<String> = specs.iter().map(|(n, spec)| policy(n, spec)).collect();
        let policies = policies(&texts);
        let sets = combinations(&policies);
        for (set, workload) in &sets {
            let selected = (0..policies.len()).filter(|&i| workload.is_selected_by(&policies[i]));
            let made_up = workload.namespace.is_some();
            assert!(!made_up || selected.eq(set.iter().copied()), "{workload:?}");
        }
        let largest = sets.iter().filter(|(set, _)| {
            let mut others = sets.iter();
            others.all(|(other, _)| other == set || !set.is_subset(other))
        });
        let mut found: Vec<Vec<String>> = largest
            .map(|(set, _)| names(&policies, set.iter().copied()))
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn policies_meet_in_a_container_that_has_what_one_of_them_asks_for() {
        check(
            &[
                ("shop/all", "selector: {}"),
                ("shop/web", "selector: { matchLabels: { app: web } }"),
                (
                    "shop/web-too",
                    "selector: { matchExpressions: [{ key: app, operator: In, values: [db, web] }, \
                     { key: app, operator: NotIn, values: [db] }] }",
                ),
                (
                    "shop/front",
                    "selector: { matchExpressions: [{ key: tier, operator: Exists }] }",
                ),
                ("bank/all", "selector: {}"),
                ("everywhere", "selector: {}"),
                (
                    "banks",
                    "selector: {}, namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: bank } }",
                ),
                (
                    "teams",
                    "selector: {}, namespaceSelector: { matchLabels: { team: a } }",
                ),
            ],
            &[
                &["bank/all", "banks", "everywhere"],
                &["everywhere", "shop/all", "shop/front"],
                &["everywhere", "shop/all", "shop/web", "shop/web-too"],
                &["everywhere", "teams"],
            ],
        );
    }

    #[test]
    fn containers_are_those_that_policies_of_the_pod_name() {
        check(
            &[
                ("a/every", "selector: { matchLabels: { app: web } }"),
                ("a/web", "selector: {}, containers: [web, \"side-*\"]"),
                (
                    "a/side",
                    "selector: {}, containers: [\"{side,init}-[!a-x]?\"]",
                ),
                (
                    "a/never",
                    "selector: { matchExpressions: [{ key: a, operator: Exists }, \
                  { key: a, operator: DoesNotExist }] }",
                ),
            ],
            &[&["a/every", "a/side"], &["a/every", "a/web"], &["a/never"]],
        );
    }

    #[test]
    fn what_cannot_be_linked_is_refused_with_the_smallest_set_that_cannot() {
        let half = bartizan_abi::limits::MAX_RULES / 2;
        let web = "selector: { matchLabels: { app: web } }";
        let mut policies = policies(&[
            policy("a/one", "selector: {}"),
            policy("a/two", "selector: {}"),
            policy("a/three", "selector: {}"),
            policy("a/web", web),
            policy("b/one", "selector: {}"),
            policy(
                "b/two",
                "selector: { matchLabels: { app: db } }, containers: [web]",
            ),
        ]);
        for large in [0, 1, 4] {
            let rule = policies[large].rules[0].clone();
            policies[large].rules = vec![rule; half];
        }
        let refusals = refusals(&policies);
        let [refusal] = &refusals[..] else {
            panic!("{refusals:?}")
        };
        assert_eq!(
            names(&policies, refusal.policies.iter().copied()),
            ["a/one", "a/three", "a/two"]
        );
        assert!(matches!(
            refusal.error,
            CombinationError::Link(LinkError::TooManyRules { .. })
        ));
    }

    #[test]
    fn a_policy_that_fits_nowhere_is_refused_alone() {
        let mut policies = policies(&[
            policy("a/huge", "selector: {}"),
            policy("a/small", "selector: {}"),
        ]);
        let rule = policies[0].rules[0].clone();
        policies[0].rules = vec![rule; bartizan_abi::limits::MAX_RULES + 1];
        let refused: Vec<Vec<usize>> = refusals(&policies)
            .into_iter()
            .map(|refusal| refusal.policies)
            .collect();
        assert_eq!(refused, [[0]]);
    }
}
