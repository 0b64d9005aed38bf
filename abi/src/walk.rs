//! The walk: from a path to a row of the table.
//!
//! ```text
//!   leaf ─► root   every component -> class (exact hash), onto a stack of 64
//!   root ─► leaf   one automaton over the classes; only a component that is no
//!                  literal (class 0), in a state where a glob can still match,
//!                  has its bytes looked at
//!   leaf           patterns `**/name` and `**/glob` depend on the last component
//!                  alone: they have classes and rows of their own
//! ```
//!
//! The code below is compiled into the kernel programs and into user space; only
//! [`Cursor`] and [`Table`] differ.

use crate::automaton::{next, row_of};
use crate::limits::MAX_DEPTH;
use crate::literal::{Literal, literal};
use crate::stack::{Stack, bounded};
use crate::table::{At, LITERAL_INLINE, Table, gate, header, state};

/// A component of a path, on the way from its leaf to its root.
pub trait Cursor: Copy {
    /// Length of the component's name in bytes, 1..=255.
    fn length(self) -> u64;

    /// Bytes `8 * i..8 * i + 8` of a name of at most 24 bytes, little-endian;
    /// what is behind its end is not defined.
    fn word(self, i: u64) -> u64;

    /// The component above, or `None` at the root, which has no name.
    #[must_use]
    fn up(self) -> Option<Self>;

    /// [`pass_gate`] for the component `n` above this one, 1..=63.
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64>;

    /// [`crate::literal::literal_long`] for this name, wherever its bytes are.
    /// `None`: can't be read.
    fn literal_long(self) -> Option<Literal>;

    /// [`crate::automaton::match_name`] for this name from `start`. `None`: can't be read.
    fn match_name(self, start: u64) -> Option<u64>;
}

/// The components of a path as classes, leaf first.
pub struct Classes(Stack);

/// What classifying found of a path.
#[derive(Clone, Copy, Debug)]
pub struct Classified {
    /// Number of components.
    pub depth: u64,
    /// The leaf's class among `**/name` patterns.
    pub leaf: u64,
}

impl Classes {
    /// No components yet.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "only a place to walk into")]
    pub fn new() -> Self {
        Self(Stack::new())
    }

    /// Classifies a path's components up to its root. `None` if it has no name that can
    /// be judged: deeper than [`MAX_DEPTH`], or a name that can't be read. (In place:
    /// returned by value, the stack would be there twice.)
    #[inline(always)]
    pub fn classify<T: Table, C: Cursor>(&mut self, table: T, path: C) -> Option<Classified> {
        let head = table.header();
        let zero = head.u32(header::ZERO);
        self.0.set(zero, 0);
        let mut at = path;
        let mut depth = zero;
        let mut leaf = zero;
        let mut count = 0;
        while count < MAX_DEPTH {
            let Some(above) = at.up() else {
                break;
            };
            let literal = literal(table, at)?;
            self.0.set(depth, literal.0);
            if count == 0 {
                leaf = literal.leaf();
                let gate = head.u32(header::LEAF_GATE);
                if literal.class() == 0 && gate != 0 {
                    leaf = pass_gate(table, gate, path)?;
                }
            }
            at = above;
            depth += 1;
            count += 1;
        }
        // The 64th component may have been the last.
        if at.up().is_some() {
            return None;
        }
        Some(Classified {
            depth: bounded(depth),
            leaf,
        })
    }

    /// Runs the path automaton from state `start` over the last `depth` components of
    /// `path`, at least one, root to leaf, and returns the row. `None`: a name can't be
    /// read.
    #[inline(always)]
    pub fn row<T: Table, C: Cursor>(
        &self,
        table: T,
        path: C,
        start: u64,
        depth: u64,
    ) -> Option<u64> {
        if start == 0 {
            return Some(0);
        }
        let mut at = start;
        let mut left = depth.wrapping_sub(1);
        let mut count = 1;
        loop {
            let from = table.at(at << 4);
            let base = from.u32(state::BASE);
            if base == 0 {
                return Some(from.u16(state::ROW));
            }
            let mut symbol = self.0.get(left);
            // The verifier knows no bound of `left`.
            if left == 0 || count >= MAX_DEPTH {
                if symbol == 0 {
                    let gate = from.u16(state::GATE_LEAF);
                    if gate != 0 {
                        symbol = pass_gate(table, gate, path)?;
                    }
                }
                return Some(row_of(table, next(table, at, from, base, symbol)));
            }
            if symbol == 0 {
                let gate = from.u16(state::GATE_DIR);
                if gate != 0 {
                    symbol = path.pass_gate_above(gate, left)?;
                }
            }
            at = next(table, at, from, base, symbol);
            left = left.wrapping_sub(1);
            count += 1;
        }
    }
}

/// The symbol of an unknown name under a gate: 0, or the set of globs it matches.
#[inline(always)]
pub fn pass_gate<T: Table, C: Cursor>(table: T, gate: u64, name: C) -> Option<u64> {
    if !may_match(table, gate, name) {
        return Some(0);
    }
    name.match_name(table.at(gate << 5).u16(gate::START))
}

/// A glob of the gate can match the name, going by its first and last byte.
#[inline(always)]
pub fn may_match<T: Table, C: Cursor>(table: T, gate: u64, name: C) -> bool {
    let gate = table.at(gate << 5);
    let length = name.length();
    if length > u64::from(LITERAL_INLINE) {
        return true;
    }
    let end = length.wrapping_sub(1);
    let tail = name.word(end >> 3);
    let first = gate.u64(gate::FIRST) >> (name.word(0) & 63);
    let last = gate.u64(gate::LAST) >> ((tail >> ((end & 7) * 8)) & 63);
    (first | last) & 1 != 0
}

/// Leaf rows of a leaf class: (process, files).
#[inline(always)]
pub fn leaf_rows<T: Table>(table: T, leaf: u64) -> (u64, u64) {
    let rows = table.at(table
        .header()
        .u32(header::LEAF_ROWS)
        .wrapping_add(leaf << 2));
    (rows.u16(0), rows.u16(2))
}
