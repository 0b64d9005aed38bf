//! Paths as the walk reads them: cursors over `struct dentry`.
//!
//! [`Direct`] loads through typed pointers, for the one hook whose cost counts.
//! [`Probed`] reads by address, for everything else and for paths that come from an
//! untyped pointer; it is verified once per program, inside a global function.

use bartizan_abi::automaton::{self, Words};
use bartizan_abi::fields::dentry::{INLINE, LEN, NAME, PARENT};
use bartizan_abi::limits::MAX_DEPTH;
use bartizan_abi::literal::{self, Literal};
use bartizan_abi::repeat::Step;
use bartizan_abi::table::{At, LITERAL_INLINE, Table, gate};
use bartizan_abi::walk::{self, Cursor};

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

impl Words for Inline {
    #[inline(always)]
    fn word(self, i: u64) -> Option<u64> {
        Some(match i {
            0 => self.0[0],
            1 => self.0[1],
            _ => self.0[2],
        })
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
    let name = Probed {
        table,
        dentry,
        end: 0,
    };
    if !walk::may_match(table, gate, name) {
        return 0;
    }
    let start = table.at(gate << 5).u16(gate::START);
    match automaton::match_name(table, NameAt(name.name()), name.length(), start) {
        Some(symbol) => symbol,
        None => UNREADABLE,
    }
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
    fn name(self) -> u64 {
        crate::kernel::address(load_at::<Object>(self.dentry, NAME))
    }
}

impl Cursor for Direct {
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
    fn up(self) -> Option<Self> {
        if self.dentry == self.end {
            return None;
        }
        // Another root is its own parent: the walk ends as too deep.
        Some(Self {
            dentry: load_at(self.dentry, PARENT),
            ..self
        })
    }

    #[inline(always)]
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        let component = above(crate::kernel::address(self.dentry), n);
        symbol(pass_gate(self.table.0.cast(), component, gate))
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(
            self.table.0.cast(),
            self.name(),
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
            self.name(),
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

impl Probed {
    #[inline(always)]
    fn name(self) -> u64 {
        peek(self.dentry + NAME as u64)
    }
}

impl Cursor for Probed {
    #[inline(always)]
    fn length(self) -> u64 {
        peek::<u32>(self.dentry + LEN as u64).into()
    }

    #[inline(always)]
    fn word(self, i: u64) -> u64 {
        peek(self.dentry + INLINE as u64 + i * 8)
    }

    #[inline(always)]
    fn up(self) -> Option<Self> {
        if self.dentry == self.end {
            return None;
        }
        Some(Self {
            dentry: peek(self.dentry + PARENT as u64),
            ..self
        })
    }

    #[inline(always)]
    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        let component = above(self.dentry, n);
        symbol(pass_gate(self.table.0.cast(), component, gate))
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(
            self.table.0.cast(),
            self.name(),
            self.length(),
        ))
    }

    #[inline(always)]
    fn match_name(self, start: u64) -> Option<u64> {
        symbol(match_glob(
            self.table.0.cast(),
            self.name(),
            self.length(),
            start,
        ))
    }
}
