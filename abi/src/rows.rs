//! From rows to a decision and to the rule that made it.

use crate::bits::{any, pick};
use crate::op::{Operation, Ops};
use crate::table::{ATTRIBUTION_SIZE, At, Kind, MAX_ATTRIBUTIONS, NO_RULE, Table, header, record};
use crate::verdict::{Defaults, Masks, Outcome};

/// The record of a row for one subject, as its offset. `owner` is asked only if a
/// rule of that row makes an exception for the file's owner.
#[inline(always)]
pub fn record_at<T: Table>(table: T, row: u32, subject: u32, owner: impl FnOnce() -> bool) -> u32 {
    let head = table.header();
    let cell = row
        .wrapping_mul(head.u32(header::SUBJECTS))
        .wrapping_add(subject);
    let offset = table
        .at(head.u32(header::ROWS).wrapping_add(cell << 1))
        .u16(0)
        << 5;
    if table.at(offset).u32(record::OWNER) != 0 && owner() {
        return offset + crate::table::RECORD_SIZE;
    }
    offset
}

/// The masks of a record.
#[inline(always)]
pub fn masks<T: Table>(table: T, offset: u32) -> Masks {
    let at = table.at(offset);
    Masks {
        enforce_deny: at.u32(0),
        enforce_allow: at.u32(4),
        audit_deny: at.u32(8),
        audit_allow: at.u32(12),
        report: at.u32(16),
    }
}

/// Default verdicts for operations on things that have a name.
#[inline(always)]
pub fn defaults<T: Table>(table: T) -> Defaults {
    let head = table.header();
    Defaults {
        enforce: head.u32(header::DEFAULT_ENFORCE),
        audit: head.u32(header::DEFAULT_AUDIT),
    }
}

/// Default verdicts for files that have none.
#[inline(always)]
pub fn unresolved_defaults<T: Table>(table: T) -> Defaults {
    let head = table.header();
    Defaults {
        enforce: head.u32(header::UNRESOLVED_ENFORCE),
        audit: head.u32(header::UNRESOLVED_AUDIT),
    }
}

/// The lowest rule of a record that has `op` in its mask of `kind`; [`NO_RULE`] if none.
#[inline(always)]
pub fn rule_in<T: Table>(table: T, offset: u32, kind: Kind, op: Ops) -> u32 {
    let at = table.at(offset);
    let list = at.u32(record::ATTRIBUTION);
    let count = at.u32(record::ATTRIBUTIONS);
    let mut rule = u32::from(NO_RULE);
    let mut found = 0;
    let mut i = 0;
    while i < MAX_ATTRIBUTIONS {
        if i >= count {
            break;
        }
        let entry = table.at(list.wrapping_add(i * ATTRIBUTION_SIZE));
        let matches = any(u64::from(entry.u32(0) & op))
            & !any(u64::from(entry.u16(6) ^ kind as u32))
            & !found;
        rule = pick(matches, entry.u16(4), rule);
        found |= matches;
        i += 1;
    }
    rule
}

/// The rule to name for an outcome: the lowest matching rule of the records looked
/// at, else the default's. `records` are offsets from [`record_at`].
#[inline(always)]
pub fn rule<T: Table>(table: T, records: [u32; 2], outcome: Outcome, op: Operation) -> u32 {
    rule_by(table, records, outcome, op, |record, kind, op| {
        rule_in(table, record, kind, op)
    })
}

/// [`rule`], with [`rule_in`] called by the caller's own way.
#[inline(always)]
pub fn rule_by<T: Table>(
    table: T,
    records: [u32; 2],
    outcome: Outcome,
    op: Operation,
    rule_in: impl Fn(u32, Kind, Ops) -> u32,
) -> u32 {
    let kind = match outcome {
        Outcome::Deny => Kind::EnforceDeny,
        Outcome::WouldDeny => Kind::AuditDeny,
        Outcome::Audit => Kind::Report,
        Outcome::Allow | Outcome::Unresolved => return u32::from(NO_RULE),
    };
    let first = rule_in(records[0], kind, op.bit());
    let second = rule_in(records[1], kind, op.bit());
    let rule = if first < second { first } else { second };
    if rule != u32::from(NO_RULE) {
        return rule;
    }
    let list = match outcome {
        Outcome::Deny => header::DEFAULT_RULES_ENFORCE,
        _ => header::DEFAULT_RULES_AUDIT,
    };
    table.at(list + (op as u32) * 2).u16(0)
}
