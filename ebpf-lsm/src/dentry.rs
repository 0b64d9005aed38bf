//! Paths as the walk reads them: cursors over `struct dentry`.
//!
//! [`Direct`] loads through typed pointers, for the one hook whose cost counts.
//! [`Probed`] reads by address, for everything else and for paths that come from an
//! untyped pointer; it is verified once per program, inside a global function.

use core::mem::offset_of;

use bartizan_abi::automaton::{self, Words};
use bartizan_abi::fields::dentry::{INLINE, LEN, NAME, PARENT};
use bartizan_abi::limits::MAX_DEPTH;
use bartizan_abi::literal::{self, Literal};
use bartizan_abi::repeat::Step;
use bartizan_abi::stack::bounded;
use bartizan_abi::table::LITERAL_INLINE;
use bartizan_abi::walk::{self, Cursor, Name, Text};

use crate::kernel::{Object, load_at, peek, try_peek};
use crate::repeat::repeat;
use crate::table::{Compiled, TableValue};

/// Bytes of a name, by address.
#[derive(Clone, Copy)]
pub struct NameAt(u64);

impl Words for NameAt {
    #[inline(always)]
    fn word(self, i: u64) -> Option<u64> {
        // Names are in memory of their length rounded up to 8 at least (inline names
        // are in the dentry, others in a kmalloc object), so whole words can be read.
        try_peek(self.0 + i * 8)
    }

    #[inline(always)]
    fn repeat<S: Step>(self, times: u64, state: &mut S) -> Option<()> {
        repeat(times, state)
    }
}

/// Bytes of a name of at most 24 bytes that were read already: a helper's call for each
/// eight of them would cost more than matching these.
#[derive(Clone, Copy)]
struct Inline([u64; 3]);

impl Inline {
    /// Without an index into memory, which the verifier would want bounds of.
    #[inline(always)]
    fn at(self, i: u64) -> u64 {
        match i {
            0 => self.0[0],
            1 => self.0[1],
            _ => self.0[2],
        }
    }
}

impl Words for Inline {
    #[inline(always)]
    fn word(self, i: u64) -> Option<u64> {
        Some(self.at(i))
    }
}

/// What [`long_literal`] and [`match_glob`] answer when the name can't be read.
const UNREADABLE: u64 = u64::MAX;

/// The literal that a long name is, packed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn long_literal(table: *const TableValue, name: u64, len: u64) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    match literal::literal_long(Compiled::new(table), NameAt(name), len) {
        Some(literal) => literal.class() | literal.leaf() << 16,
        None => UNREADABLE,
    }
}

/// The literal that a dentry's name of at most 24 bytes is, packed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn short_literal(table: *const TableValue, dentry: u64, len: u64) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    let words: [u64; 3] = peek(dentry + INLINE as u64);
    literal::literal_short(Compiled::new(table), len, |i| Inline(words).at(i)).0
}

/// The symbol of a name in a byte automaton.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn match_glob(table: *const TableValue, name: u64, len: u64, start: u64) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    match automaton::match_name(Compiled::new(table), NameAt(name), len, start) {
        Some(symbol) => symbol,
        None => UNREADABLE,
    }
}

/// [`match_glob`] for a name in words. A call has only five arguments, so one is two:
/// start state in the lowest 16 bits, length above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn match_inline(
    table: *const TableValue,
    w0: u64,
    w1: u64,
    w2: u64,
    start_and_length: u64,
) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    let name = Inline([w0, w1, w2]);
    let (start, len) = (start_and_length & 0xffff, start_and_length >> 16 & 0xff);
    automaton::match_name(Compiled::new(table), name, len, start).unwrap_or(UNREADABLE)
}

/// The dentry of the component `n` above one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn above(dentry: u64, n: u64) -> u64 {
    let mut climb = Climb(dentry);
    repeat(n.min(MAX_DEPTH), &mut climb);
    climb.0
}

/// The symbol of a dentry's name, under a gate.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pass_gate(table: *const TableValue, dentry: u64, gate: u64) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    let table = Compiled::new(table);
    walk::pass_gate(table, gate, Read::new(table, dentry)).unwrap_or(UNREADABLE)
}

/// The way up from a dentry.
struct Climb(u64);

impl Step for Climb {
    #[inline(always)]
    fn step(&mut self, _: u64) -> Option<bool> {
        self.0 = peek(self.0 + PARENT as u64);
        Some(true)
    }
}

/// The symbol of the name of the component `n` above a dentry, under a gate.
#[inline(always)]
fn pass_gate_above(table: Compiled, dentry: u64, gate: u64, n: u64) -> Option<u64> {
    symbol(pass_gate(table.0.cast(), above(dentry, n), gate))
}

/// The answer of [`match_glob`] and [`pass_gate`].
#[inline(always)]
fn symbol(answer: u64) -> Option<u64> {
    if answer == UNREADABLE {
        None
    } else {
        Some(answer & 0xffff)
    }
}

/// The answer of [`long_literal`].
#[inline(always)]
fn unpack(answer: u64) -> Option<Literal> {
    if answer == UNREADABLE {
        return None;
    }
    Some(Literal(answer))
}

/// A dentry through its typed pointer.
#[derive(Clone, Copy)]
pub struct Direct {
    pub table: Compiled,
    pub dentry: Object,
    /// The dentry at which the path ends; it has no name.
    pub end: Object,
}

impl Direct {
    #[inline(always)]
    fn bytes(self) -> u64 {
        crate::kernel::address(load_at::<Object>(self.dentry, NAME))
    }
}

impl Cursor for Direct {
    type Table = Compiled;
    /// Everything is read when it is needed.
    type Name = Self;

    #[inline(always)]
    fn table(self) -> Compiled {
        self.table
    }

    #[inline(always)]
    fn is_root(self) -> bool {
        self.dentry == self.end
    }

    #[inline(always)]
    fn name(self) -> Self {
        self
    }

    #[inline(always)]
    fn up(self, _: Self) -> Self {
        // Another root is its own parent: the walk ends as too deep.
        Self {
            dentry: load_at(self.dentry, PARENT),
            ..self
        }
    }

    #[inline(always)]
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        pass_gate_above(self.table, crate::kernel::address(self.dentry), gate, n)
    }
}

impl Name for Direct {
    #[inline(always)]
    fn literal(self) -> Option<Literal> {
        literal::literal(self.table, self)
    }

    #[inline(always)]
    fn pass_gate(self, gate: u64) -> Option<u64> {
        walk::pass_gate(self.table, gate, self)
    }
}

impl Text for Direct {
    #[inline(always)]
    fn length(self) -> u64 {
        load_at::<u32>(self.dentry, LEN).into()
    }

    #[inline(always)]
    fn word(self, i: u64) -> u64 {
        // Constant offsets only: a typed pointer takes no others.
        match i {
            0 => load_at(self.dentry, INLINE),
            1 => load_at(self.dentry, INLINE + 8),
            _ => load_at(self.dentry, INLINE + 16),
        }
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(
            self.table.0.cast(),
            self.bytes(),
            self.length(),
        ))
    }

    #[inline(always)]
    fn match_name(self, start: u64) -> Option<u64> {
        if self.length() <= u64::from(LITERAL_INLINE) {
            return symbol(match_inline(
                self.table.0.cast(),
                self.word(0),
                self.word(1),
                self.word(2),
                start | self.length() << 16,
            ));
        }
        symbol(match_glob(
            self.table.0.cast(),
            self.bytes(),
            self.length(),
            start,
        ))
    }
}

/// A dentry by its address.
#[derive(Clone, Copy)]
pub struct Probed {
    pub table: Compiled,
    pub dentry: u64,
    /// Address of the dentry at which the path ends; it has no name.
    pub end: u64,
}

impl Cursor for Probed {
    type Table = Compiled;
    type Name = Read;

    #[inline(always)]
    fn table(self) -> Compiled {
        self.table
    }

    #[inline(always)]
    fn is_root(self) -> bool {
        self.dentry == self.end
    }

    #[inline(always)]
    fn name(self) -> Read {
        Read::new(self.table, self.dentry)
    }

    #[inline(always)]
    fn up(self, name: Read) -> Self {
        Self {
            dentry: name.fields.parent,
            ..self
        }
    }

    #[inline(always)]
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        pass_gate_above(self.table, self.dentry, gate, n)
    }

    /// With the same bounds after each turn, so that the verifier looks at few.
    #[inline(always)]
    fn count(count: u64) -> u64 {
        bounded(count)
    }

    #[inline(always)]
    fn repeat<S: Step>(self, times: u64, state: &mut S) -> Option<()> {
        repeat(times, state)
    }
}

/// The fields of a dentry from its parent to the address of its name, read at once: the
/// helper's call costs more than what it reads.
#[derive(Clone, Copy)]
#[repr(C)]
struct Fields {
    parent: u64,
    hash: u32,
    length: u32,
    bytes: u64,
}

const _: () = {
    assert!(offset_of!(Fields, length) == LEN - PARENT);
    assert!(offset_of!(Fields, bytes) == NAME - PARENT);
};

/// The name of a dentry by its address.
#[derive(Clone, Copy)]
pub struct Read {
    table: Compiled,
    dentry: u64,
    fields: Fields,
}

impl Read {
    #[inline(always)]
    fn new(table: Compiled, dentry: u64) -> Self {
        Self {
            table,
            dentry,
            fields: peek(dentry + PARENT as u64),
        }
    }
}

impl Name for Read {
    #[inline(always)]
    fn literal(self) -> Option<Literal> {
        if self.length() > u64::from(LITERAL_INLINE) {
            return self.literal_long();
        }
        let table = self.table.0.cast();
        Some(Literal(short_literal(table, self.dentry, self.length())))
    }

    #[inline(always)]
    fn pass_gate(self, gate: u64) -> Option<u64> {
        symbol(pass_gate(self.table.0.cast(), self.dentry, gate))
    }
}

impl Text for Read {
    #[inline(always)]
    fn length(self) -> u64 {
        self.fields.length.into()
    }

    #[inline(always)]
    fn word(self, i: u64) -> u64 {
        peek(self.dentry + INLINE as u64 + i * 8)
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(
            self.table.0.cast(),
            self.fields.bytes,
            self.length(),
        ))
    }

    #[inline(always)]
    fn match_name(self, start: u64) -> Option<u64> {
        automaton::match_name(self.table, NameAt(self.fields.bytes), self.length(), start)
    }
}
