//! Paths in user memory, as the walk reads them.

use bartizan_abi::automaton::{Words, match_name};
use bartizan_abi::limits::MAX_NAME;
use bartizan_abi::literal::{Literal, literal_long};
use bartizan_abi::table::Bytes;
use bartizan_abi::walk::{Cursor, pass_gate};

/// The components of an absolute path; `None` if the kernel could have no such name.
pub(super) fn components(path: &[u8]) -> Option<Vec<&[u8]>> {
    let components: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    components
        .iter()
        .all(|name| name.len() <= MAX_NAME as usize)
        .then_some(components)
}

/// A component: the last one of those that are left.
#[derive(Clone, Copy)]
pub(super) struct PathCursor<'a> {
    table: Bytes<'a>,
    components: &'a [&'a [u8]],
}

impl<'a> PathCursor<'a> {
    /// The leaf of a path, or its root if it has no components.
    pub(super) fn new(table: Bytes<'a>, components: &'a [&'a [u8]]) -> Self {
        Self { table, components }
    }

    fn name(self) -> NameWords<'a> {
        NameWords(self.components.last().copied().unwrap_or_default())
    }
}

impl Cursor for PathCursor<'_> {
    fn length(self) -> u64 {
        self.name().0.len() as u64
    }

    fn word(self, i: u64) -> u64 {
        self.name().word(i).unwrap_or(0)
    }

    fn up(self) -> Option<Self> {
        let (_, above) = self.components.split_last()?;
        Some(Self {
            components: above,
            ..self
        })
    }

    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        let count = self.components.len().checked_sub(n as usize)?;
        pass_gate(
            self.table,
            gate,
            Self {
                components: &self.components[..count],
                ..self
            },
        )
    }

    fn literal_long(self) -> Option<Literal> {
        literal_long(self.table, self.name(), self.length())
    }

    fn match_name(self, start: u64) -> Option<u64> {
        match_name(self.table, self.name(), self.length(), start)
    }
}

/// A name's bytes, with zeroes behind its end.
#[derive(Clone, Copy)]
pub(super) struct NameWords<'a>(pub(super) &'a [u8]);

impl Words for NameWords<'_> {
    fn word(self, i: u64) -> Option<u64> {
        let mut word = [0; 8];
        let rest = self.0.get(i as usize * 8..).unwrap_or_default();
        let count = rest.len().min(8);
        word[..count].copy_from_slice(&rest[..count]);
        Some(u64::from_le_bytes(word))
    }
}
