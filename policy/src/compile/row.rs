//! Rows: what is known of a thing once an automaton has read it.
//!
//! ```text
//!   tags that match ─► per subject a record {masks, attribution} ─► row number
//! ```
//!
//! Rows with the same records are one row, whatever rules led there; that is what
//! minimisation starts from.

use std::rc::Rc;

use bartizan_abi::op::Ops;
use bartizan_abi::table::Kind;
use bartizan_abi::verdict::{Defaults, Masks, Outcome, decide};

use super::effect::{Class, Classes, Tag};
use super::intern::Interner;
use super::subject::Subject;
use crate::rule_map::{Effect, Mode};

/// One verdict cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Record {
    /// In the order of [`bartizan_abi::verdict::Masks`].
    pub(super) masks: [Ops; 5],
    /// Operations, rule, [`Kind`]; sorted by rule.
    pub(super) attribution: Vec<(Ops, u32, u16)>,
}

impl Record {
    /// Operations that it doesn't simply allow.
    fn ops(&self, defaults: Defaults) -> Ops {
        let [enforce_deny, enforce_allow, audit_deny, audit_allow, report] = self.masks;
        let masks = Masks {
            enforce_deny,
            enforce_allow,
            audit_deny,
            audit_allow,
            report,
        };
        (0..Ops::BITS)
            .map(|number| 1 << number)
            .filter(|op| decide(masks, defaults, *op).outcome != Outcome::Allow)
            .fold(0, |ops, op| ops | op)
    }
}

/// A cell, and the cell for owners of the file if that differs.
pub(super) type Cell = (Record, Option<Record>);

/// What matches: the thing itself, and things below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Matched {
    tags: Vec<Tag>,
    above: Vec<Tag>,
}

/// All rows of a table. Row 0 is that nothing matched.
pub(super) struct Rows {
    classes: Classes,
    subjects: Vec<Subject>,
    known: Interner<Matched>,
    /// Row by number in `known`.
    numbers: Vec<u32>,
    cells: Interner<Cell>,
    /// Numbers of cells by subject, by row.
    by_number: Interner<Vec<u32>>,
}

impl Rows {
    pub(super) fn new(classes: Classes, subjects: Vec<Subject>) -> Self {
        let mut rows = Self {
            classes,
            subjects,
            known: Interner::new(),
            numbers: Vec::new(),
            cells: Interner::new(),
            by_number: Interner::new(),
        };
        rows.number(Vec::new(), Vec::new());
        rows
    }

    /// The row of something that `tags` match, and that is an ancestor of what `above`
    /// match.
    pub(super) fn number(&mut self, tags: Vec<Tag>, above: Vec<Tag>) -> u32 {
        let tags = lowest(tags);
        let mut above = lowest(above);
        above.retain(|tag| {
            self.classes.class(*tag).above != 0 && !tags.iter().any(|match_| match_.covers(*tag))
        });
        let matched = Matched { tags, above };
        let before = self.known.len();
        let known = self.known.number(matched) as usize;
        if known == before {
            let matched = self.known.value(known as u32);
            let cells = (0..self.subjects.len())
                .map(|subject| {
                    let cell = self.cell(&matched, &self.subjects[subject]);
                    self.cells.number(cell)
                })
                .collect();
            self.numbers.push(self.by_number.number(cells));
        }
        self.numbers[known]
    }

    /// Distinct cells by number.
    pub(super) fn cells(&self) -> &[Rc<Cell>] {
        self.cells.values()
    }

    /// For each row the numbers of its cells, by subject.
    pub(super) fn rows(&self) -> &[Rc<Vec<u32>>] {
        self.by_number.values()
    }

    /// For each row the operations that it doesn't simply allow to every caller.
    pub(super) fn ops(&self, defaults: Defaults) -> Vec<Ops> {
        let cells: Vec<Ops> = self
            .cells()
            .iter()
            .map(|cell| {
                let owner = cell.1.as_ref().map_or(0, |owner| owner.ops(defaults));
                cell.0.ops(defaults) | owner
            })
            .collect();
        self.rows()
            .iter()
            .map(|row| row.iter().fold(0, |ops, cell| ops | cells[*cell as usize]))
            .collect()
    }

    fn cell(&self, matched: &Matched, subject: &Subject) -> Cell {
        let record = self.record(matched, subject, false);
        let owner = self.record(matched, subject, true);
        let differs = owner != record;
        (record, differs.then_some(owner))
    }

    fn record(&self, matched: &Matched, subject: &Subject, owned: bool) -> Record {
        let mut effects: Vec<(u32, Class, Ops)> = Vec::new();
        for (tags, itself) in [(&matched.tags, true), (&matched.above, false)] {
            for &tag in tags {
                let class = self.classes.class(tag);
                let excepted = class.except.is_some_and(|list| subject.is_excepted(list));
                if excepted || (class.unless_owner && owned) {
                    continue;
                }
                let called = class
                    .from
                    .is_none_or(|list| subject.is_in_from(list, class.effect));
                let ops = match (itself, called) {
                    (true, true) => class.ops | class.moves,
                    (true, false) => class.moves,
                    (false, _) => class.above,
                };
                effects.push((tag.rule, class, ops));
            }
        }
        effects.sort_by_key(|(rule, ..)| *rule);
        let mut record = Record::default();
        for (rule, class, ops) in effects {
            let (mask, kind) = match (class.effect, class.mode) {
                (Effect::Deny, Mode::Enforce) => (0, Some(Kind::EnforceDeny)),
                (Effect::Deny, Mode::Audit) => (2, Some(Kind::AuditDeny)),
                (Effect::Allow, Mode::Enforce) => (1, None),
                (Effect::Allow, Mode::Audit) => (3, None),
                (Effect::Audit, _) => (4, Some(Kind::Report)),
                (Effect::DefaultDeny, _) => continue,
            };
            let new = ops & !record.masks[mask];
            record.masks[mask] |= ops;
            if let Some(kind) = kind
                && new != 0
            {
                record.attribution.push((new, rule, kind as u16));
            }
        }
        record
    }
}

/// Of each class the lowest rule, which is the one that is named; sorted.
pub(super) fn lowest(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_unstable();
    tags.dedup_by_key(|tag| tag.class);
    tags
}
