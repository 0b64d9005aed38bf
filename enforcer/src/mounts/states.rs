//! The state of a path automaton behind a mount point: where the kernel's walk goes
//! on from the mounted root.

use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};
use bartizan_abi::table::{At, Automaton, Bytes, Table, gate, state};
use bartizan_abi::walk::{Words, literal_long, match_name, start, step};

/// State of `automaton` behind all components of `path`, 0 if no rule needs it.
/// `ends`: the mounted object is a file, so that the path ends there. `None`: a
/// component is longer than a name can be, or there are too many.
pub(super) fn state_after(
    table: Bytes<'_>,
    automaton: Automaton,
    path: &[u8],
    ends: bool,
) -> Option<u16> {
    let mut at = start(table, automaton);
    if at == 0 {
        return Some(0);
    }
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
    let mut depth = 0;
    while let Some(name) = names.next() {
        depth += 1;
        if name.len() > MAX_NAME as usize || depth > MAX_DEPTH {
            return None;
        }
        let last = ends && names.peek().is_none();
        at = step(table, at, symbol(table, at, Component(name), last)?);
    }
    u16::try_from(at).ok()
}

/// What a component is in a state: a literal's class, else the set of globs it matches.
fn symbol(table: Bytes<'_>, at: u32, name: Component<'_>, last: bool) -> Option<u32> {
    let class = literal_long(table, name, name.length())?.class;
    if class != 0 {
        return Some(class);
    }
    let from = table.at(at << 4);
    let number = from.u16(if last { state::GATE_LEAF } else { state::GATE_DIR });
    if number == 0 {
        return Some(0);
    }
    let start = table.at(number << 5).u16(gate::START);
    match_name(table, name, name.length(), start)
}

/// One component; words behind its end are zero, as those of literals are.
#[derive(Clone, Copy)]
struct Component<'a>(&'a [u8]);

impl Component<'_> {
    fn length(self) -> u32 {
        self.0.len() as u32
    }
}

impl Words for Component<'_> {
    fn word(self, i: u32) -> Option<u64> {
        let mut bytes = [0; 8];
        let rest = self.0.get(i as usize * 8..).unwrap_or(&[]);
        let len = rest.len().min(8);
        bytes[..len].copy_from_slice(&rest[..len]);
        Some(u64::from_le_bytes(bytes))
    }
}
