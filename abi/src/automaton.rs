//! Automata: one step, the bytes of a name, and what a state stands for.
//!
//! All numbers are 64 bits wide, because the BPF target has no others: narrower ones
//! would be cut again after every step.

use crate::limits::MAX_NAME;
use crate::repeat::{Step, repeat};
use crate::table::{At, Automaton, Table, header, state};

/// Bytes of a name that are read eight at a time.
pub trait Words: Copy {
    /// Bytes `8 * i..8 * i + 8`, little-endian; `None` if they can't be read.
    /// What is behind the name's end is not defined.
    fn word(self, i: u64) -> Option<u64>;

    /// [`repeat`], in whatever way suits where the bytes are.
    #[inline(always)]
    fn repeat<S: Step>(self, times: u64, state: &mut S) -> Option<()> {
        repeat(times, state)
    }
}

/// Start state of an automaton, 0 if no rule needs it.
#[inline(always)]
pub fn start<T: Table>(table: T, automaton: Automaton) -> u64 {
    table.header().u32(header::STARTS + automaton as u32 * 4)
}

/// The row of a state; 0 for none.
#[inline(always)]
pub fn row_of<T: Table>(table: T, at: u64) -> u64 {
    if at == 0 {
        0
    } else {
        table.at(at << 4).u16(state::ROW)
    }
}

/// The step from state `at`, which lies at `from` and whose edges are at `base`.
#[inline(always)]
pub(crate) fn next<T: Table>(table: T, at: u64, from: T::At, base: u64, symbol: u64) -> u64 {
    let edge = table.at(base.wrapping_add(symbol << 2)).u32(0);
    if edge & 0xffff == at {
        edge >> 16
    } else {
        from.u16(state::DEFAULT)
    }
}

/// One step of any automaton.
#[inline(always)]
pub fn step<T: Table>(table: T, at: u64, symbol: u64) -> u64 {
    let from = table.at(at << 4);
    let base = from.u32(state::BASE);
    if base == 0 {
        at
    } else {
        next(table, at, from, base, symbol)
    }
}

/// Runs a byte automaton over a name; returns its row, which is a symbol.
#[inline(always)]
pub fn match_name<T: Table, W: Words>(table: T, name: W, len: u64, start: u64) -> Option<u64> {
    let mut run = Run {
        table,
        name,
        len,
        at: start,
    };
    name.repeat(MAX_NAME / 8 + 1, &mut run)?;
    Some(table.at(run.at << 4).u16(state::ROW))
}

/// A byte automaton's run over a name.
struct Run<T, W> {
    table: T,
    name: W,
    len: u64,
    at: u64,
}

impl<T: Table, W: Words> Step for Run<T, W> {
    /// Reads eight bytes.
    #[inline(always)]
    fn step(&mut self, i: u64) -> Option<bool> {
        let word = self.name.word(i)?;
        let left = self.len.wrapping_sub(i << 3);
        let mut at = self.at;
        let mut more = left > 8;
        // Few enough for the compiler to unroll.
        for byte in 0..8 {
            if left <= byte {
                more = false;
                break;
            }
            let from = self.table.at(at << 4);
            let base = from.u32(state::BASE);
            if base == 0 {
                more = false;
                break;
            }
            at = next(self.table, at, from, base, word >> (byte * 8) & 0xff);
        }
        self.at = at;
        Some(more)
    }
}
