//! Paths as the walk reads them: cursors over `struct dentry`.
//!
//! [`Direct`] loads through typed pointers, for the one hook whose cost counts.
//! [`Probed`] reads by address, for everything else and for paths that come from an
//! untyped pointer; it is verified once per program, inside a global function.

use bartizan_abi::fields::dentry::{INLINE, LEN, NAME, PARENT};
use bartizan_abi::walk::{self, Cursor, Literal, Words};

use crate::kernel::{Object, load_at, peek};
use crate::table::{Compiled, TableValue};

/// Bytes of a name, by address.
#[derive(Clone, Copy)]
pub struct NameAt(u64);

impl Words for NameAt {
    #[inline(always)]
    fn word(self, i: u32) -> Option<u64> {
        // Names are in memory of their length rounded up to 8 at least (inline names
        // are in the dentry, others in a kmalloc object), so whole words can be read.
        peek(self.0 + u64::from(i) * 8)
    }
}

/// What [`long_literal`] and [`match_glob`] answer when the name can't be read.
const UNREADABLE: u64 = u64::MAX;

/// The literal that a long name is, packed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn long_literal(table: *const TableValue, name: u64, len: u32) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    match walk::literal_long(Compiled::new(table), NameAt(name), len) {
        Some(literal) => u64::from(literal.class) | u64::from(literal.leaf) << 16,
        None => UNREADABLE,
    }
}

/// The symbol of a name in a byte automaton.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn match_glob(table: *const TableValue, name: u64, len: u32, start: u32) -> u64 {
    if table.is_null() {
        return UNREADABLE;
    }
    match walk::match_name(Compiled::new(table), NameAt(name), len, start) {
        Some(symbol) => u64::from(symbol),
        None => UNREADABLE,
    }
}

#[inline(always)]
fn unpack(answer: u64) -> Option<Literal> {
    if answer == UNREADABLE {
        return None;
    }
    Some(Literal { class: answer as u32 & 0xffff, leaf: (answer >> 16) as u32 & 0xffff })
}

/// A dentry through its typed pointer.
#[derive(Clone, Copy)]
pub struct Direct {
    pub table: Compiled,
    pub dentry: Object,
    /// The walk ends here even if it is no root; NULL for none.
    pub stop: Object,
}

impl Direct {
    #[inline(always)]
    fn name(self) -> u64 {
        crate::kernel::address(load_at::<Object>(self.dentry, NAME))
    }
}

impl Cursor for Direct {
    #[inline(always)]
    fn length(self) -> u32 {
        load_at(self.dentry, LEN)
    }

    #[inline(always)]
    fn word(self, i: u32) -> u64 {
        // Constant offsets only: a typed pointer takes no others.
        match i {
            0 => load_at(self.dentry, INLINE),
            1 => load_at(self.dentry, INLINE + 8),
            _ => load_at(self.dentry, INLINE + 16),
        }
    }

    #[inline(always)]
    fn up(self) -> Option<Self> {
        let parent: Object = load_at(self.dentry, PARENT);
        if parent == self.dentry || self.dentry == self.stop {
            return None;
        }
        Some(Self { dentry: parent, ..self })
    }

    #[inline(always)]
    fn ancestor(self, n: u32) -> Self {
        let mut at = self;
        let mut i = 0;
        while i < 64 {
            if i >= n {
                break;
            }
            at.dentry = load_at(at.dentry, PARENT);
            i += 1;
        }
        at
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(self.table.0.cast(), self.name(), self.length()))
    }

    #[inline(always)]
    fn match_name(self, start: u32) -> Option<u32> {
        let symbol = match_glob(self.table.0.cast(), self.name(), self.length(), start);
        if symbol == UNREADABLE { None } else { Some(symbol as u32 & 0xffff) }
    }
}

/// A dentry by its address.
#[derive(Clone, Copy)]
pub struct Probed {
    pub table: Compiled,
    pub dentry: u64,
    /// The walk ends here even if it is no root; 0 for none.
    pub stop: u64,
}

impl Probed {
    #[inline(always)]
    fn name(self) -> u64 {
        peek(self.dentry + NAME as u64).unwrap_or(0)
    }
}

impl Cursor for Probed {
    #[inline(always)]
    fn length(self) -> u32 {
        // Unreadable: longer than any name, and `literal_long` fails on it.
        peek(self.dentry + LEN as u64).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn word(self, i: u32) -> u64 {
        peek(self.dentry + INLINE as u64 + u64::from(i) * 8).unwrap_or(0)
    }

    #[inline(always)]
    fn up(self) -> Option<Self> {
        let parent: u64 = peek(self.dentry + PARENT as u64).unwrap_or(self.dentry);
        if parent == self.dentry || self.dentry == self.stop {
            return None;
        }
        Some(Self { dentry: parent, ..self })
    }

    #[inline(always)]
    fn ancestor(self, n: u32) -> Self {
        let mut at = self;
        let mut i = 0;
        while i < 64 {
            if i >= n {
                break;
            }
            at.dentry = peek(at.dentry + PARENT as u64).unwrap_or(0);
            i += 1;
        }
        at
    }

    #[inline(always)]
    fn literal_long(self) -> Option<Literal> {
        unpack(long_literal(self.table.0.cast(), self.name(), self.length()))
    }

    #[inline(always)]
    fn match_name(self, start: u32) -> Option<u32> {
        let symbol = match_glob(self.table.0.cast(), self.name(), self.length(), start);
        if symbol == UNREADABLE { None } else { Some(symbol as u32 & 0xffff) }
    }
}

