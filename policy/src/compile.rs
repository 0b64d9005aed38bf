//! From a rule map to the table that the kernel walks.
//!
//! ```text
//!   rules ─► collect ─┬► path (places ─► states) ─► minimise ─► symbols ─┐
//!                     │    └► name (globs ─► gates) ─────► minimise ─────┤
//!                     ├► leaf, address, socket ──────────────────────────┼► layout ─► bytes
//!                     └► effect ─► row (records by subject) ─────────────┘
//! ```
//!
//! What doesn't fit is refused with the rules that cost most, never truncated. The same
//! rule map gives the same bytes.

mod address;
mod automaton;
mod blame;
mod collect;
mod comb;
mod effect;
mod error;
mod head;
mod intern;
mod layout;
mod leaf;
mod literals;
mod minimise;
mod name;
mod path;
mod row;
mod socket;
mod subject;
mod symbols;

use bartizan_abi::limits::{MAX_RULES, MAX_SUBJECTS, TABLE_SIZE};
use bartizan_abi::table::LITERAL_SIZE;

use self::automaton::{Automaton, Gates};
use self::collect::Collected;
use self::intern::Interner;
use self::layout::{GateEntry, LiteralEntry, Part, Parts};
use self::leaf::LeafClasses;
use self::minimise::minimise;
use self::name::Names;
use self::path::{Determinised, SET};
use self::row::Rows;
use self::subject::Subject;
use self::symbols::Symbols;
use crate::rule_map::RuleMap;

pub use effect::judged;
pub use error::{CompileError, Culprit};

/// Symbols of names and addresses.
const BYTES: u32 = 256;

/// Compiles a rule map to a table: at most [`bartizan_abi::limits::TABLE_SIZE`] bytes.
pub fn compile(map: &RuleMap) -> Result<Vec<u8>, CompileError> {
    if map.rules.len() > MAX_RULES {
        return Err(CompileError::TooManyRules {
            rules: map.rules.len(),
        });
    }
    let mut rules = Collected::new(map);
    let literals = rules.names.literals().len() * LITERAL_SIZE as usize;
    if literals > TABLE_SIZE as usize {
        return Err(blame::too_large(map, &rules, literals));
    }
    let (callers, subjects) = callers(map, &mut rules)?;
    let classes = std::mem::replace(&mut rules.classes, effect::Classes::new());
    let mut rows = Rows::new(classes, subjects.clone());
    let unresolved = rules
        .everything
        .clone()
        .map(|tags| rows.number(tags, Vec::new()));

    let mut sets = Vec::new();
    let mut paths = Vec::new();
    for (patterns, what) in [
        (&rules.process, "paths of programs"),
        (&rules.files, "paths of files"),
    ] {
        let names = &mut rules.names;
        let row = |reached: path::Reached| rows.number(reached.tags, reached.above);
        match patterns.determinise(names, row) {
            Ok(Determinised {
                automaton,
                sets: places,
            }) => {
                sets.push(places);
                paths.push(smallest(&automaton, &rules.names));
            }
            Err(explosion) => return Err(blame::exploded(map, &rules, what, explosion)),
        }
    }
    paths.push(callers.unwrap_or_default());
    let leaves = std::mem::take(&mut rules.leaves);
    let leaves = leaves
        .classes(&mut rules.names, &mut rows)
        .map_err(|explosion| blame::exploded(map, &rules, "names", explosion.into()))?;
    let symbols = symbols::assign(
        &mut paths,
        rules.names.literals().len(),
        rules.names.set_count(),
    );
    let (names, gates, leaf_gate) = gates(&mut paths, &rules.names, &symbols, &leaves);

    let has_addresses = !rules.addresses.is_empty() || !rules.abstract_names.is_empty();
    let address = address::automaton(&rules.addresses, &rules.abstract_names, &mut |tags| {
        rows.number(tags, Vec::new())
    });
    let socket = socket::automaton(&rules.sockets, rules.exempt, |tags| {
        rows.number(tags, Vec::new())
    });
    let capabilities: Vec<u32> = rules
        .capabilities
        .iter()
        .map(|tags| rows.number(tags.clone(), Vec::new()))
        .collect();
    let restrictions = rows.number(rules.restrictions.clone(), Vec::new());

    let (fields, short_fields) = head::fields(map, unresolved, &capabilities, restrictions);
    let entries: Vec<LiteralEntry<'_>> = rules
        .names
        .literals()
        .iter()
        .zip(&symbols.literals)
        .zip(&leaves.literals)
        .map(|((name, &class), &leaf)| LiteralEntry { name, class, leaf })
        .collect();
    let names_of_entries: Vec<&[u8]> = entries.iter().map(|entry| entry.name).collect();
    let hash = literals::place(&names_of_entries).ok_or(CompileError::LiteralCollision {
        names: entries.len(),
    })?;
    let part = |wanted: bool, automaton, alphabet| wanted.then_some((automaton, alphabet));
    let automata: [Option<Part<'_>>; 5] = [
        part(!rules.process.is_empty(), &paths[0], symbols.count),
        part(!rules.files.is_empty(), &paths[1], symbols.count),
        part(!rules.callers.is_empty(), &paths[2], symbols.count),
        part(has_addresses, &address, BYTES),
        part(
            !rules.sockets.is_empty() || rules.exempt.is_some(),
            &socket,
            socket::ALPHABET,
        ),
    ];
    layout::table(&Parts {
        hash: &hash,
        literals: &entries,
        automata,
        names: (&names, BYTES),
        gates: &gates,
        leaf_gate,
        leaf_rows: &leaves.rows,
        symbols: symbols.count,
        subjects: subjects.len() as u32,
        rows: &rows,
        fields: &fields,
        short_fields: &short_fields,
    })
    .map_err(|error| blame::no_layout(map, &rules, &sets, error))
}

/// The automaton of callers and the subjects that are its rows.
fn callers(
    map: &RuleMap,
    rules: &mut Collected<'_>,
) -> Result<(Option<Automaton>, Vec<Subject>), CompileError> {
    if rules.lists() == 0 {
        return Ok((None, vec![Subject::Unresolved]));
    }
    let mut lists: Interner<Vec<u32>> = Interner::new();
    lists.number(Vec::new());
    let determinised = rules.callers.determinise(&mut rules.names, |reached| {
        let tags = row::lowest(reached.tags);
        2 + lists.number(tags.iter().map(|tag| tag.class).collect())
    });
    let determinised = match determinised {
        Ok(determinised) => determinised,
        Err(explosion) => return Err(blame::exploded(map, rules, "paths of callers", explosion)),
    };
    let mut subjects = vec![Subject::Unresolved, Subject::Runtime];
    subjects.extend(
        lists
            .values()
            .iter()
            .map(|lists| Subject::Lists(lists.to_vec())),
    );
    if subjects.len() > MAX_SUBJECTS {
        let weights = rules.callers.weights(&determinised.sets);
        return Err(CompileError::TooManySubjects {
            subjects: subjects.len(),
            culprits: blame::by_pattern(map, rules, weights),
        });
    }
    Ok((
        Some(smallest(&determinised.automaton, &rules.names)),
        subjects,
    ))
}

/// The smallest automaton of paths, without gates that make no difference.
fn smallest(automaton: &Automaton, names: &Names) -> Automaton {
    let mut smallest = minimise(automaton);
    let mut dropped = false;
    for state in &mut smallest.states {
        let useful = |gate: Option<u32>| {
            gate.filter(|&gate| {
                let sets = &names.gates()[gate as usize].sets;
                sets.iter()
                    .any(|set| state.next(SET | set) != state.default)
            })
        };
        let kept = Gates {
            leaf: useful(state.gates.leaf),
            dir: useful(state.gates.dir),
        };
        if kept != state.gates {
            dropped = true;
            state.gates = kept;
            let gates = [kept.leaf, kept.dir];
            state.edges.retain(|&(symbol, _)| {
                symbol & SET == 0
                    || gates
                        .iter()
                        .flatten()
                        .any(|&gate| names.gates()[gate as usize].sets.contains(&(symbol & !SET)))
            });
        }
    }
    if dropped {
        minimise(&smallest)
    } else {
        smallest
    }
}

/// One automaton for the names of all gates that are left, those gates, and which of
/// them is for leaves. The gates of states become places in that list.
fn gates(
    paths: &mut [Automaton],
    names: &Names,
    symbols: &Symbols,
    leaves: &LeafClasses,
) -> (Automaton, Vec<GateEntry>, Option<usize>) {
    let mut all = Automaton::default();
    let mut entries = Vec::new();
    let mut add = |gate: u32, row: &dyn Fn(usize) -> u32| {
        let gate = &names.gates()[gate as usize];
        let offset = all.states.len() as u32;
        for state in &gate.states {
            let mut state = state.clone();
            state.row = row(state.row as usize);
            state.default += offset;
            state.edges.iter_mut().for_each(|edge| edge.1 += offset);
            all.states.push(state);
        }
        all.starts.push(offset);
        let start = entries.len();
        entries.push(GateEntry {
            first: gate.first,
            last: gate.last,
            start,
        });
        start
    };
    let leaf_gate = leaves
        .gate
        .as_ref()
        .map(|(gate, classes)| add(*gate, &|row| classes[row]));
    let mut numbers: Vec<Option<u32>> = vec![None; names.gates().len()];
    for state in paths.iter_mut().flat_map(|path| &mut path.states) {
        for gate in [&mut state.gates.leaf, &mut state.gates.dir]
            .into_iter()
            .flatten()
        {
            let number = &mut numbers[*gate as usize];
            *gate = *number.get_or_insert_with(|| {
                let sets = &names.gates()[*gate as usize].sets;
                add(*gate, &|row| symbols.sets[sets[row] as usize]) as u32
            });
        }
    }
    (minimise(&all).with_fewest_edges(BYTES), entries, leaf_gate)
}

#[cfg(test)]
mod tests;
