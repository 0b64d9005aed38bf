//! From rows to a decision and to the rule that made it.

use crate::op::{Operation, Ops};
use crate::repeat::{Step, repeat};
use crate::table::{
    ATTRIBUTION_SIZE, At, Kind, MAX_ATTRIBUTIONS, NO_RULE, RECORD_SIZE, Table, header, record,
};
use crate::verdict::{Defaults, Masks, Outcome};

/// Whether a row and a leaf's row simply allow some operations, whoever calls: then
/// there is nothing to look up. What isn't settled may still be allowed.
#[inline(always)]
pub fn is_settled<T: Table>(table: T, row: u64, leaf: u64, ops: Ops) -> bool {
    leaf == 0 && row_ops(table, row) & u64::from(ops) == 0
}

/// Operations that a row may deny or report for some caller.
#[inline(always)]
fn row_ops<T: Table>(table: T, row: u64) -> u64 {
    let list = table.header().u32(header::ROW_OPS);
    table.at(list.wrapping_add(row << 2)).u32(0)
}

/// The record of a row for one subject, as its offset. `owner` is asked only if a
/// rule of that row makes an exception for the file's owner.
#[inline(always)]
pub fn record_at<T: Table>(table: T, row: u64, subject: u64, owner: impl FnOnce() -> bool) -> u64 {
    let head = table.header();
    let cell = row
        .wrapping_mul(head.u32(header::SUBJECTS))
        .wrapping_add(subject);
    let offset = table
        .at(head.u32(header::ROWS).wrapping_add(cell << 1))
        .u16(0)
        << 5;
    if table.at(offset).u32(record::OWNER) != 0 && owner() {
        return offset + u64::from(RECORD_SIZE);
    }
    offset
}

/// The masks of a record.
#[inline(always)]
pub fn masks<T: Table>(table: T, offset: u64) -> Masks {
    let at = table.at(offset);
    Masks {
        enforce_deny: at.u32(0) as Ops,
        enforce_allow: at.u32(4) as Ops,
        audit_deny: at.u32(8) as Ops,
        audit_allow: at.u32(12) as Ops,
        report: at.u32(16) as Ops,
    }
}

/// Default verdicts for operations on things that have a name.
#[inline(always)]
pub fn defaults<T: Table>(table: T) -> Defaults {
    let head = table.header();
    Defaults {
        enforce: head.u32(header::DEFAULT_ENFORCE) as Ops,
        audit: head.u32(header::DEFAULT_AUDIT) as Ops,
    }
}

/// Default verdicts for files that have none.
#[inline(always)]
pub fn unresolved_defaults<T: Table>(table: T) -> Defaults {
    let head = table.header();
    Defaults {
        enforce: head.u32(header::UNRESOLVED_ENFORCE) as Ops,
        audit: head.u32(header::UNRESOLVED_AUDIT) as Ops,
    }
}

/// The lowest rule of a record that has `op` in its mask of `kind`; [`NO_RULE`] if none.
pub fn rule_in<T: Table>(table: T, offset: u64, kind: Kind, op: Ops) -> u64 {
    let mut search = RuleSearch::new(table, offset, kind, op);
    repeat(MAX_ATTRIBUTIONS.into(), &mut search);
    search.rule
}

/// [`rule_in`] on its way through a record's attributions, [`MAX_ATTRIBUTIONS`] at most.
pub struct RuleSearch<T> {
    table: T,
    list: u64,
    count: u64,
    kind: u64,
    op: u64,
    /// What has been found so far.
    pub rule: u64,
}

impl<T: Table> RuleSearch<T> {
    /// At the first attribution of the record at `offset`.
    #[inline(always)]
    pub fn new(table: T, offset: u64, kind: Kind, op: Ops) -> Self {
        let at = table.at(offset);
        Self {
            table,
            list: at.u32(record::ATTRIBUTION),
            count: at.u32(record::ATTRIBUTIONS),
            kind: kind as u64,
            op: op.into(),
            rule: NO_RULE.into(),
        }
    }
}

impl<T: Table> Step for RuleSearch<T> {
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        if i >= self.count {
            return Some(false);
        }
        let place = self.list.wrapping_add(i * u64::from(ATTRIBUTION_SIZE));
        let entry = self.table.at(place);
        if entry.u32(0) & self.op == 0 || entry.u16(6) != self.kind {
            return Some(true);
        }
        // They are sorted: the first is the lowest.
        self.rule = entry.u16(4);
        Some(false)
    }
}

/// The rule to name for an outcome: the lowest matching rule of the records looked
/// at, else the default's. `records` are offsets from [`record_at`].
#[inline(always)]
pub fn rule<T: Table>(table: T, records: [u64; 2], outcome: Outcome, op: Operation) -> u64 {
    rule_by(table, records, outcome, op, |record, kind, op| {
        rule_in(table, record, kind, op)
    })
}

/// [`rule`], with [`rule_in`] called by the caller's own way.
#[inline(always)]
pub fn rule_by<T: Table>(
    table: T,
    records: [u64; 2],
    outcome: Outcome,
    op: Operation,
    rule_in: impl Fn(u64, Kind, Ops) -> u64,
) -> u64 {
    let kind = match outcome {
        Outcome::Deny => Kind::EnforceDeny,
        Outcome::WouldDeny => Kind::AuditDeny,
        Outcome::Audit => Kind::Report,
        Outcome::Allow | Outcome::Unresolved => return u64::from(NO_RULE),
    };
    let first = rule_in(records[0], kind, op.bit());
    let second = rule_in(records[1], kind, op.bit());
    let rule = if first < second { first } else { second };
    if rule != u64::from(NO_RULE) {
        return rule;
    }
    let list = match outcome {
        Outcome::Deny => header::DEFAULT_RULES_ENFORCE,
        _ => header::DEFAULT_RULES_AUDIT,
    };
    table.at(u64::from(list) + (op as u64) * 2).u16(0)
}
