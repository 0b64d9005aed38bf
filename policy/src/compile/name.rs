//! Names of components: literals, globs, and the gates that tell globs apart.
//!
//! ```text
//!   name ─ is a literal ─► its class; which globs it matches was found out here
//!        ─ else, per state a gate ─► set of units that match ─► symbol
//! ```
//!
//! A *unit* is a set of globs that lead to the same place: which of them matched makes
//! no difference, and an automaton that doesn't try to tell is smaller.

mod alphabet;
mod dfa;
mod expand;
mod filter;
mod nfa;
mod utf8;

use std::rc::Rc;

use self::dfa::Dfa;
use self::expand::{could_match, expand, is_any};
use self::filter::Filter;
use self::nfa::Nfa;
use super::automaton::State;
use super::intern::Interner;
use crate::pattern::{Component, Glob};

/// States of all byte automata together, before they are minimised.
const MAX_STATES: usize = 60_000;

/// What a component of a pattern accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Accepts {
    /// Every name.
    Any,
    /// Any of these literals.
    Literals(Vec<u32>),
    /// What this glob matches.
    Glob(u32),
}

/// All names, globs and gates of a table.
pub(super) struct Names {
    literals: Interner<Vec<u8>>,
    globs: Interner<Glob>,
    /// Literals that a glob matches, by glob; found when it is first asked for.
    matches: Vec<Option<Rc<Vec<u32>>>>,
    units: Interner<Vec<u32>>,
    unit_matches: Vec<Option<Rc<Vec<u32>>>>,
    sets: Interner<Vec<u32>>,
    keys: Interner<GateKey>,
    gates: Vec<Rc<Gate>>,
    states: usize,
}

/// What makes two gates the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GateKey {
    /// Units to tell apart; sorted.
    pub(super) units: Vec<u32>,
    /// Pairs of places in `units`: the second adds nothing where the first matches.
    pub(super) covers: Vec<(u32, u32)>,
}

/// A byte automaton over names that are no literals.
pub(super) struct Gate {
    /// State 0 is the start; rows are places in `sets`.
    pub(super) states: Vec<State>,
    /// Numbers of the sets of units that it tells apart; the first is the empty one.
    pub(super) sets: Vec<u32>,
    /// Set of first bytes, modulo 64.
    pub(super) first: u64,
    /// Set of last bytes.
    pub(super) last: u64,
}

/// Telling globs apart takes more states than there may be: globs, and how many of the
/// states follow each.
#[derive(Debug)]
pub(super) struct TooManyStates {
    pub(super) weights: Vec<(u32, u32)>,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut sets = Interner::new();
        sets.number(Vec::new());
        Self {
            literals: Interner::new(),
            globs: Interner::new(),
            matches: Vec::new(),
            units: Interner::new(),
            unit_matches: Vec::new(),
            sets,
            keys: Interner::new(),
            gates: Vec::new(),
            states: 0,
        }
    }

    /// Registers a component; `None` for `**`, which is none.
    pub(super) fn component(&mut self, component: &Component) -> Option<Accepts> {
        Some(match component {
            Component::AnyDepth => return None,
            Component::Literal(name) => Accepts::Literals(vec![self.literals.number(name.clone())]),
            Component::Glob(glob) if is_any(glob.tokens()) => Accepts::Any,
            Component::Glob(glob) => match expand(glob.tokens()) {
                Some(names) => {
                    let mut numbers: Vec<u32> = names
                        .into_iter()
                        .map(|name| self.literals.number(name))
                        .collect();
                    numbers.sort_unstable();
                    numbers.dedup();
                    Accepts::Literals(numbers)
                }
                None => Accepts::Glob(self.globs.number(glob.clone())),
            },
        })
    }

    /// All literals by number.
    pub(super) fn literals(&self) -> &[Rc<Vec<u8>>] {
        self.literals.values()
    }

    /// A glob as the component of a pattern.
    pub(super) fn glob(&self, glob: u32) -> Component {
        Component::Glob(self.globs.value(glob).as_ref().clone())
    }

    /// All gates by number.
    pub(super) fn gates(&self) -> &[Rc<Gate>] {
        &self.gates
    }

    /// Number of sets of units that some gate tells apart.
    pub(super) fn set_count(&self) -> usize {
        self.sets.len()
    }

    /// The units of a set.
    pub(super) fn set(&self, set: u32) -> Rc<Vec<u32>> {
        self.sets.value(set)
    }

    /// The unit of some globs.
    pub(super) fn unit(&mut self, mut globs: Vec<u32>) -> u32 {
        globs.sort_unstable();
        globs.dedup();
        self.units.number(globs)
    }

    /// Literals that a unit matches. To be called when all literals are known.
    pub(super) fn literals_of_unit(&mut self, unit: u32) -> Rc<Vec<u32>> {
        if self.unit_matches.len() <= unit as usize {
            self.unit_matches.resize(unit as usize + 1, None);
        }
        if let Some(known) = &self.unit_matches[unit as usize] {
            return Rc::clone(known);
        }
        let globs = self.units.value(unit);
        let mut literals: Vec<u32> = globs
            .iter()
            .flat_map(|&glob| self.literals_of_glob(glob).to_vec())
            .collect();
        literals.sort_unstable();
        literals.dedup();
        let literals = Rc::new(literals);
        self.unit_matches[unit as usize] = Some(Rc::clone(&literals));
        literals
    }

    fn literals_of_glob(&mut self, glob: u32) -> Rc<Vec<u32>> {
        if self.matches.len() <= glob as usize {
            self.matches.resize(glob as usize + 1, None);
        }
        if let Some(known) = &self.matches[glob as usize] {
            return Rc::clone(known);
        }
        let tokens = self.globs.value(glob);
        let found = self.literals.values().iter().enumerate();
        let found = found.filter(|(_, name)| could_match(&tokens, name) && tokens.matches(name));
        let literals = Rc::new(found.map(|(literal, _)| literal as u32).collect::<Vec<_>>());
        self.matches[glob as usize] = Some(Rc::clone(&literals));
        literals
    }

    /// Globs, and how many states of gates are about each.
    pub(super) fn weights(&self) -> Vec<(u32, u32)> {
        let gates = self.keys.values().iter().zip(&self.gates);
        let units = gates.flat_map(|(key, gate)| {
            let size = gate.states.len() as u32;
            key.units.iter().map(move |unit| (*unit, size))
        });
        units
            .flat_map(|(unit, size)| {
                self.units
                    .value(unit)
                    .to_vec()
                    .into_iter()
                    .map(move |glob| (glob, size))
            })
            .collect()
    }

    /// The gate for some units.
    pub(super) fn gate(&mut self, key: &GateKey) -> Result<u32, TooManyStates> {
        let before = self.keys.len();
        let number = self.keys.number(key.clone());
        if (number as usize) < before {
            return Ok(number);
        }
        let units: Vec<Rc<Vec<u32>>> = key
            .units
            .iter()
            .map(|unit| self.units.value(*unit))
            .collect();
        let globs: Vec<Vec<Rc<Glob>>> = units
            .iter()
            .map(|unit| unit.iter().map(|glob| self.globs.value(*glob)).collect())
            .collect();
        let globs: Vec<Vec<&Glob>> = globs
            .iter()
            .map(|globs| globs.iter().map(|glob| &**glob).collect())
            .collect();
        let mut covered = vec![Vec::new(); globs.len()];
        for &(by, unit) in &key.covers {
            covered[by as usize].push(unit);
        }
        let nfa = Nfa::new(&globs, covered);
        let limit = MAX_STATES - self.states.min(MAX_STATES);
        let Dfa { states, accepted } = match dfa::determinise(&nfa, globs.len(), limit) {
            Ok(dfa) => dfa,
            Err(too_many) => {
                let weights = units.iter().zip(too_many.followed);
                let weights = weights
                    .flat_map(|(globs, weight)| globs.iter().map(move |glob| (*glob, weight)))
                    .collect();
                return Err(TooManyStates { weights });
            }
        };
        self.states += states.len();
        let sets = accepted
            .into_iter()
            .map(|places| {
                let units = places
                    .into_iter()
                    .map(|place| key.units[place as usize])
                    .collect();
                self.sets.number(units)
            })
            .collect();
        let Filter { first, last } = Filter::new(globs.into_iter().flatten());
        self.gates.push(Rc::new(Gate {
            states,
            sets,
            first,
            last,
        }));
        Ok(number)
    }
}
