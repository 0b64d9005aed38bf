//! The walk: from a name, an address or a socket to a row of the table.
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

use crate::bits::pick;
use crate::limits::{MAX_DEPTH, MAX_NAME};
use crate::stack::{Stack, bounded};
use crate::table::{
    At, Automaton, DISPLACEMENTS, LITERAL_INLINE, LITERAL_SIZE, Table, gate, header, state,
};

/// A component of a path, on the way from its leaf to its root.
pub trait Cursor: Copy {
    /// Length of the component's name in bytes, 1..=255.
    fn length(self) -> u32;

    /// Bytes `8 * i..8 * i + 8` of a name of at most 24 bytes, little-endian;
    /// what is behind its end is not defined.
    fn word(self, i: u32) -> u64;

    /// The component above, or `None` at the root, which has no name.
    #[must_use]
    fn up(self) -> Option<Self>;

    /// [`pass_gate`] for the component `n` above this one, 1..=63.
    fn pass_gate_above(self, gate: u32, n: u32) -> Option<u32>;

    /// [`literal_long`] for this name, wherever its bytes are. `None`: can't be read.
    fn literal_long(self) -> Option<Literal>;

    /// [`match_name`] for this name from `start`. `None`: can't be read.
    fn match_name(self, start: u32) -> Option<u32>;
}

/// Bytes of a name that are read eight at a time.
pub trait Words: Copy {
    /// Bytes `8 * i..8 * i + 8`, little-endian; `None` if they can't be read.
    /// What is behind the name's end is not defined.
    fn word(self, i: u32) -> Option<u64>;
}

/// What the literal hash knows of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Literal {
    /// Symbol in the path automata; 0 for a name that is no literal.
    pub class: u32,
    /// Class among the patterns that match a leaf at any depth.
    pub leaf: u32,
}

/// The components of a path as classes, leaf first.
pub struct Classes {
    stack: Stack,
    /// Number of components.
    pub depth: u32,
    /// The leaf's class among `**/name` patterns.
    pub leaf: u32,
}

impl Classes {
    /// No components yet.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "only a place to walk into")]
    pub fn new() -> Self {
        Self {
            stack: Stack::new(),
            depth: 0,
            leaf: 0,
        }
    }

    /// Classifies a path's components up to its root, which is returned. `None` if it
    /// has no name that can be judged: deeper than [`MAX_DEPTH`], or a name that can't
    /// be read. (In place: returned by value, the stack would be there twice.)
    #[inline(always)]
    pub fn classify<T: Table, C: Cursor>(&mut self, table: T, path: C) -> Option<C> {
        let head = table.header();
        let mut top = head.u32(header::ZERO);
        self.stack.start(top);
        let mut at = path;
        let mut count = 0;
        while count < MAX_DEPTH {
            let Some(above) = at.up() else {
                break;
            };
            let literal = literal(table, at)?;
            self.stack.set(top, literal.class);
            if count == 0 {
                self.leaf = literal.leaf;
                if literal.class == 0 {
                    let leaf_gate = head.u32(header::LEAF_GATE);
                    if leaf_gate != 0 {
                        self.leaf = pass_gate(table, leaf_gate, at)?;
                    }
                }
            }
            at = above;
            top = top.wrapping_add(1);
            count += 1;
        }
        self.depth = bounded(top);
        // The 64th component may have been the last.
        if at.up().is_none() { Some(at) } else { None }
    }

    /// Runs the path automaton from state `start` over the last `depth` components of
    /// `path`, root to leaf, and returns the row. `None`: a name can't be read.
    #[inline(always)]
    pub fn row<T: Table, C: Cursor>(
        &self,
        table: T,
        path: C,
        start: u32,
        depth: u32,
    ) -> Option<u32> {
        if start == 0 {
            return Some(0);
        }
        let mut at = start;
        let mut left = depth;
        let mut count = 0;
        while count < MAX_DEPTH {
            if count >= depth {
                break;
            }
            left = left.wrapping_sub(1);
            let from = table.at(at << 4);
            let base = from.u32(state::BASE);
            if base == 0 {
                break;
            }
            let mut symbol = self.stack.get(left);
            if symbol == 0 {
                let last = count + 1 >= depth;
                let gate = from.u16(if last {
                    state::GATE_LEAF
                } else {
                    state::GATE_DIR
                });
                if gate != 0 {
                    symbol = if last {
                        pass_gate(table, gate, path)?
                    } else {
                        path.pass_gate_above(gate, left)?
                    };
                }
            }
            at = next(table, at, from, base, symbol);
            count += 1;
        }
        Some(row_of(table, at))
    }
}

/// The row of a state; 0 for none.
#[inline(always)]
pub fn row_of<T: Table>(table: T, at: u32) -> u32 {
    if at == 0 {
        0
    } else {
        table.at(at << 4).u16(state::ROW)
    }
}

/// One step of an automaton that has edges. Without a branch: in a loop, one would
/// double the verifier's states.
#[inline(always)]
fn next<T: Table>(table: T, at: u32, from: T::At, base: u32, symbol: u32) -> u32 {
    let edge = table.at(base.wrapping_add(symbol << 2)).u32(0);
    let fallback = from.u16(state::DEFAULT);
    // All ones if the edge is this state's.
    let owned = (i64::from((edge & 0xffff) ^ at) - 1) >> 63;
    pick(owned.cast_unsigned(), edge >> 16, fallback)
}

/// One step of any automaton.
#[inline(always)]
pub fn step<T: Table>(table: T, at: u32, symbol: u32) -> u32 {
    let from = table.at(at << 4);
    let base = from.u32(state::BASE);
    if base == 0 {
        at
    } else {
        next(table, at, from, base, symbol)
    }
}

/// The symbol of an unknown name under a gate: 0, or the set of globs it matches.
#[inline(always)]
pub fn pass_gate<T: Table, C: Cursor>(table: T, gate: u32, name: C) -> Option<u32> {
    if !may_match(table, gate, name) {
        return Some(0);
    }
    name.match_name(table.at(gate << 5).u16(gate::START))
}

/// A glob of the gate can match the name, going by its first and last byte.
#[inline(always)]
pub fn may_match<T: Table, C: Cursor>(table: T, gate: u32, name: C) -> bool {
    let gate = table.at(gate << 5);
    let length = name.length();
    if length > LITERAL_INLINE {
        return true;
    }
    let end = length.wrapping_sub(1);
    let tail = name.word(end >> 3);
    let first = gate.u64(gate::FIRST) >> (name.word(0) & 63);
    let last = gate.u64(gate::LAST) >> ((tail >> ((end & 7) * 8)) & 63);
    (first | last) & 1 != 0
}

/// Runs a byte automaton over a name; returns its row, which is a symbol.
#[inline(always)]
pub fn match_name<T: Table, W: Words>(table: T, name: W, len: u32, start: u32) -> Option<u32> {
    let mut at = start;
    let mut i = 0;
    let mut bytes = 0;
    while i <= MAX_NAME {
        if i >= len {
            break;
        }
        if i % 8 == 0 {
            bytes = name.word(i >> 3)?;
        }
        let from = table.at(at << 4);
        let base = from.u32(state::BASE);
        if base == 0 {
            break;
        }
        at = next(table, at, from, base, (bytes & 0xff) as u32);
        bytes >>= 8;
        i += 1;
    }
    Some(table.at(at << 4).u16(state::ROW))
}

/// The literal that a component is, if it is one.
#[inline(always)]
fn literal<T: Table, C: Cursor>(table: T, name: C) -> Option<Literal> {
    let len = name.length();
    if len > LITERAL_INLINE {
        return name.literal_long();
    }
    let head = table.header();
    let seed = head.u64(header::LITERAL_SEED);
    let (mut w1, mut w2) = (0, 0);
    let w0 = cut(name.word(0), len, 0);
    let mut hash = w0.wrapping_mul(seed);
    if len > 8 {
        w1 = cut(name.word(1), len, 8);
        hash = hash.wrapping_add(w1).wrapping_mul(seed);
        if len > 16 {
            w2 = cut(name.word(2), len, 16);
            hash = hash.wrapping_add(w2).wrapping_mul(seed);
        }
    }
    let entry = slot(table, head, hash);
    let meta = entry.u64(24);
    let same = (entry.u64(0) ^ w0) | (entry.u64(8) ^ w1) | (entry.u64(16) ^ w2);
    Some(found(meta, same, len))
}

/// [`literal`] for names of 25 to 255 bytes.
#[inline(always)]
pub fn literal_long<T: Table, W: Words>(table: T, name: W, len: u32) -> Option<Literal> {
    let head = table.header();
    let seed = head.u64(header::LITERAL_SEED);
    let mut hash = 0u64;
    let mut i = 0;
    while i < 32 {
        if i * 8 >= len {
            break;
        }
        hash = hash
            .wrapping_add(cut(name.word(i)?, len, i * 8))
            .wrapping_mul(seed);
        i += 1;
    }
    let entry = slot(table, head, hash);
    let meta = entry.u64(24);
    if (meta >> 32) as u32 & 0xffff != len {
        return Some(Literal { class: 0, leaf: 0 });
    }
    let ext = head
        .u32(header::EXT)
        .wrapping_add(((meta >> 48) as u32) << 3);
    let mut differ = (entry.u64(0) ^ name.word(0)?)
        | (entry.u64(8) ^ name.word(1)?)
        | (entry.u64(16) ^ name.word(2)?);
    let mut i = 3;
    while i < 32 {
        if i * 8 >= len {
            break;
        }
        let word = cut(name.word(i)?, len, i * 8);
        differ |= table.at(ext.wrapping_add((i - 3) << 3)).u64(0) ^ word;
        i += 1;
    }
    Some(found(meta, differ, len))
}

/// The literal, if neither the bytes nor the length differ. Without a branch, like
/// [`next`].
#[inline(always)]
fn found(meta: u64, differ: u64, len: u32) -> Literal {
    let differ = differ | ((meta >> 32) & 0xffff) ^ u64::from(len);
    let same = ((differ | differ.wrapping_neg()) >> 63).wrapping_sub(1);
    let meta = meta & same;
    Literal {
        class: meta as u32 & 0xffff,
        leaf: (meta >> 16) as u32 & 0xffff,
    }
}

/// Clears the bytes of a word (the one at `at`) that are behind the name's end.
#[inline(always)]
fn cut(word: u64, len: u32, at: u32) -> u64 {
    let rest = len.wrapping_sub(at);
    if rest >= 8 {
        word
    } else {
        word & !(u64::MAX << ((rest & 7) * 8))
    }
}

/// The only place where a literal with that hash can be.
#[inline(always)]
fn slot<T: Table>(table: T, head: T::At, hash: u64) -> T::At {
    let moved = table.at(DISPLACEMENTS + ((hash >> 52) as u32) * 2).u16(0);
    let slot = ((hash >> 38) as u32 ^ moved) & head.u32(header::LITERAL_MASK);
    table.at(head.u32(header::LITERALS).wrapping_add(slot * LITERAL_SIZE))
}

/// The hash of a literal, for whoever builds a table.
pub fn literal_hash(seed: u64, words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0, |hash: u64, word| {
        hash.wrapping_add(word).wrapping_mul(seed)
    })
}

/// Start state of an automaton, 0 if no rule needs it.
#[inline(always)]
pub fn start<T: Table>(table: T, automaton: Automaton) -> u32 {
    table.header().u32(header::STARTS + automaton as u32 * 4)
}

/// Leaf rows of a leaf class: (process, files).
#[inline(always)]
pub fn leaf_rows<T: Table>(table: T, leaf: u32) -> (u32, u32) {
    let rows = table.at(table
        .header()
        .u32(header::LEAF_ROWS)
        .wrapping_add(leaf << 2));
    (rows.u16(0), rows.u16(2))
}

/// An IP address and port as the address automaton reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// IP protocol number: 6 TCP (262 MPTCP counts as 6), 17 UDP, 132 SCTP...; 0 for others above 255.
    pub protocol: u8,
    /// IPv6. Mapped IPv4 addresses are IPv4.
    pub v6: bool,
    /// The address's bytes, first byte in the highest bits; IPv4 in the upper half of `high`.
    pub high: u64,
    /// The second half of an IPv6 address.
    pub low: u64,
    /// Host byte order.
    pub port: u16,
}

impl Address {
    /// Symbols of an address: protocol, 4 or 6, address bytes, port high, port low.
    #[inline(always)]
    fn symbol(self, i: u32) -> u32 {
        let bytes = if self.v6 { 16 } else { 4 };
        if i == 0 {
            return self.protocol as u32;
        }
        if i == 1 {
            return if self.v6 { 6 } else { 4 };
        }
        let i = i - 2;
        if i < bytes {
            let half = if i < 8 { self.high } else { self.low };
            return (half >> (56 - 8 * (i & 7))) as u32 & 0xff;
        }
        let port = self.port as u32;
        if i == bytes { port >> 8 } else { port & 0xff }
    }

    /// The row of an address.
    #[inline(always)]
    pub fn row<T: Table>(self, table: T) -> u32 {
        let count = if self.v6 { 20 } else { 8 };
        let mut at = start(table, Automaton::Address);
        if at == 0 {
            return 0;
        }
        let mut i = 0;
        while i < 20 {
            if i >= count {
                break;
            }
            at = step(table, at, self.symbol(i));
            i += 1;
        }
        table.at(at << 4).u16(state::ROW)
    }
}

/// The symbol of a socket kind: family and type as in `socket(2)`, flags removed.
#[inline(always)]
pub fn socket_symbol(family: u32, kind: u32) -> u32 {
    (family & 63) << 4 | kind & 15
}

/// The row of a new socket.
#[inline(always)]
pub fn socket_row<T: Table>(table: T, family: u32, kind: u32) -> u32 {
    let start = start(table, Automaton::Socket);
    if start == 0 {
        return 0;
    }
    let at = step(table, start, socket_symbol(family, kind));
    table.at(at << 4).u16(state::ROW)
}

/// The row of a capability.
#[inline(always)]
pub fn capability_row<T: Table>(table: T, capability: u32) -> u32 {
    table
        .at(header::CAPABILITY_ROWS + (capability & 63) * 2)
        .u16(0)
}
