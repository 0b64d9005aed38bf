//! Several policies to the one rule map of a container.
//!
//! A pure function of the set of policies: their order, age and number of files
//! don't matter, which is what lets every node compute the same map.

use std::cmp::Reverse;

use bartizan_abi::limits::MAX_RULES;
use bartizan_crds::Startup;

use crate::policy::Policy;
use crate::rule_map::{Rule, RuleMap};
use crate::selector::{Labels, NAMESPACE_NAME};

/// A container that policies may select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace. `None`: unknown, and every policy counts as one of it.
    pub namespace: Option<String>,
    /// Labels of the namespace; `kubernetes.io/metadata.name` is added.
    pub namespace_labels: Labels,
    /// Labels of its pod.
    pub labels: Labels,
    /// Its name in the pod. `None`: unknown, and only the globs `*` match it.
    pub container: Option<String>,
}

/// By what a policy doesn't select a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It holds in other namespaces.
    Namespace,
    /// It holds for pods with other labels.
    Labels,
    /// It holds for containers with other names, or the name isn't known.
    Container,
}

/// Why policies make no rule map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// More rules than there are rule numbers.
    #[error(
        "{rules} rules hold for one container, but at most {MAX_RULES} can: {largest} alone \
         has {of_largest}"
    )]
    TooManyRules {
        /// All rules.
        rules: usize,
        /// The policy with the most rules.
        largest: String,
        /// How many those are.
        of_largest: usize,
    },
}

impl LinkError {
    /// Cause for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyRules { .. } => "TooManyRules",
        }
    }
}

impl Workload {
    /// Whether a policy holds for this container.
    pub fn is_selected_by(&self, policy: &Policy) -> bool {
        self.mismatch(policy).is_none()
    }

    /// Whether a policy holds for containers of this one's pod, by name or not.
    pub fn pod_is_selected_by(&self, policy: &Policy) -> bool {
        matches!(self.mismatch(policy), None | Some(Mismatch::Container))
    }

    /// The first thing by which a policy doesn't select this container.
    pub fn mismatch(&self, policy: &Policy) -> Option<Mismatch> {
        let is_named = || match &self.container {
            Some(name) => policy.selects_container(name),
            None => policy.selects_every_container(),
        };
        if !self.is_in_scope_of(policy) {
            Some(Mismatch::Namespace)
        } else if !policy.selector.matches(&self.labels) {
            Some(Mismatch::Labels)
        } else if !is_named() {
            Some(Mismatch::Container)
        } else {
            None
        }
    }

    fn is_in_scope_of(&self, policy: &Policy) -> bool {
        let Some(own) = &self.namespace else {
            return true;
        };
        let mut labels = self.namespace_labels.clone();
        labels.insert(NAMESPACE_NAME.to_owned(), own.clone());
        policy.holds_in(own, &labels)
    }
}

/// The rules that hold for a container, in canonical order: namespaced policies before
/// cluster-wide ones, then by namespace and name; rules as their policy has them.
pub fn link(policies: &[Policy], workload: &Workload) -> Result<RuleMap, LinkError> {
    let selected: Vec<&Policy> = policies
        .iter()
        .filter(|policy| workload.is_selected_by(policy))
        .collect();
    together(&selected)
}

/// The rules of these policies, whatever they select.
pub fn together(policies: &[&Policy]) -> Result<RuleMap, LinkError> {
    let mut policies = policies.to_vec();
    policies.sort_by_key(|policy| {
        (
            Reverse(policy.info.namespace.is_some()),
            &policy.info.namespace,
            &policy.info.name,
        )
    });
    number(&policies)
}

/// What happens to a container that would start before the rules of these policies are in
/// the kernel: it waits if one of them says so. No part of the rule map, so that containers
/// with the same rules share one.
pub fn startup<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Startup {
    let mut policies = policies.into_iter();
    if policies.any(Policy::holds_containers) {
        Startup::Hold
    } else {
        Startup::Report
    }
}

/// The rules of one policy, as if it were the only one.
pub fn alone(policy: &Policy) -> Result<RuleMap, LinkError> {
    number(&[policy])
}

/// Policies in canonical order to a map.
fn number(policies: &[&Policy]) -> Result<RuleMap, LinkError> {
    let rules: usize = policies.iter().map(|policy| policy.rules.len()).sum();
    if rules > MAX_RULES {
        let largest = policies.iter().max_by_key(|policy| policy.rules.len());
        return Err(LinkError::TooManyRules {
            rules,
            largest: largest
                .map(|policy| policy.info.reference())
                .unwrap_or_default(),
            of_largest: largest.map_or(0, |policy| policy.rules.len()),
        });
    }
    let mut map = RuleMap::default();
    for (number, policy) in policies.iter().enumerate() {
        map.policies.push(policy.info.clone());
        map.rules.extend(policy.rules.iter().map(|rule| Rule {
            policy: number,
            ..rule.clone()
        }));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Source, load};
    use crate::rule_map::PolicyInfo;

    fn policies(text: &str) -> Vec<Policy> {
        load(&[Source::new("p.yaml", text)]).unwrap()
    }

    fn policy(kind: &str, metadata: &str, spec: &str) -> String {
        format!(
            "---\napiVersion: bartizan.dev/v1alpha1\nkind: {kind}\nmetadata: {{ {metadata} }}\n\
             spec: {{ {spec}, process: {{ deny: [{{ paths: [/a] }}], default: Deny }} }}\n"
        )
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn workload(namespace: Option<&str>, container: Option<&str>) -> Workload {
        Workload {
            namespace: namespace.map(str::to_owned),
            namespace_labels: labels(&[("team", "shop")]),
            labels: labels(&[("app", "web")]),
            container: container.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(text: &str, workload: &Workload, expected: &[&str]) {
        let map = link(&policies(text), workload).unwrap();
        let names: Vec<String> = map.policies.iter().map(PolicyInfo::reference).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn policies_come_namespaced_first_then_by_namespace_and_name_whatever_their_order() {
        let one = |kind, metadata| policy(kind, metadata, "selector: {}");
        let all = [
            one("ClusterSecurityPolicy", "name: a"),
            one("SecurityPolicy", "name: c, namespace: b"),
            one("SecurityPolicy", "name: b, namespace: c"),
            one("SecurityPolicy", "name: b, namespace: b"),
        ];
        let anywhere = workload(None, None);
        let expected = ["b/b", "b/c", "c/b", "a"];
        check(&all.concat(), &anywhere, &expected);
        let reversed: String = all.iter().rev().map(String::as_str).collect();
        check(&reversed, &anywhere, &expected);
        let map = link(&policies(&all.concat()), &anywhere);
        assert_eq!(map, link(&policies(&reversed), &anywhere));
    }

    #[test]
    fn rules_carry_the_number_of_their_policy() {
        let text = policy("SecurityPolicy", "name: b", "selector: {}")
            + &policy("SecurityPolicy", "name: a", "selector: {}");
        let map = link(&policies(&text), &workload(None, None)).unwrap();
        let rules: Vec<(usize, &str)> = map
            .rules
            .iter()
            .map(|rule| (rule.policy, rule.name.as_str()))
            .collect();
        let (deny, default) = ("process.deny[0]", "process.default");
        assert_eq!(rules, [(0, deny), (0, default), (1, deny), (1, default)]);
        assert_eq!(map.policies[0].name, "a");
    }

    #[test]
    fn a_policy_holds_for_pods_with_its_labels() {
        let text = policy(
            "SecurityPolicy",
            "name: a",
            "selector: { matchLabels: { app: web } }",
        ) + &policy(
            "SecurityPolicy",
            "name: b",
            "selector: { matchLabels: { app: db } }",
        );
        check(&text, &workload(None, None), &["default/a"]);
    }

    #[test]
    fn a_namespaced_policy_holds_in_its_namespace_and_anywhere_if_none_is_known() {
        let text = policy("SecurityPolicy", "name: a, namespace: shop", "selector: {}")
            + &policy("SecurityPolicy", "name: a, namespace: bank", "selector: {}");
        check(&text, &workload(Some("shop"), None), &["shop/a"]);
        check(&text, &workload(None, None), &["bank/a", "shop/a"]);
    }

    #[test]
    fn a_cluster_policy_holds_in_namespaces_with_its_labels() {
        let cluster = |name: &str, selector: &str| {
            let spec = format!("selector: {{}}, namespaceSelector: {{ matchLabels: {selector} }}");
            policy("ClusterSecurityPolicy", &format!("name: {name}"), &spec)
        };
        let text = cluster("team", "{ team: shop }")
            + &cluster("other", "{ team: bank }")
            + &cluster("by-name", "{ kubernetes.io/metadata.name: shop }")
            + &cluster("everywhere", "{}");
        check(
            &text,
            &workload(Some("shop"), None),
            &["by-name", "everywhere", "team"],
        );
        check(
            &text,
            &workload(None, None),
            &["by-name", "everywhere", "other", "team"],
        );
    }

    #[test]
    fn a_container_is_selected_by_its_name_and_without_one_only_by_a_star() {
        let containers = |name: &str, globs: &str| {
            let spec = format!("selector: {{}}, containers: {globs}");
            policy("SecurityPolicy", &format!("name: {name}"), &spec)
        };
        let text = containers("glob", "[\"side-*\", web]")
            + &containers("star", "[\"*\"]")
            + &policy("SecurityPolicy", "name: all", "selector: {}");
        let named = |name| workload(None, Some(name));
        check(
            &text,
            &named("web"),
            &["default/all", "default/glob", "default/star"],
        );
        check(
            &text,
            &named("side-1"),
            &["default/all", "default/glob", "default/star"],
        );
        check(&text, &named("db"), &["default/all", "default/star"]);
        check(
            &text,
            &workload(None, None),
            &["default/all", "default/star"],
        );
    }

    #[test]
    fn one_policy_that_enforces_and_holds_has_a_container_wait() {
        let one = |name: &str, spec: &str| {
            let spec = format!("selector: {{}}, {spec}");
            policies(&policy("SecurityPolicy", &format!("name: {name}"), &spec)).remove(0)
        };
        let report = one("report", "mode: Enforce");
        let dry = one("dry", "startup: Hold");
        let hold = one("hold", "mode: Enforce, startup: Hold");
        assert_eq!(startup([]), Startup::Report);
        assert_eq!(startup([&report, &dry]), Startup::Report);
        assert_eq!(startup([&report, &dry, &hold]), Startup::Hold);
        let same = |policy: &Policy| Policy {
            startup: Startup::Report,
            ..policy.clone()
        };
        assert_eq!(
            alone(&hold),
            alone(&same(&hold)),
            "the rule map knows nothing of it"
        );
    }

    #[test]
    fn more_rules_than_rule_numbers_are_refused_naming_the_largest_policy() {
        let mut many = policies(&policy("SecurityPolicy", "name: many", "selector: {}"));
        let rule = many[0].rules[0].clone();
        many[0].rules = vec![rule; MAX_RULES + 1];
        let error = link(&many, &workload(None, None)).unwrap_err();
        assert_eq!(error.reason(), "TooManyRules");
        assert_eq!(
            error.to_string(),
            "16385 rules hold for one container, but at most 16384 can: default/many alone has 16385"
        );
    }
}
