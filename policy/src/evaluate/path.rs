//! Paths in user memory, as the walk reads them.

use bartizan_abi::automaton::{Words, match_name};
use bartizan_abi::limits::MAX_NAME;
use bartizan_abi::literal::{Literal, literal, literal_long};
use bartizan_abi::table::Bytes;
use bartizan_abi::walk::{Cursor, Name, Text, pass_gate};

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
}

impl<'a> Cursor for PathCursor<'a> {
    type Table = Bytes<'a>;
    type Name = PathName<'a>;

    fn table(self) -> Bytes<'a> {
        self.table
    }

    fn is_root(self) -> bool {
        self.components.is_empty()
    }

    fn name(self) -> PathName<'a> {
        PathName {
            table: self.table,
            words: NameWords(self.components.last().copied().unwrap_or_default()),
        }
    }

    fn up(self, _: PathName<'a>) -> Self {
        let above = self.components.split_last();
        Self {
            components: above.map_or(&[], |(_, above)| above),
            ..self
        }
    }

    fn pass_gate_above(self, gate: u64, n: u64) -> Option<u64> {
        let count = self.components.len().checked_sub(n as usize)?;
        let above = Self {
            components: &self.components[..count],
            ..self
        };
        above.name().pass_gate(gate)
    }
}

/// A component's name, and the table it is looked up in.
#[derive(Clone, Copy)]
pub(super) struct PathName<'a> {
    table: Bytes<'a>,
    words: NameWords<'a>,
}

impl Name for PathName<'_> {
    fn literal(self) -> Option<Literal> {
        literal(self.table, self)
    }

    fn pass_gate(self, gate: u64) -> Option<u64> {
        pass_gate(self.table, gate, self)
    }
}

impl Text for PathName<'_> {
    fn length(self) -> u64 {
        self.words.0.len() as u64
    }

    fn word(self, i: u64) -> u64 {
        self.words.word(i).unwrap_or(0)
    }

    fn literal_long(self) -> Option<Literal> {
        literal_long(self.table, self.words, self.length())
    }

    fn match_name(self, start: u64) -> Option<u64> {
        match_name(self.table, self.words, self.length(), start)
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
