//! The compiled form of a rule map: one block of bytes, addressed by offsets.
//!
//! ```text
//!   0     header (fields at the constants below)
//!   512   displacements of the literal hash, 4096 x u16
//!   ...   literals   32 B  {w0 w1 w2: u64, class, leaf, ext, len: u16}
//!   ...   ext words   8 B  bytes 24.. of longer literals
//!   ...   states     16 B  {base: u32, default, row, gate_dir, gate_leaf: u16, -}
//!   ...   comb        4 B  {check: u16, next: u16}
//!   ...   gates      32 B  {first, last: u64 sets, start: u16, -}
//!   ...   leaf rows   4 B  {process: u16, files: u16} per leaf class
//!   ...   row ops     4 B  operations that a row doesn't simply allow
//!   ...   rows        2 B  record number per row and subject
//!   ...   records    32 B  {5 masks, owner, attribution: u32, length: u32}
//!   ...   attribution 8 B  {ops: u32, rule: u16, kind: u16}
//! ```
//!
//! State numbers are `offset >> 4`, gate and record numbers `offset >> 5`, so that
//! they fit 16 bits and need no base; `base` is a byte offset as well. 0 is "none"
//! for each. Every automaton (paths, names, addresses, socket kinds) has the same
//! states and comb; they differ in what a symbol is and what `row` means.

use crate::limits::TABLE_SIZE;

/// "BRZT", little-endian.
pub const MAGIC: u32 = 0x545a_5242;
/// Layout version; a table of another one is not loaded.
pub const VERSION: u32 = 3;

/// Bytes behind [`TABLE_SIZE`] in the kernel's value, so that a record at any masked
/// offset, or a literal at any masked place of its slot, can be read whole.
pub const SLACK: u32 = 16 * 1024;
/// Bytes of the kernel's map value.
pub const VALUE_SIZE: u32 = TABLE_SIZE + SLACK;

/// Offsets of the header's fields.
pub mod header {
    /// `u32`: [`super::MAGIC`].
    pub const MAGIC: u32 = 0;
    /// `u32`: [`super::VERSION`].
    pub const VERSION: u32 = 4;
    /// `u32`: always 0; the verifier must not know it.
    pub const ZERO: u32 = 8;
    /// `u32`: subjects, at least 1. 1 means that no rule looks at the caller.
    pub const SUBJECTS: u32 = 12;
    /// `u64`: odd multiplier of the literal hash.
    pub const LITERAL_SEED: u32 = 16;
    /// `u32`: slots - 1.
    pub const LITERAL_MASK: u32 = 24;
    /// `u32`: offset of the ext words.
    pub const EXT: u32 = 32;
    /// `u32`: gate of the globs that match a leaf at any depth, 0 for none.
    pub const LEAF_GATE: u32 = 36;
    /// `u32`: offset of the leaf rows.
    pub const LEAF_ROWS: u32 = 40;
    /// `u32`: offset of the rows.
    pub const ROWS: u32 = 44;
    /// `u32`: bytes in use.
    pub const SIZE: u32 = 48;
    /// `u32`: operations denied by default, enforced policies.
    pub const DEFAULT_ENFORCE: u32 = 52;
    /// `u32`: the same, audited policies.
    pub const DEFAULT_AUDIT: u32 = 56;
    /// `u32`: operations denied by default on files without a name, enforced.
    pub const UNRESOLVED_ENFORCE: u32 = 60;
    /// `u32`: the same, audited.
    pub const UNRESOLVED_AUDIT: u32 = 64;
    /// `u32` x 2: row of files without a name, by [`super::Automaton`] Process and Files.
    pub const UNRESOLVED_ROWS: u32 = 68;
    /// `u32`: operations that some rule or default judges or reports.
    pub const JUDGED: u32 = 76;
    /// `u32` x 5: start states by [`super::Automaton`], 0 where no rule has one.
    pub const STARTS: u32 = 80;
    /// `u32`: offset of the row ops: per row, operations that it may deny or report for
    /// some caller. What isn't there it allows, whoever calls.
    pub const ROW_OPS: u32 = 100;
    /// `u32`: row of all operations of [`crate::op::Category::Restrict`].
    pub const RESTRICT_ROW: u32 = 104;
    /// `u16` x 32: rule of an enforced default, by operation number.
    pub const DEFAULT_RULES_ENFORCE: u32 = 128;
    /// `u16` x 32: rule of an audited default.
    pub const DEFAULT_RULES_AUDIT: u32 = 192;
    /// `u16` x 64: row by capability number.
    pub const CAPABILITY_ROWS: u32 = 256;
    /// First byte behind the header.
    pub const END: u32 = 512;
}

/// Offset of the literal hash's displacements.
pub const DISPLACEMENTS: u32 = header::END;
/// Their number.
pub const DISPLACEMENT_COUNT: u32 = 4096;
/// First byte of the variable part, which begins with the literals.
pub const BODY: u32 = DISPLACEMENTS + DISPLACEMENT_COUNT * 2;
/// Offset of the literals.
pub const LITERALS: u32 = BODY;

/// Bytes of a literal.
pub const LITERAL_SIZE: u32 = 32;
/// Name bytes inside a literal; the rest is in the ext words.
pub const LITERAL_INLINE: u32 = 24;
/// Bytes of a state.
pub const STATE_SIZE: u32 = 16;
/// Bytes of a gate.
pub const GATE_SIZE: u32 = 32;
/// Bytes of a record.
pub const RECORD_SIZE: u32 = 32;
/// Bytes of an attribution.
pub const ATTRIBUTION_SIZE: u32 = 8;
/// "No rule" in rule fields.
pub const NO_RULE: u16 = 0xffff;

/// Field offsets inside a state.
pub mod state {
    /// `u32`: byte offset of its row in the comb; 0: no way out, it stays.
    pub const BASE: u32 = 0;
    /// `u16`: next state of a symbol that has no edge.
    pub const DEFAULT: u32 = 4;
    /// `u16`: what has been matched when the input ends here.
    pub const ROW: u32 = 6;
    /// `u16`: gate for an unknown component that is not the last.
    pub const GATE_DIR: u32 = 8;
    /// `u16`: gate for an unknown last component.
    pub const GATE_LEAF: u32 = 10;
}

/// Field offsets inside a gate.
pub mod gate {
    /// `u64`: set of first bytes, modulo 64.
    pub const FIRST: u32 = 0;
    /// `u64`: set of last bytes, modulo 64. A name that is in neither set matches nothing.
    pub const LAST: u32 = 8;
    /// `u16`: start state of the byte automaton. Its rows are symbols.
    pub const START: u32 = 16;
}

/// Field offsets inside a record.
pub mod record {
    /// `u32` x 5: the fields of [`crate::verdict::Masks`] in order.
    pub const MASKS: u32 = 0;
    /// `u32`: 1 if the next record holds instead when the caller owns the file.
    pub const OWNER: u32 = 20;
    /// `u32`: offset of the attribution.
    pub const ATTRIBUTION: u32 = 24;
    /// `u32`: its length, at most [`super::MAX_ATTRIBUTIONS`].
    pub const ATTRIBUTIONS: u32 = 28;
}

/// Attributions of one record: per operation and kind, only the first rule counts.
pub const MAX_ATTRIBUTIONS: u32 = 96;

/// Which mask of [`crate::verdict::Masks`] an attribution explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    /// `enforce_deny`
    EnforceDeny = 0,
    /// `audit_deny`
    AuditDeny = 1,
    /// `report`
    Report = 2,
}

/// The automata of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Automaton {
    /// Paths of programs; symbols are component classes.
    Process = 0,
    /// Paths of files.
    Files = 1,
    /// Paths of calling executables; rows are subjects.
    Subject = 2,
    /// Protocol, family, address and port; symbols are bytes ([`crate::address::Address`]).
    Address = 3,
    /// Kind of a new socket; one symbol ([`crate::address::socket_symbol`]).
    Socket = 4,
}

/// Subject of a task whose executable has no name in its container.
/// Deny rules with `from` apply to it, allow rules with `from` don't.
pub const SUBJECT_UNRESOLVED: u64 = 0;
/// Subject of the runtime that is about to start the container: in no `from`,
/// in no `exceptFrom`.
pub const SUBJECT_RUNTIME: u64 = 1;

/// Where a table's bytes are.
pub trait Table: Copy {
    /// A place in them.
    type At: At;
    /// The place at `offset`, taken modulo [`TABLE_SIZE`].
    fn at(self, offset: u64) -> Self::At;
    /// The place at `offset`, which cannot be larger than [`SLACK`].
    fn near(self, offset: u64) -> Self::At;
    /// The header, without a bounds check.
    fn header(self) -> Self::At;
}

/// A place in a table; `field + size` must not exceed [`SLACK`].
pub trait At: Copy {
    /// Reads two bytes.
    fn u16(self, field: u32) -> u64;
    /// Reads four bytes.
    fn u32(self, field: u32) -> u64;
    /// Reads eight bytes.
    fn u64(self, field: u32) -> u64;
}

/// A table in user memory.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

/// A place in [`Bytes`]; reads beyond the end give zeroes.
#[derive(Clone, Copy, Debug)]
pub struct BytesAt<'a>(&'a [u8]);

impl<'a> Table for Bytes<'a> {
    type At = BytesAt<'a>;

    fn at(self, offset: u64) -> BytesAt<'a> {
        BytesAt(
            self.0
                .get((offset & u64::from(TABLE_SIZE - 1)) as usize..)
                .unwrap_or(&[]),
        )
    }

    fn near(self, offset: u64) -> BytesAt<'a> {
        self.at(offset)
    }

    fn header(self) -> BytesAt<'a> {
        BytesAt(self.0)
    }
}

impl BytesAt<'_> {
    fn read<const N: usize>(self, field: u32) -> [u8; N] {
        let mut bytes = [0; N];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = self.0.get(field as usize + i).copied().unwrap_or(0);
        }
        bytes
    }
}

impl At for BytesAt<'_> {
    fn u16(self, field: u32) -> u64 {
        u64::from(u16::from_le_bytes(self.read(field)))
    }

    fn u32(self, field: u32) -> u64 {
        u64::from(u32::from_le_bytes(self.read(field)))
    }

    fn u64(self, field: u32) -> u64 {
        u64::from_le_bytes(self.read(field))
    }
}
