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
//! [`Cursor`], [`Name`] and [`Table`] differ.

use crate::automaton::{next, row_of};
use crate::limits::MAX_DEPTH;
use crate::literal::Literal;
use crate::repeat::{Step, repeat};
use crate::stack::{Stack, bounded};
use crate::table::{At, LITERAL_INLINE, Table, gate, header, state};

/// A place on the way from a path's leaf to its root.
pub trait Cursor: Copy {
    /// What the path is looked up in.
    type Table: Table;
    /// A component as it was read.
    type Name: Name;

    /// The table.
    fn table(self) -> Self::Table;

    /// This is the root, which has no name.
    fn is_root(self) -> bool;

    /// The component here. Not to be asked at the root.
    fn name(self) -> Self::Name;

    /// The place above; `name` is the component here.
    #[must_use]
    fn up(self, name: Self::Name) -> Self;

    /// [`Name::pass_gate`] for the component `n` above this one, 1..=63.
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64>;

    /// A count of components, at most [`MAX_DEPTH`], in the middle of a walk.
    #[inline(always)]
    fn count(count: u64) -> u64 {
        count
    }

    /// [`repeat`], in whatever way suits how components are read.
    #[inline(always)]
    fn repeat<S: Step>(self, times: u64, state: &mut S) -> Option<()> {
        repeat(times, state)
    }
}

/// A component's name.
pub trait Name: Copy {
    /// The literal that it is; class 0 if it is none. `None`: can't be read.
    fn literal(self) -> Option<Literal>;

    /// The symbol of an unknown name under a gate: 0, or the set of globs it matches.
    /// `None`: can't be read.
    fn pass_gate(self, gate: u64) -> Option<u64>;
}

/// A name's bytes, for [`crate::literal::literal`] and [`pass_gate`].
pub trait Text: Copy {
    /// Length in bytes, 1..=255.
    fn length(self) -> u64;

    /// Bytes `8 * i..8 * i + 8` of a name of at most 24 bytes, little-endian;
    /// what is behind its end is not defined.
    fn word(self, i: u64) -> u64;

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
    pub fn classify<C: Cursor>(&mut self, path: C) -> Option<Classified> {
        let zero = path.table().header().u32(header::ZERO);
        self.0.set(zero, 0);
        let mut ascent = Ascent {
            classes: &mut self.0,
            at: path,
            depth: C::count(zero),
            leaf: zero,
        };
        path.repeat(MAX_DEPTH, &mut ascent)?;
        // The 64th component may have been the last.
        if !ascent.at.is_root() {
            return None;
        }
        Some(Classified {
            depth: bounded(ascent.depth),
            leaf: ascent.leaf,
        })
    }

    /// Runs the path automaton from state `start` over the last `depth` components of
    /// `path`, at least one, root to leaf, and returns the row. `None`: a name can't be
    /// read.
    #[inline(always)]
    pub fn row<C: Cursor>(&self, path: C, start: u64, depth: u64) -> Option<u64> {
        if start == 0 {
            return Some(0);
        }
        let mut descent = Descent {
            classes: &self.0,
            path,
            at: start,
            left: C::count(depth.wrapping_sub(1)),
        };
        path.repeat(MAX_DEPTH, &mut descent)?;
        // Always, after as many steps as a path has components.
        (descent.at & DECIDED != 0).then_some(descent.at & 0xffff)
    }
}

/// From the leaf to the root: every component gets its class.
struct Ascent<'a, C> {
    classes: &'a mut Stack,
    at: C,
    depth: u64,
    leaf: u64,
}

impl<C: Cursor> Step for Ascent<'_, C> {
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        if self.at.is_root() {
            return Some(false);
        }
        let name = self.at.name();
        let literal = name.literal()?;
        self.classes.set(self.depth, literal.0);
        if i == 0 {
            self.leaf = literal.leaf();
            let gate = self.at.table().header().u32(header::LEAF_GATE);
            if literal.class() == 0 && gate != 0 {
                self.leaf = name.pass_gate(gate)?;
            }
        }
        self.at = self.at.up(name);
        self.depth = C::count(self.depth + 1);
        Some(true)
    }
}

/// [`Descent`]: `at` is a row, not a state.
const DECIDED: u64 = 1 << 16;

/// From the root to the leaf: the automaton goes on by the class of each component.
struct Descent<'a, C> {
    classes: &'a Stack,
    /// The leaf.
    path: C,
    at: u64,
    /// Components below the next one.
    left: u64,
}

impl<C: Cursor> Step for Descent<'_, C> {
    #[inline(always)]
    fn step(&mut self, _: u64) -> Option<bool> {
        let table = self.path.table();
        let from = table.at(self.at << 4);
        let base = from.u32(state::BASE);
        if base == 0 {
            self.at = from.u16(state::ROW) | DECIDED;
            return Some(false);
        }
        let mut symbol = self.classes.get(self.left);
        if self.left == 0 {
            if symbol == 0 {
                let gate = from.u16(state::GATE_LEAF);
                if gate != 0 {
                    symbol = self.path.name().pass_gate(gate)?;
                }
            }
            self.at = row_of(table, next(table, self.at, from, base, symbol)) | DECIDED;
            return Some(false);
        }
        if symbol == 0 {
            let gate = from.u16(state::GATE_DIR);
            if gate != 0 {
                symbol = self.path.pass_gate_above(gate, self.left)?;
            }
        }
        self.at = next(table, self.at, from, base, symbol);
        self.left = C::count(self.left.wrapping_sub(1));
        Some(true)
    }
}

/// [`Name::pass_gate`] for a name whose bytes are at hand.
#[inline(always)]
pub fn pass_gate<T: Table, N: Text>(table: T, gate: u64, name: N) -> Option<u64> {
    if !may_match(table, gate, name) {
        return Some(0);
    }
    name.match_name(table.at(gate << 5).u16(gate::START))
}

/// A glob of the gate can match the name, going by its first and last byte.
#[inline(always)]
pub fn may_match<T: Table, N: Text>(table: T, gate: u64, name: N) -> bool {
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
