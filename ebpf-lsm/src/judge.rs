//! From rows to an answer: decide, report if there is something to report, and turn
//! the outcome into the hook's return value.

use bartizan_abi::fields::dentry::INODE;
use bartizan_abi::maps::{Binding, Stat};
use bartizan_abi::op::{Operation, Ops};
use bartizan_abi::rows::{defaults, is_settled, masks, record_at, unresolved_defaults};
use bartizan_abi::table::{At, Automaton, Table, header};
use bartizan_abi::verdict::{Decision, Defaults, Masks, Outcome, decide};

use crate::credentials::user;
use crate::identity::Rules;
use crate::kernel::{INODE_UID, peek, try_peek};
use crate::lineage::is_exempt;
use crate::maps::count;
use crate::report::{Report, report};
use crate::subject::subject;
use crate::table::TableValue;
use crate::walks::{Rows, walk};

/// What an operation is done to; all plain numbers, so that it can be passed by address.
#[repr(C)]
pub struct Target {
    /// Address of a file's dentry, 0 for none.
    pub dentry: u64,
    /// See [`bartizan_abi::event::Event`].
    pub high: u64,
    /// See [`bartizan_abi::event::Event`].
    pub low: u64,
    /// See [`bartizan_abi::event::Event`].
    pub detail: u32,
}

impl Target {
    #[inline(always)]
    pub fn file(dentry: u64) -> Self {
        Self {
            dentry,
            high: 0,
            low: 0,
            detail: 0,
        }
    }
}

/// The current task owns the file.
#[inline(always)]
fn owns(dentry: u64) -> bool {
    let Some(user) = user() else {
        return false;
    };
    let inode: u64 = peek(dentry + INODE as u64);
    let uid: Option<u32> = try_peek(inode + INODE_UID.get() as u64);
    uid == Some(user)
}

/// Judges file operations by the rows of `automaton`; true: deny. Most end here: what a
/// row allows to every caller needs no caller. What has no name in the container is denied
/// what is denied of the file `behind` it, if there is one with a name.
#[inline(always)]
pub fn judge_file(
    rules: &Rules,
    rows: Rows,
    automaton: Automaton,
    ops: Ops,
    dentry: u64,
    behind: impl FnOnce() -> u64,
) -> bool {
    if let Some((row, leaf)) = rows.named()
        && is_settled(rules.table, row, leaf, ops)
    {
        return false;
    }
    let who = Who::new(automaton, subject(rules));
    if rows.named().is_none() {
        let behind = behind();
        if behind != 0 {
            let rows = walk(rules, behind, automaton);
            if judge_named(rules, rows, who, ops, behind) {
                return true;
            }
        }
    }
    judge_by_caller(rules, rows, who, ops, dentry)
}

/// Judges what the kernel itself opens for an operation that it has been asked for by another
/// name: what rules deny of its name, if it has one, and no default; true: deny.
#[inline(always)]
pub fn judge_opened_by_kernel(rules: &Rules, rows: Rows, ops: Ops, dentry: u64) -> bool {
    let who = Who::new(Automaton::Files, subject(rules));
    judge_named(rules, rows, who, ops, dentry)
}

#[inline(always)]
fn judge_named(rules: &Rules, rows: Rows, who: Who, ops: Ops, dentry: u64) -> bool {
    rows.named().is_some() && judge_by_caller(rules, rows, who.without_defaults(), ops, dentry)
}

/// By which automaton's rows, and for whom: one register, as a call has only five.
#[derive(Clone, Copy)]
struct Who(u64);

impl Who {
    const NO_DEFAULTS: u64 = 0x80;

    #[inline(always)]
    fn new(automaton: Automaton, subject: u64) -> Self {
        Self(automaton as u64 | subject << 8)
    }

    /// The same, with what no rule names allowed.
    #[inline(always)]
    fn without_defaults(self) -> Self {
        Self(self.0 | Self::NO_DEFAULTS)
    }
}

/// A function of its own, for its stack.
#[inline(never)]
fn judge_by_caller(rules: &Rules, rows: Rows, who: Who, ops: Ops, dentry: u64) -> bool {
    let (automaton, subject) = (who.0 as u32 & 0xf, who.0 >> 8);
    let table = rules.table;
    let (path, leaf, unresolved) = match rows.named() {
        Some((path, leaf)) => (path, leaf, false),
        None => {
            // A runtime's own files have no name in the container.
            if is_exempt(exec_in(ops)) != 0 {
                return false;
            }
            count(Stat::Unresolved);
            let field = header::UNRESOLVED_ROWS + automaton * 4;
            (table.header().u32(field), 0, true)
        }
    };
    let first = record_at(table, path, subject, || owns(dentry));
    let mut said = masks(table, first);
    let mut second = first;
    if leaf != 0 {
        second = record_at(table, leaf, subject, || owns(dentry));
        said = said.union(masks(table, second));
    }
    let fallback = if who.0 & Who::NO_DEFAULTS != 0 {
        Defaults::default()
    } else if unresolved {
        unresolved_defaults(table)
    } else {
        defaults(table)
    };
    let mut decision = decide(said, fallback, ops);
    if decision.outcome == Outcome::Allow {
        if !unresolved {
            return false;
        }
        decision = Decision {
            outcome: Outcome::Unresolved,
            ops: ops & table.header().u32(header::JUDGED) as Ops,
        };
        if decision.ops == 0 {
            return false;
        }
    }
    let records = first | second << 32;
    finish(rules, decision, records, &Target::file(dentry))
}

/// Judges an operation that has one row; true: deny. `quiet`: don't report.
#[inline(always)]
pub fn judge_row(rules: &Rules, row: u64, ops: Ops, target: &Target, quiet: bool) -> bool {
    let table = rules.table;
    if is_settled(table, row, 0, ops) {
        return false;
    }
    let subject = subject(rules);
    judge_by_record(
        rules,
        record_at(table, row, subject, || false),
        ops,
        target,
        quiet,
    )
}

/// Judges an operation whose rules never look at the caller; true: deny. So that tracers
/// needn't be looked at while the kernel holds its lock on all tasks.
#[inline(always)]
pub fn judge_for_everybody(rules: &Rules, row: u64, ops: Ops, target: &Target) -> bool {
    let table = rules.table;
    if is_settled(table, row, 0, ops) {
        return false;
    }
    judge_by_record(
        rules,
        record_at(table, row, 0, || false),
        ops,
        target,
        false,
    )
}

#[inline(always)]
fn judge_by_record(rules: &Rules, record: u64, ops: Ops, target: &Target, quiet: bool) -> bool {
    let table = rules.table;
    let said: Masks = masks(table, record);
    let decision = decide(said, defaults(table), ops);
    if decision.outcome == Outcome::Allow {
        return false;
    }
    if quiet {
        return decision.outcome == Outcome::Deny && is_exempt(0) == 0;
    }
    finish(rules, decision, record | record << 32, target)
}

/// 1 if running a program is among them.
#[inline(always)]
fn exec_in(ops: Ops) -> u64 {
    u64::from(ops & Operation::Exec.bit() != 0)
}

#[inline(always)]
fn finish(rules: &Rules, decision: Decision, records: u64, target: &Target) -> bool {
    let decided = u64::from(decision.ops) | (decision.outcome as u64) << 32;
    finish_by(rules.binding, rules.table_value(), decided, records, target) != 0
}

/// Reports a decision that isn't to allow: operations in the lower half of `decided`, the
/// outcome in the upper; two records likewise. 1: deny. A global function: its stack isn't
/// in use while the caller's executable is looked at, and it is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn finish_by(
    binding: *const Binding,
    table: *const TableValue,
    decided: u64,
    records: u64,
    target: *const Target,
) -> u64 {
    let ops = decided as Ops;
    let outcome = (decided >> 32) as u32;
    if is_exempt(exec_in(ops)) != 0 {
        return 0;
    }
    let denied = u64::from(outcome == Outcome::Deny as u32);
    if binding.is_null() || table.is_null() || target.is_null() {
        return denied;
    }
    // SAFETY: the caller's, checked by the verifier.
    let target = unsafe { &*target };
    let what = Report {
        outcome,
        ops,
        records: [records as u32, (records >> 32) as u32],
        dentry: target.dentry,
        high: target.high,
        low: target.low,
        detail: target.detail,
    };
    report(binding, table, &what);
    denied
}
