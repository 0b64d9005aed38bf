//! Lines of the denial log, as far as tables of cases speak of them.

use serde::Deserialize;

/// A line of the denial log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// `deny`, `would-deny`, `audit`, `unresolved`.
    pub verdict: String,
    /// Name of the rule that decided.
    pub rule: Option<String>,
    /// Name of the operation, as policies write it.
    pub operation: String,
    /// What it was done to.
    pub target: Option<String>,
    /// Path of the program that did it.
    pub executable: Option<String>,
}

impl Denial {
    /// Whether this line is the expected one. What has no name has one of its own in the log.
    pub fn is(&self, expected: &Self) -> bool {
        self.is_about(expected) && self.verdict == expected.verdict && self.rule == expected.rule
    }

    /// Whether this line is about the same operation, whatever its verdict.
    pub fn is_about(&self, other: &Self) -> bool {
        let target = match other.target.as_deref() {
            Some("unnamed") => self
                .target
                .as_deref()
                .is_some_and(|target| target.starts_with('?')),
            // The log is more precise, where there is something to name.
            Some("anything") => true,
            Some(path) if path.starts_with('/') => self.target.as_deref() == Some(path),
            // `TCP` as policies write it, `tcp` as operations are written.
            other => self.target.as_deref().map(str::to_lowercase) == other.map(str::to_lowercase),
        };
        target && self.operation == other.operation && self.executable == other.executable
    }
}
