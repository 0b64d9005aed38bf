//! From parts to bytes, as `bartizan_abi::table` lays them out.

use std::collections::BTreeMap;

use bartizan_abi::limits::TABLE_SIZE;
use bartizan_abi::rows::defaults;
use bartizan_abi::table::{
    ATTRIBUTION_SIZE, BODY, Bytes as Finished, DISPLACEMENTS, GATE_SIZE, LITERAL_SIZE, MAGIC,
    RECORD_SIZE, STATE_SIZE, VERSION, gate, header, record, state,
};

use super::automaton::Automaton;
use super::comb::Comb;
use super::literals::{Literals, words};
use super::row::{Record, Rows};

/// A literal's name, class and leaf class.
pub(super) struct LiteralEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) class: u32,
    pub(super) leaf: u32,
}

/// A gate: its filter and its start among those of the automaton of names.
pub(super) struct GateEntry {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) start: usize,
}

/// An automaton and the number of its symbols.
pub(super) type Part<'a> = (&'a Automaton, u32);

/// Everything that a table is made of.
pub(super) struct Parts<'a> {
    pub(super) hash: &'a Literals,
    pub(super) literals: &'a [LiteralEntry<'a>],
    /// By [`bartizan_abi::table::Automaton`].
    pub(super) automata: [Option<Part<'a>>; 5],
    pub(super) names: Part<'a>,
    pub(super) gates: &'a [GateEntry],
    /// Place in `gates`.
    pub(super) leaf_gate: Option<usize>,
    pub(super) leaf_rows: &'a [(u32, u32)],
    /// Number of symbols of paths.
    pub(super) symbols: u32,
    pub(super) subjects: u32,
    pub(super) rows: &'a Rows,
    /// Further fields of the header: offset, value.
    pub(super) fields: &'a [(u32, u32)],
    /// The same for fields of 16 bits.
    pub(super) short_fields: &'a [(u32, u16)],
}

/// Why there is no table.
#[derive(Clone, Copy, Debug)]
pub(super) enum LayoutError {
    /// It would have that many bytes.
    TooLarge(usize),
    /// There would be that many of something that has numbers of 16 bits.
    TooMany(&'static str, usize),
}

pub(super) fn table(parts: &Parts<'_>) -> Result<Vec<u8>, LayoutError> {
    let ext: usize = parts
        .literals
        .iter()
        .map(|literal| words(literal.name).skip(3).count())
        .sum();
    for (what, count) in [
        ("words of long names", ext),
        ("combinations of matching rules", parts.rows.rows().len()),
        ("kinds of last components", parts.leaf_rows.len()),
        ("kinds of components", parts.symbols as usize),
    ] {
        if count > usize::from(u16::MAX) {
            return Err(LayoutError::TooMany(what, count));
        }
    }
    let mut bytes = Bytes(vec![0; BODY as usize]);
    for (at, &moved) in parts.hash.displacements.iter().enumerate() {
        bytes.set_u16(DISPLACEMENTS + at as u32 * 2, moved);
    }
    bytes.set_u32(header::MAGIC, MAGIC);
    bytes.set_u32(header::VERSION, VERSION);
    bytes.set_u32(header::SUBJECTS, parts.subjects);
    for &(field, value) in parts.fields {
        bytes.set_u32(field, value);
    }
    for &(field, value) in parts.short_fields {
        bytes.set_u16(field, value);
    }
    literals(&mut bytes, parts);
    states(&mut bytes, parts)?;
    bytes.set_u32(header::LEAF_ROWS, bytes.len());
    for &(process, files) in parts.leaf_rows {
        bytes.push_u16(process as u16);
        bytes.push_u16(files as u16);
    }
    rows(&mut bytes, parts.rows);
    bytes.set_u32(header::SIZE, bytes.len());
    // The numbers of states, gates and records are their places, so that they can only
    // have been cut in a table that is too large anyway.
    if bytes.len() > TABLE_SIZE {
        Err(LayoutError::TooLarge(bytes.0.len()))
    } else {
        Ok(bytes.0)
    }
}

fn literals(bytes: &mut Bytes, parts: &Parts<'_>) {
    bytes.set_u64(header::LITERAL_SEED, parts.hash.seed);
    bytes.set_u32(header::LITERAL_MASK, parts.hash.slots.len() as u32 - 1);
    let mut ext: Vec<u64> = Vec::new();
    for slot in &parts.hash.slots {
        let at = bytes.grow(LITERAL_SIZE);
        let Some(literal) = slot.map(|literal| &parts.literals[literal as usize]) else {
            continue;
        };
        for (i, word) in words(literal.name).take(3).enumerate() {
            bytes.set_u64(at + i as u32 * 8, word);
        }
        bytes.set_u16(at + 24, literal.class as u16);
        bytes.set_u16(at + 26, literal.leaf as u16);
        bytes.set_u16(at + 28, ext.len() as u16);
        bytes.set_u16(at + 30, literal.name.len() as u16);
        ext.extend(words(literal.name).skip(3));
    }
    bytes.set_u32(header::EXT, bytes.len());
    for word in ext {
        bytes.0.extend(word.to_le_bytes());
    }
}

fn states(bytes: &mut Bytes, parts: &Parts<'_>) -> Result<(), LayoutError> {
    bytes.align(GATE_SIZE);
    let all: Vec<Part<'_>> = parts
        .automata
        .iter()
        .flatten()
        .copied()
        .chain([parts.names])
        .collect();
    let count: usize = all
        .iter()
        .map(|(automaton, _)| automaton.states.len())
        .sum();
    let first = bytes.len();
    let gates_at = first as usize + count * STATE_SIZE as usize;
    if gates_at > TABLE_SIZE as usize {
        return Err(LayoutError::TooLarge(gates_at));
    }
    bytes.grow(count as u32 * STATE_SIZE);
    bytes.align(GATE_SIZE);
    let gates = bytes.grow(parts.gates.len() as u32 * GATE_SIZE);
    let gate_number = |gate: usize| (gates + gate as u32 * GATE_SIZE) >> 5;
    let comb_at = bytes.len();

    let mut from = first >> 4;
    let mut starts = Vec::new();
    let mut places = Vec::new();
    for &(automaton, alphabet) in &all {
        starts.push(from);
        places.extend((0..automaton.states.len()).map(|at| (automaton, alphabet, from, at)));
        from += automaton.states.len() as u32;
    }
    places
        .sort_by_key(|(automaton, _, _, at)| std::cmp::Reverse(automaton.states[*at].edges.len()));
    let mut comb = Comb::default();
    for (automaton, alphabet, from, at) in places {
        let this = &automaton.states[at];
        let number = from + at as u32;
        let base = if this.edges.is_empty() && this.default == at as u32 {
            0
        } else if this.edges.is_empty() {
            comb_at + comb.empty(alphabet) * 4
        } else {
            let edges = this
                .edges
                .iter()
                .map(|edge| (edge.0, (from + edge.1) as u16));
            comb_at + comb.place(number as u16, alphabet, edges) * 4
        };
        let offset = number << 4;
        bytes.set_u32(offset + state::BASE, base);
        bytes.set_u16(offset + state::DEFAULT, (from + this.default) as u16);
        bytes.set_u16(offset + state::ROW, this.row as u16);
        let gate = |gate: Option<u32>| gate.map_or(0, |gate| gate_number(gate as usize) as u16);
        bytes.set_u16(offset + state::GATE_DIR, gate(this.gates.dir));
        bytes.set_u16(offset + state::GATE_LEAF, gate(this.gates.leaf));
    }
    bytes.grow(comb.len() as u32 * 4);
    for &(at, check, next) in comb.entries() {
        bytes.set_u16(comb_at + at * 4, check);
        bytes.set_u16(comb_at + at * 4 + 2, next);
    }

    let names = starts.pop().unwrap_or_default();
    let mut starts = starts.into_iter();
    for (number, part) in parts.automata.iter().enumerate() {
        if let Some((automaton, _)) = part
            && let Some(from) = starts.next()
        {
            bytes.set_u32(
                header::STARTS + number as u32 * 4,
                from + automaton.starts[0],
            );
        }
    }
    for (at, entry) in parts.gates.iter().enumerate() {
        let offset = gates + at as u32 * GATE_SIZE;
        bytes.set_u64(offset + gate::FIRST, entry.first);
        bytes.set_u64(offset + gate::LAST, entry.last);
        bytes.set_u16(
            offset + gate::START,
            (names + parts.names.0.starts[entry.start]) as u16,
        );
    }
    bytes.set_u32(header::LEAF_GATE, parts.leaf_gate.map_or(0, gate_number));
    Ok(())
}

fn rows(bytes: &mut Bytes, rows: &Rows) {
    let ops = rows.ops(defaults(Finished(&bytes.0)));
    bytes.align(4);
    bytes.set_u32(header::ROW_OPS, bytes.len());
    for ops in ops {
        bytes.0.extend(ops.to_le_bytes());
    }
    // Records come behind the rows that point at them, so their place has to be known.
    bytes.set_u32(header::ROWS, bytes.len());
    let cells: usize = rows.rows().iter().map(|row| row.len()).sum();
    let rows_at = bytes.grow(cells as u32 * 2);
    bytes.align(RECORD_SIZE);
    let mut numbers = Vec::new();
    let mut records: Vec<(&Record, bool)> = Vec::new();
    let first = bytes.len();
    for cell in rows.cells() {
        numbers.push((first >> 5) + records.len() as u32);
        records.push((&cell.0, cell.1.is_some()));
        records.extend(cell.1.as_ref().map(|owner| (owner, false)));
    }
    bytes.grow(records.len() as u32 * RECORD_SIZE);
    for (at, cell) in rows.rows().iter().flat_map(|row| row.iter()).enumerate() {
        bytes.set_u16(rows_at + at as u32 * 2, numbers[*cell as usize] as u16);
    }
    let mut lists: BTreeMap<&[(u32, u32, u16)], u32> = BTreeMap::new();
    for (at, (this, owner)) in records.into_iter().enumerate() {
        let offset = first + at as u32 * RECORD_SIZE;
        for (i, mask) in this.masks.into_iter().enumerate() {
            bytes.set_u32(offset + record::MASKS + i as u32 * 4, mask);
        }
        let list = *lists.entry(&this.attribution).or_insert_with(|| {
            let list = bytes.len();
            for &(ops, rule, kind) in &this.attribution {
                let entry = bytes.grow(ATTRIBUTION_SIZE);
                bytes.set_u32(entry, ops);
                bytes.set_u16(entry + 4, rule as u16);
                bytes.set_u16(entry + 6, kind);
            }
            list
        });
        bytes.set_u32(offset + record::OWNER, u32::from(owner));
        bytes.set_u32(offset + record::ATTRIBUTION, list);
        bytes.set_u32(offset + record::ATTRIBUTIONS, this.attribution.len() as u32);
    }
}

/// Bytes that are written at offsets.
struct Bytes(Vec<u8>);

impl Bytes {
    fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Appends zeroes and returns where they start.
    fn grow(&mut self, count: u32) -> u32 {
        let at = self.len();
        self.0.resize(self.0.len() + count as usize, 0);
        at
    }

    fn align(&mut self, to: u32) {
        let len = self.len().next_multiple_of(to);
        self.0.resize(len as usize, 0);
    }

    fn push_u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn set_u16(&mut self, at: u32, value: u16) {
        self.0[at as usize..][..2].copy_from_slice(&value.to_le_bytes());
    }

    fn set_u32(&mut self, at: u32, value: u32) {
        self.0[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn set_u64(&mut self, at: u32, value: u64) {
        self.0[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }
}
