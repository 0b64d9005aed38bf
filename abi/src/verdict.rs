//! From rule masks to a decision.
//!
//! Let E be the policies in Enforce and A those in Audit. A row of the tables
//! says, per operation, whether a rule of E or A denies or allows it. Masks of
//! several rows (path and leaf name, several names of one file) are OR-ed: a rule
//! matches a file if it matches any of its names. Only then is it decided, which
//! is what makes deny beat allow beat default whatever the order.

use crate::op::Ops;

/// What the matching rules say, one bit per operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// Denied by a deny rule of an enforced policy.
    pub enforce_deny: Ops,
    /// Allowed by an allow rule of an enforced policy.
    pub enforce_allow: Ops,
    /// Denied by a deny rule of an audited policy.
    pub audit_deny: Ops,
    /// Allowed by an allow rule of an audited policy.
    pub audit_allow: Ops,
    /// Reported by an audit rule of any policy.
    pub report: Ops,
}

impl Masks {
    /// What applies when both sets of rules match.
    #[inline(always)]
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            enforce_deny: self.enforce_deny | other.enforce_deny,
            enforce_allow: self.enforce_allow | other.enforce_allow,
            audit_deny: self.audit_deny | other.audit_deny,
            audit_allow: self.audit_allow | other.audit_allow,
            report: self.report | other.report,
        }
    }
}

/// What happens to operations that no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Denied by default by an enforced policy.
    pub enforce: Ops,
    /// Denied by default by an audited policy.
    pub audit: Ops,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Goes on, nothing to report.
    Allow = 0,
    /// Blocked.
    Deny = 1,
    /// Goes on; would be blocked if the audited policies were enforced.
    WouldDeny = 2,
    /// Goes on; an audit rule wants it reported.
    Audit = 3,
    /// Goes on; its object has no name that a rule could have matched.
    Unresolved = 4,
}

/// The outcome and the operations it is about (never empty unless `Allow`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How it ends.
    pub outcome: Outcome,
    /// Of the judged operations, those with that outcome.
    pub ops: Ops,
}

/// Decides operations `ops` (several when one call does several things, such as
/// opening for reading and writing: all must be allowed).
#[inline(always)]
pub fn decide(m: Masks, d: Defaults, ops: Ops) -> Decision {
    let enforced = m.enforce_deny | (d.enforce & !m.enforce_allow);
    let denied = enforced & ops;
    if denied != 0 {
        return Decision {
            outcome: Outcome::Deny,
            ops: denied,
        };
    }
    let allow = m.enforce_allow | m.audit_allow;
    let all = m.enforce_deny | m.audit_deny | ((d.enforce | d.audit) & !allow);
    let would = all & ops;
    if would != 0 {
        return Decision {
            outcome: Outcome::WouldDeny,
            ops: would,
        };
    }
    let report = m.report & ops;
    if report != 0 {
        return Decision {
            outcome: Outcome::Audit,
            ops: report,
        };
    }
    Decision {
        outcome: Outcome::Allow,
        ops: 0,
    }
}
