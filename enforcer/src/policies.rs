//! The policies in force, as read from files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use bartizan_policy::enforceable::Gaps;
use bartizan_policy::link::{LinkError, Workload, alone, link};
use bartizan_policy::load::{Diagnostics, Source, load};
use bartizan_policy::policy::Policy;
use bartizan_policy::rule_map::RuleMap;

/// Checked policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Of the text they came from.
    fingerprint: u64,
    policies: Vec<Policy>,
}

impl Policies {
    /// Reads and checks files and directories; all or nothing.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Diagnostics> {
        Self::check(&Source::read_all(paths))
    }

    /// Checks policies that have been read.
    pub fn check(sources: &[Source]) -> Result<Self, Diagnostics> {
        let policies = load(sources)?;
        Ok(Self {
            fingerprint: fingerprint(sources),
            policies,
        })
    }

    /// [`fingerprint`] of the files they were read from.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Says of policies that ask that containers wait, that nobody here can have them wait.
    pub fn warn_of_holds(&self) {
        for policy in self.policies.iter().filter(|it| it.holds_containers()) {
            tracing::warn!(
                policy = policy.info.reference(),
                "`startup: Hold` is kept in a cluster alone: what runs in a cgroup before it is \
                 armed runs without rules"
            );
        }
    }

    /// Says of policies that the kernel can't enforce in full, what of them it can't.
    pub fn warn_of_gaps(&self, gaps: &Gaps) {
        for policy in &self.policies {
            let alone = alone(policy).unwrap_or_default();
            for lacking in gaps.by_policy(&alone) {
                let operations: Vec<_> = lacking.gap.operations().collect();
                tracing::warn!(
                    policy = policy.info.reference(),
                    rules = lacking.rules.join(", "),
                    operations = operations.join(", "),
                    hooks = lacking.gap.hooks.join(", "),
                    "not enforceable here: this kernel lacks hooks"
                );
            }
        }
    }

    /// What they mean for one workload.
    pub fn rules_for(&self, workload: &Workload) -> Result<RuleMap, LinkError> {
        link(&self.policies, workload)
    }
}

/// A number that is equal for files with equal names and bytes.
pub fn fingerprint(sources: &[Source]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in sources {
        (&source.file, &source.bytes).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_names_make_the_fingerprint() {
        let one = fingerprint(&[Source::new("a", "x")]);
        assert_eq!(one, fingerprint(&[Source::new("a", "x")]));
        assert_ne!(one, fingerprint(&[Source::new("b", "x")]));
        assert_ne!(one, fingerprint(&[Source::new("a", "y")]));
    }
}
