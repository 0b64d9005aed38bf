//! Path automata: patterns read component by component.
//!
//! A *place* in a pattern is what it still wants to read. Places with the same rest of
//! a pattern and the same rule are one, and a set of places is a state.

use super::automaton::{Automaton, Gates, State};
use super::effect::Tag;
use super::intern::Interner;
use super::name::{Accepts, GateKey, Names, TooManyStates};
use crate::pattern::{Component, Pattern};

/// States of one automaton before it is minimised.
const MAX_STATES: usize = 40_000;
/// Its edges; a table has room for fewer than 262,144.
const MAX_EDGES: usize = 400_000;
/// Symbols at and above this are sets of units, below they are literals.
pub(super) const SET: u32 = 1 << 31;

/// A place in a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A component is to be read.
    Read {
        accepts: Accepts,
        next: u32,
        /// Behind `**`: it can also be read later.
        looped: bool,
        /// At the start of `**/...`: every path leads here.
        everywhere: bool,
        tag: Tag,
    },
    /// The pattern has matched.
    End {
        /// And matches everything below.
        looped: bool,
        tag: Tag,
    },
}

/// Patterns of one kind of path.
pub(super) struct Patterns {
    places: Interner<Place>,
    starts: Vec<u32>,
    /// The first pattern with a place, by place.
    origins: Vec<u32>,
}

/// What a path has matched, for its row.
#[derive(Default)]
pub(super) struct Reached {
    /// Rules that match it.
    pub(super) tags: Vec<Tag>,
    /// Rules that could match something below it and not everywhere else.
    pub(super) above: Vec<Tag>,
}

/// An automaton, and the places that are its states.
pub(super) struct Determinised {
    pub(super) automaton: Automaton,
    pub(super) sets: Interner<Vec<u32>>,
}

/// Why there is no automaton.
#[derive(Debug)]
pub(super) enum Explosion {
    /// Patterns (their origins), and how many states follow each.
    Paths(Vec<(u32, u32)>),
    /// Globs, and how many states follow each.
    Names(Vec<(u32, u32)>),
}

impl From<TooManyStates> for Explosion {
    fn from(error: TooManyStates) -> Self {
        Self::Names(error.weights)
    }
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self {
            places: Interner::new(),
            starts: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Adds a pattern of a rule; `origin` is the number by which errors name it.
    pub(super) fn add(&mut self, names: &mut Names, pattern: &Pattern, tag: Tag, origin: u32) {
        let start = if pattern.is_everything() {
            self.place(Place::End { looped: true, tag }, origin)
        } else {
            self.chain(names, pattern.components(), tag, origin)
        };
        self.starts.push(start);
    }

    fn chain(&mut self, names: &mut Names, components: &[Component], tag: Tag, origin: u32) -> u32 {
        let (components, mut next) = match components {
            // At the end it wants one component at least.
            [rest @ .., Component::AnyDepth] => {
                let below = self.place(Place::End { looped: true, tag }, origin);
                let read = Place::Read {
                    accepts: Accepts::Any,
                    next: below,
                    looped: false,
                    everywhere: false,
                    tag,
                };
                (rest, self.place(read, origin))
            }
            all => (all, self.place(Place::End { looped: false, tag }, origin)),
        };
        for (at, component) in components.iter().enumerate().rev() {
            let Some(accepts) = names.component(component) else {
                continue;
            };
            let looped = at > 0 && components[at - 1] == Component::AnyDepth;
            let everywhere = looped && at == 1;
            next = self.place(
                Place::Read {
                    accepts,
                    next,
                    looped,
                    everywhere,
                    tag,
                },
                origin,
            );
        }
        next
    }

    fn place(&mut self, place: Place, origin: u32) -> u32 {
        let number = self.places.number(place);
        if self.origins.len() <= number as usize {
            self.origins.push(origin);
        }
        number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The automaton; `row` numbers what its states have matched, nothing being 0 or
    /// whatever it makes of it.
    pub(super) fn determinise(
        &self,
        names: &mut Names,
        mut row: impl FnMut(Reached) -> u32,
    ) -> Result<Determinised, Explosion> {
        let mut sets = Interner::new();
        sets.number(self.pruned(self.starts.clone()));
        let mut states: Vec<State> = Vec::new();
        let mut edges = 0;
        while states.len() < sets.len() {
            if sets.len() > MAX_STATES || edges > MAX_EDGES {
                return Err(Explosion::Paths(self.weights(&sets)));
            }
            let places = sets.value(states.len() as u32);
            let state = self.state(&places, names, &mut sets, row(self.reached(&places)))?;
            edges += state.edges.len();
            states.push(state);
        }
        Ok(Determinised {
            automaton: Automaton {
                states,
                starts: vec![0],
            },
            sets,
        })
    }

    fn reached(&self, places: &[u32]) -> Reached {
        let mut reached = Reached::default();
        for &place in places {
            match self.places.values()[place as usize].as_ref() {
                Place::End { tag, .. } => reached.tags.push(*tag),
                Place::Read {
                    everywhere: false,
                    tag,
                    ..
                } => reached.above.push(*tag),
                Place::Read { .. } => {}
            }
        }
        reached
    }

    fn state(
        &self,
        places: &[u32],
        names: &mut Names,
        sets: &mut Interner<Vec<u32>>,
        row: u32,
    ) -> Result<State, Explosion> {
        let mut stay: Vec<u32> = Vec::new();
        let mut by_literal: Vec<(u32, u32)> = Vec::new();
        let mut by_glob: Vec<(u32, u32)> = Vec::new();
        for &place in places {
            match self.places.values()[place as usize].as_ref() {
                Place::End { looped, .. } => {
                    if *looped {
                        stay.push(place);
                    }
                }
                Place::Read {
                    accepts,
                    next,
                    looped,
                    ..
                } => {
                    if *looped {
                        stay.push(place);
                    }
                    match accepts {
                        Accepts::Any => stay.push(*next),
                        Accepts::Literals(all) => {
                            by_literal.extend(all.iter().map(|literal| (*literal, *next)));
                        }
                        Accepts::Glob(glob) => by_glob.push((*next, *glob)),
                    }
                }
            }
        }
        by_glob.sort_unstable();
        let mut units: Vec<(u32, u32)> = by_glob
            .chunk_by(|a, b| a.0 == b.0)
            .map(|group| {
                (
                    names.unit(group.iter().map(|pair| pair.1).collect()),
                    group[0].0,
                )
            })
            .collect();
        units.sort_unstable();
        for &(unit, next) in &units {
            by_literal.extend(
                names
                    .literals_of_unit(unit)
                    .iter()
                    .map(|literal| (*literal, next)),
            );
        }
        by_literal.sort_unstable();
        by_literal.dedup();

        let stay = self.pruned(stay);
        let default = sets.number(stay.clone());
        let mut target = |more: &mut dyn Iterator<Item = u32>| {
            let mut places = stay.clone();
            places.extend(more);
            sets.number(self.pruned(places))
        };
        let mut edges = Vec::new();
        for group in by_literal.chunk_by(|a, b| a.0 == b.0) {
            let next = target(&mut group.iter().map(|pair| pair.1));
            if next != default {
                edges.push((group[0].0, next));
            }
        }
        let gates = self.gates(&units, names)?;
        let mut known = Vec::new();
        for gate in [gates.leaf, gates.dir].into_iter().flatten() {
            known.extend_from_slice(&names.gates()[gate as usize].sets);
        }
        known.sort_unstable();
        known.dedup();
        for set in known {
            let matched = names.set(set);
            let next = target(
                &mut units
                    .iter()
                    .filter(|(unit, _)| matched.contains(unit))
                    .map(|pair| pair.1),
            );
            if next != default {
                edges.push((SET | set, next));
            }
        }
        Ok(State {
            row,
            default,
            edges,
            gates,
        })
    }

    /// The gates of a state from which these units lead to these places. At the last
    /// component all units count, so that whoever goes on from there (from a mount
    /// point) has missed none; before it only those with something behind them.
    fn gates(&self, units: &[(u32, u32)], names: &mut Names) -> Result<Gates, Explosion> {
        let goes_on = |place: u32| {
            !matches!(
                *self.places.values()[place as usize],
                Place::End { looped: false, .. }
            )
        };
        let mut dir: Vec<(u32, u32)> = units.to_vec();
        dir.retain(|(_, next)| goes_on(*next));
        let mut gate = |units: &[(u32, u32)]| {
            if units.is_empty() {
                return Ok(None);
            }
            names.gate(&self.gate_key(units)).map(Some)
        };
        Ok(Gates {
            leaf: gate(units)?,
            dir: gate(&dir)?,
        })
    }

    fn gate_key(&self, pairs: &[(u32, u32)]) -> GateKey {
        let groups: Vec<&[(u32, u32)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
        // A unit covers another one if wherever that leads, this one leads to an end that
        // makes it redundant.
        let covers = |by: &[(u32, u32)], unit: &[(u32, u32)]| {
            unit.iter().all(|&(_, place)| {
                let (wanted, below) = match *self.places.values()[place as usize] {
                    Place::End { tag, looped } => (tag, looped),
                    Place::Read { tag, .. } => (tag, true),
                };
                by.iter()
                    .any(|&(_, place)| match *self.places.values()[place as usize] {
                        Place::End { tag, looped } => tag.covers(wanted) && (looped || !below),
                        Place::Read { .. } => false,
                    })
            })
        };
        let mut covering = Vec::new();
        for (a, by) in groups.iter().enumerate() {
            for (b, unit) in groups.iter().enumerate() {
                // Two that cover each other: the first stays.
                if a != b && covers(by, unit) && (a < b || !covers(unit, by)) {
                    covering.push((a as u32, b as u32));
                }
            }
        }
        GateKey {
            units: groups.iter().map(|group| group[0].0).collect(),
            covers: covering,
        }
    }

    /// Sorted, and without places that can't change what is reported: below a match of
    /// a rule, whatever else it or a higher rule of its class could match.
    fn pruned(&self, mut places: Vec<u32>) -> Vec<u32> {
        places.sort_unstable();
        places.dedup();
        let certain: Vec<(u32, Tag)> = places
            .iter()
            .filter_map(|&place| match *self.places.values()[place as usize] {
                Place::End { looped: true, tag } => Some((place, tag)),
                _ => None,
            })
            .collect();
        if !certain.is_empty() {
            places.retain(|&place| {
                let (Place::Read { tag, .. } | Place::End { tag, .. }) =
                    *self.places.values()[place as usize];
                !certain
                    .iter()
                    .any(|(by, certain)| *by != place && certain.covers(tag))
            });
        }
        places
    }

    /// Origins of patterns, and how many states follow each.
    pub(super) fn weights(&self, sets: &Interner<Vec<u32>>) -> Vec<(u32, u32)> {
        let mut weights = vec![0; self.places.len()];
        for places in sets.values() {
            for &place in places.iter() {
                let everywhere = Place::is_everywhere(&self.places.values()[place as usize]);
                weights[place as usize] += u32::from(!everywhere);
            }
        }
        self.origins.iter().copied().zip(weights).collect()
    }
}

impl Place {
    fn is_everywhere(&self) -> bool {
        matches!(
            self,
            Self::Read {
                everywhere: true,
                ..
            }
        )
    }
}
