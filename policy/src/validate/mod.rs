//! From the API types to policies that mean something.
//!
//! Parse, don't validate: what comes out ([`Policy`]) holds patterns, CIDRs and
//! numbers, no text that could still be wrong. Every problem is found, each with the
//! place of its field, because users fix a file in one go. [`crate::load`] adds the
//! lines of a file; the operator puts the same problems into a policy's status.

mod address;
mod field;
mod list;
mod names;
mod network;
mod restrict;
mod rules;

use std::collections::{HashMap, HashSet};

use bartizan_crds::{
    ClusterSecurityPolicySpec, LabelSelector, LabelSelectorRequirement, SecurityPolicySpec,
    SelectorOperator,
};

pub use field::{FieldPath, Problem, Segment};
pub use names::{NameError, TwoValues, container_name, label, labels, namespace};
pub(crate) use network::unix_sockets;

use crate::excerpt::excerpt;
use crate::glob::Glob;
use crate::policy::Policy;
use crate::rule_map::{Mode, PolicyInfo};
use crate::selector::{Condition, Requirement, Selector};
use field::Problems;

/// A policy and, for each of its rules, the field it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The policy, without an origin.
    pub policy: Policy,
    /// Places of its rules, in the order of [`Policy::rules`].
    pub fields: Vec<FieldPath>,
    /// What is valid, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Checks a `SecurityPolicy` and gives every problem it has.
pub fn namespaced(
    namespace: &str,
    name: &str,
    spec: &SecurityPolicySpec,
) -> Result<Checked, Vec<Problem>> {
    let mut problems = Problems::default();
    let field = FieldPath::default().key("metadata").key("namespace");
    problems.note(field, names::namespace(namespace));
    policy(Scope::Namespace(namespace), name, spec, problems)
}

/// Checks a `ClusterSecurityPolicy` and gives every problem it has.
pub fn cluster(name: &str, spec: &ClusterSecurityPolicySpec) -> Result<Checked, Vec<Problem>> {
    let scope = Scope::Cluster(spec.namespace_selector.as_ref());
    policy(scope, name, &spec.policy, Problems::default())
}

/// Where a policy can hold.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// In this namespace.
    Namespace(&'a str),
    /// In the namespaces selected.
    Cluster(Option<&'a LabelSelector>),
}

fn policy(
    scope: Scope<'_>,
    name: &str,
    spec: &SecurityPolicySpec,
    mut problems: Problems,
) -> Result<Checked, Vec<Problem>> {
    let at = FieldPath::default();
    problems.note(at.key("metadata").key("name"), names::policy_name(name));
    let at = at.key("spec");
    let pods = selector(&spec.selector, &at.key("selector"), &mut problems);
    let (namespace, namespaces) = match scope {
        Scope::Namespace(namespace) => (Some(namespace), None),
        Scope::Cluster(None) => (None, Some(Selector::default())),
        Scope::Cluster(Some(api)) => (
            None,
            Some(selector(api, &at.key("namespaceSelector"), &mut problems)),
        ),
    };
    let containers = containers(spec, &at, &mut problems);
    let info = info(namespace, name, spec, &at, &mut problems);

    let mut placed = rules::category(spec.process.as_ref(), &at, &mut problems);
    placed.extend(rules::category(spec.files.as_ref(), &at, &mut problems));
    placed.extend(rules::category(spec.network.as_ref(), &at, &mut problems));
    placed.extend(rules::category(
        spec.capabilities.as_ref(),
        &at,
        &mut problems,
    ));
    placed.extend(restrict::rules(spec.restrict, &at));

    // Reports name a rule by its name alone.
    let mut seen: HashMap<&str, &FieldPath> = HashMap::new();
    let mut twice = Vec::new();
    for placed in &placed {
        if let Some(first) = seen.insert(&placed.rule.name, &placed.field) {
            twice.push((
                placed.field.key("name"),
                placed.rule.name.clone(),
                first.clone(),
            ));
        }
    }
    for (field, name, first) in twice {
        problems.add(
            field,
            format!(
                "`{}` is already the name of {first}: choose another",
                excerpt(&name)
            ),
        );
    }

    if !problems.found.is_empty() {
        return Err(problems.found);
    }
    let (rules, fields) = placed
        .into_iter()
        .map(|placed| (placed.rule, placed.field))
        .unzip();
    let policy = Policy {
        info,
        selector: pods,
        namespace_selector: namespaces,
        containers,
        startup: spec.startup,
        rules,
        origin: None,
        warnings: Vec::new(),
    };
    Ok(Checked {
        policy,
        fields,
        warnings: problems.warnings,
    })
}

fn containers(spec: &SecurityPolicySpec, at: &FieldPath, problems: &mut Problems) -> Vec<Glob> {
    let field = at.key("containers");
    if spec.containers.as_ref().is_some_and(Vec::is_empty) {
        problems.add(
            field.clone(),
            "the list is empty: leave it out for every container",
        );
    }
    once(spec.containers.as_ref(), &field, problems);
    let globs = spec.containers.iter().flatten().enumerate();
    globs
        .filter_map(|(i, text)| problems.note(field.index(i), Glob::parse(text)))
        .collect()
}

/// Notes what is in a list again: to the API server the list is a set.
fn once(list: Option<&Vec<String>>, field: &FieldPath, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for (i, element) in list.into_iter().flatten().enumerate() {
        if !seen.insert(element) {
            problems.add(
                field.index(i),
                format!("`{}` is there twice: remove one", excerpt(element)),
            );
        }
    }
}

fn info(
    namespace: Option<&str>,
    name: &str,
    spec: &SecurityPolicySpec,
    at: &FieldPath,
    problems: &mut Problems,
) -> PolicyInfo {
    if spec
        .severity
        .is_some_and(|severity| !(1..=10).contains(&severity))
    {
        problems.add(at.key("severity"), "severities are 1 to 10");
    }
    if spec
        .message
        .as_ref()
        .is_some_and(|message| message.chars().any(char::is_control))
    {
        problems.add(
            at.key("message"),
            "control characters and line breaks are not allowed",
        );
    }
    let field = at.key("tags");
    if spec.tags.as_ref().is_some_and(Vec::is_empty) {
        problems.add(field.clone(), "the list is empty: leave it out for no tags");
    }
    once(spec.tags.as_ref(), &field, problems);
    for (i, tag) in spec.tags.iter().flatten().enumerate() {
        if tag.is_empty() || tag.contains(|c: char| c.is_whitespace() || c.is_control()) {
            problems.add(
                field.index(i),
                format!("{tag:?} is no word: write it without blanks"),
            );
        }
    }
    PolicyInfo {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        mode: match spec.mode {
            bartizan_crds::Mode::Audit => Mode::Audit,
            bartizan_crds::Mode::Enforce => Mode::Enforce,
        },
        severity: spec.severity,
        message: spec.message.clone(),
        tags: spec.tags.clone().unwrap_or_default(),
    }
}

fn selector(api: &LabelSelector, field: &FieldPath, problems: &mut Problems) -> Selector {
    let labels = field.key("matchLabels");
    let mut requirements = Vec::new();
    for (key, value) in &api.match_labels {
        problems.note(labels.key(key), names::label_key(key));
        problems.note(labels.key(key), names::label_value(value));
        let condition = Condition::In([value.clone()].into());
        requirements.push(Requirement {
            key: key.clone(),
            condition,
        });
    }
    let expressions = field.key("matchExpressions");
    for (i, expression) in api.match_expressions.iter().enumerate() {
        requirements.extend(requirement(expression, &expressions.index(i), problems));
    }
    Selector { requirements }
}

fn requirement(
    api: &LabelSelectorRequirement,
    field: &FieldPath,
    problems: &mut Problems,
) -> Option<Requirement> {
    problems.note(field.key("key"), names::label_key(&api.key));
    let values = api.values.as_deref().unwrap_or_default();
    for (i, value) in values.iter().enumerate() {
        problems.note(field.key("values").index(i), names::label_value(value));
    }
    let operator = api.operator;
    let takes_values = matches!(operator, SelectorOperator::In | SelectorOperator::NotIn);
    if takes_values == values.is_empty() {
        let message = if takes_values {
            format!("`{operator:?}` needs at least one value")
        } else {
            format!("`{operator:?}` takes no values: leave them out")
        };
        problems.add(field.key("values"), message);
        return None;
    }
    let values = values.iter().cloned().collect();
    let condition = match operator {
        SelectorOperator::In => Condition::In(values),
        SelectorOperator::NotIn => Condition::NotIn(values),
        SelectorOperator::Exists => Condition::Exists,
        SelectorOperator::DoesNotExist => Condition::DoesNotExist,
    };
    Some(Requirement {
        key: api.key.clone(),
        condition,
    })
}
