//! The state of a path automaton behind a mount point: where the kernel's walk goes
//! on from the mounted root.

use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};
use bartizan_abi::table::{Automaton, Bytes};
use bartizan_abi::walk::{Cursor, Literal, Words, literal_long, match_name, start, step_name};

/// State of `automaton` behind all components of `path`, 0 if no rule needs it.
/// `ends`: the mounted object is a file, so that the path ends there. `None`: a
/// component is longer than a name can be, or there are too many.
pub(super) fn state_after(
    table: Bytes<'_>,
    automaton: Automaton,
    path: &[u8],
    ends: bool,
) -> Option<u16> {
    let mut state = start(table, automaton);
    if state == 0 {
        return Some(0);
    }
    let mut names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    let mut depth = 0;
    while let Some(name) = names.next() {
        depth += 1;
        if name.len() > MAX_NAME as usize || depth > MAX_DEPTH {
            return None;
        }
        let last = ends && names.peek().is_none();
        state = step_name(table, state, Component { table, name }, last)?;
    }
    u16::try_from(state).ok()
}

/// One component in user memory.
#[derive(Clone, Copy)]
struct Component<'a> {
    table: Bytes<'a>,
    name: &'a [u8],
}

impl Words for Component<'_> {
    fn word(self, i: u32) -> Option<u64> {
        let mut bytes = [0; 8];
        let rest = self.name.get(i as usize * 8..)?;
        let len = rest.len().min(8);
        bytes[..len].copy_from_slice(&rest[..len]);
        Some(u64::from_le_bytes(bytes))
    }
}

impl Cursor for Component<'_> {
    fn length(self) -> u32 {
        self.name.len() as u32
    }

    fn word(self, i: u32) -> u64 {
        Words::word(self, i).unwrap_or(0)
    }

    fn up(self) -> Option<Self> {
        None
    }

    fn ancestor(self, _n: u32) -> Self {
        self
    }

    fn literal_long(self) -> Option<Literal> {
        literal_long(self.table, self, self.length())
    }

    fn match_name(self, start: u32) -> Option<u32> {
        match_name(self.table, self, self.length(), start)
    }
}
