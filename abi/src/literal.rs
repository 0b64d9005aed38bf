//! Literals: components that some pattern names in full, found by an exact hash.

use crate::automaton::Words;
use crate::bits;
use crate::limits::MAX_NAME;
use crate::repeat::Step;
use crate::table::{At, DISPLACEMENTS, LITERAL_INLINE, LITERAL_SIZE, LITERALS, Table, header};
use crate::walk::Text;

/// What the hash knows of a component: its class in the lowest 16 bits, its leaf class in
/// the next. Further bits are not defined.
#[derive(Clone, Copy, Debug)]
pub struct Literal(pub u64);

impl Literal {
    /// Symbol in the path automata; 0 for a name that is no literal.
    #[inline(always)]
    pub fn class(self) -> u64 {
        self.0 & 0xffff
    }

    /// Class among the patterns that match a leaf at any depth.
    #[inline(always)]
    pub fn leaf(self) -> u64 {
        self.0 >> 16 & 0xffff
    }
}

/// The literal that a name is, if it is one.
#[inline(always)]
pub fn literal<T: Table, N: Text>(table: T, name: N) -> Option<Literal> {
    let len = name.length();
    if len > u64::from(LITERAL_INLINE) {
        return name.literal_long();
    }
    Some(literal_short(table, len, |i| name.word(i)))
}

/// [`literal`] for a name of at most 24 bytes, whose words 0..=2 are asked for as needed.
#[inline(always)]
pub fn literal_short<T: Table>(table: T, len: u64, word: impl Fn(u64) -> u64) -> Literal {
    let head = table.header();
    let seed = head.u64(header::LITERAL_SEED);
    if len <= 8 {
        let word = cut(word(0), len);
        let entry = slot(table, head, word.wrapping_mul(seed));
        // As long as the name, its other words are zero.
        return found(head, entry.word(0) ^ word, entry.meta(), len);
    }
    let w0 = word(0);
    let (mut w1, mut w2) = (word(1), 0);
    let mut hash = w0.wrapping_mul(seed);
    if len <= 16 {
        w1 = cut(w1, len - 8);
    }
    hash = hash.wrapping_add(w1).wrapping_mul(seed);
    if len > 16 {
        w2 = cut(word(2), len - 16);
        hash = hash.wrapping_add(w2).wrapping_mul(seed);
    }
    let entry = slot(table, head, hash);
    let differ = (entry.word(0) ^ w0) | (entry.word(1) ^ w1) | (entry.word(2) ^ w2);
    found(head, differ, entry.meta(), len)
}

/// [`literal`] for names of any length.
#[inline(always)]
pub fn literal_long<T: Table, W: Words>(table: T, name: W, len: u64) -> Option<Literal> {
    let head = table.header();
    let mut sum = Sum {
        name,
        len,
        seed: head.u64(header::LITERAL_SEED),
        hash: 0,
    };
    name.repeat(MAX_WORDS, &mut sum)?;
    let entry = slot(table, head, sum.hash);
    let meta = entry.meta();
    if meta >> 48 != len {
        return Some(Literal(0));
    }
    let ext = head
        .u32(header::EXT)
        .wrapping_add((meta >> 32 & 0xffff) << 3);
    let mut comparison = Comparison {
        table,
        name,
        len,
        inside: entry.0,
        ext,
        differ: 0,
    };
    name.repeat(MAX_WORDS, &mut comparison)?;
    Some(found(head, comparison.differ, meta, len))
}

/// Words of the longest name.
const MAX_WORDS: u64 = MAX_NAME / 8 + 1;

/// The hash of a long name.
struct Sum<W> {
    name: W,
    len: u64,
    seed: u64,
    hash: u64,
}

impl<W: Words> Step for Sum<W> {
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        if i << 3 >= self.len {
            return Some(false);
        }
        let word = last_cut(self.name.word(i)?, self.len, i << 3);
        self.hash = self.hash.wrapping_add(word).wrapping_mul(self.seed);
        Some(true)
    }
}

/// The comparison of a long name with a literal.
struct Comparison<T: Table, W> {
    table: T,
    name: W,
    len: u64,
    /// Where its first three words are.
    inside: T::At,
    /// Offset of the others.
    ext: u64,
    differ: u64,
}

impl<T: Table, W: Words> Step for Comparison<T, W> {
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        if i << 3 >= self.len {
            return Some(false);
        }
        let word = last_cut(self.name.word(i)?, self.len, i << 3);
        let entry = Entry(self.inside);
        self.differ |= word
            ^ match i {
                0 => entry.word(0),
                1 => entry.word(1),
                2 => entry.word(2),
                _ => self.table.at(self.ext.wrapping_add((i - 3) << 3)).u64(0),
            };
        Some(true)
    }
}

/// The literal of an entry, if its bytes are the name's and its length is.
#[inline(always)]
fn found<A: At>(head: A, differ: u64, meta: u64, len: u64) -> Literal {
    Literal(if differ == 0 && meta >> 48 == len {
        meta
    } else {
        // A zero that the verifier doesn't know, or it would go on with two states.
        bits::only_here(head.u32(header::ZERO))
    })
}

/// The first `len` bytes of a word, 1..=8; the others are zero.
#[inline(always)]
fn cut(word: u64, len: u64) -> u64 {
    let rest = (len.wrapping_neg() << 3 & 63) as u32;
    word << rest >> rest
}

/// The bytes of a name's word at `at` that belong to the name. Without a branch: in a
/// loop, one would double the verifier's states.
#[inline(always)]
fn last_cut(word: u64, len: u64, at: u64) -> u64 {
    let rest = len.wrapping_sub(at);
    let whole = bits::any(rest >> 3);
    let shift = ((rest.wrapping_neg() << 3 & 63) & !whole) as u32;
    word << shift >> shift
}

/// A literal in a table, from the place of its slot if literals began at 0.
#[derive(Clone, Copy)]
struct Entry<A>(A);

impl<A: At> Entry<A> {
    /// Bytes `8 * i..8 * i + 8` of its name, 0..=2.
    #[inline(always)]
    fn word(self, i: u32) -> u64 {
        self.0.u64(LITERALS + i * 8)
    }

    /// Its class, leaf class, number of its first ext word, and length, 16 bits each.
    #[inline(always)]
    fn meta(self) -> u64 {
        self.0.u64(LITERALS + 24)
    }
}

/// The only place where a literal with that hash can be.
#[inline(always)]
fn slot<T: Table>(table: T, head: T::At, hash: u64) -> Entry<T::At> {
    let moved = table.near(hash >> 52 << 1).u16(DISPLACEMENTS);
    let slot = (hash >> 38 ^ moved) & head.u32(header::LITERAL_MASK);
    Entry(table.at(slot * u64::from(LITERAL_SIZE)))
}

/// The hash of a literal, for whoever builds a table.
pub fn literal_hash(seed: u64, words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0, |hash: u64, word| {
        hash.wrapping_add(word).wrapping_mul(seed)
    })
}
