//! Label selectors that have been checked, and what they select.

use std::collections::{BTreeMap, BTreeSet};

/// The label that every namespace has, with its own name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Labels of a pod or namespace.
pub type Labels = BTreeMap<String, String>;

/// All requirements must hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// What must hold.
    pub requirements: Vec<Requirement>,
}

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What its value must be.
    pub condition: Condition,
}

/// What must hold of a label's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It exists and is one of these.
    In(BTreeSet<String>),
    /// It doesn't exist or is none of these.
    NotIn(BTreeSet<String>),
    /// It exists.
    Exists,
    /// It doesn't exist.
    DoesNotExist,
}

impl Selector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        let mut requirements = self.requirements.iter();
        requirements.all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    /// Whether it holds of these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.condition {
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Condition::Exists => value.is_some(),
            Condition::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn selector(condition: Condition) -> Selector {
        Selector {
            requirements: vec![Requirement {
                key: "tier".into(),
                condition,
            }],
        }
    }

    fn values(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        assert!(Selector::default().matches(&labels(&[])));
        assert!(Selector::default().matches(&labels(&[("a", "b")])));
    }

    #[test]
    fn conditions_are_those_of_kubernetes() {
        let (web, db, none) = (
            labels(&[("tier", "web")]),
            labels(&[("tier", "db")]),
            labels(&[("app", "web")]),
        );
        let select = |condition: Condition| {
            let selector = selector(condition);
            [
                selector.matches(&web),
                selector.matches(&db),
                selector.matches(&none),
            ]
        };
        assert_eq!(
            select(Condition::In(values(&["web", "x"]))),
            [true, false, false]
        );
        assert_eq!(
            select(Condition::NotIn(values(&["web", "x"]))),
            [false, true, true]
        );
        assert_eq!(select(Condition::Exists), [true, true, false]);
        assert_eq!(select(Condition::DoesNotExist), [false, false, true]);
    }
}
