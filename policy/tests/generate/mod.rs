//! Rule maps and requests out of a string of bytes.
//!
//! ```text
//!   bytes ─► Choices ─► rules::rule_map ─► RuleMap
//!                 └──► requests::request, half of them made to match ─► Request
//! ```
//!
//! Every decision is one [`Choices::pick`], and nothing left to read means the first
//! and simplest alternative. So property tests shrink a case by shrinking its bytes,
//! and the fuzzer steers the same generator by coverage (`fuzz/` includes this module).

pub(crate) mod patterns;
pub(crate) mod requests;
pub(crate) mod rules;

/// Bytes that are read as decisions.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Decisions from these bytes, and 0 for ever behind their end.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(first)
    }

    /// A number below `n`, which is at least 1.
    pub(crate) fn pick(&mut self, n: usize) -> usize {
        if n <= 256 {
            self.byte() % n
        } else {
            (self.byte() << 8 | self.byte()) % n
        }
    }

    /// True once in `n` times, but not when there is nothing left to read.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }

    /// One of some values.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }
}
