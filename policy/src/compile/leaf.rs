//! Patterns `**/name` and `**/glob`: they depend on a path's last component alone.
//!
//! In the path automata they would be live in every state. Here a leaf has a class of
//! its own, and a class a row for programs and a row for files; the masks of the path's
//! row and of its leaf's row are united when it is judged.

use std::collections::BTreeMap;

use super::effect::Tag;
use super::intern::Interner;
use super::name::{Accepts, GateKey, Names, TooManyStates};
use super::row::{Rows, lowest};
use crate::pattern::{Component, Pattern};

/// Rules by what they judge: programs, files.
type Tags = [Vec<Tag>; 2];

/// Which of [`Tags`] a pattern belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Process = 0,
    Files = 1,
}

/// Patterns that are matched against leaves.
#[derive(Default)]
pub(super) struct Leaves {
    literals: BTreeMap<u32, Tags>,
    globs: BTreeMap<u32, Tags>,
}

/// What a table knows of leaves.
pub(super) struct LeafClasses {
    /// Class by literal.
    pub(super) literals: Vec<u32>,
    /// The gate for names that are no literals, and the class of each of its rows.
    pub(super) gate: Option<(u32, Vec<u32>)>,
    /// Rows of programs and of files, by class.
    pub(super) rows: Vec<(u32, u32)>,
}

impl Leaves {
    /// Takes a pattern if it depends on the leaf alone; else returns false.
    pub(super) fn add(
        &mut self,
        names: &mut Names,
        pattern: &Pattern,
        side: Side,
        tag: Tag,
    ) -> bool {
        let [Component::AnyDepth, component] = pattern.components() else {
            return false;
        };
        match names.component(component) {
            None | Some(Accepts::Any) => return false,
            Some(Accepts::Literals(literals)) => {
                for literal in literals {
                    self.literals.entry(literal).or_default()[side as usize].push(tag);
                }
            }
            Some(Accepts::Glob(glob)) => {
                self.globs.entry(glob).or_default()[side as usize].push(tag);
            }
        }
        true
    }

    /// To be called when all literals are known.
    pub(super) fn classes(
        self,
        names: &mut Names,
        rows: &mut Rows,
    ) -> Result<LeafClasses, TooManyStates> {
        let mut units: BTreeMap<Tags, Vec<u32>> = BTreeMap::new();
        for (glob, tags) in self.globs {
            units.entry(tags.map(lowest)).or_default().push(glob);
        }
        let mut units: Vec<(u32, Tags)> = units
            .into_iter()
            .map(|(tags, globs)| (names.unit(globs), tags))
            .collect();
        units.sort_unstable();

        let mut of_literals: Vec<Tags> = vec![Tags::default(); names.literals().len()];
        for (literal, tags) in self.literals {
            of_literals[literal as usize] = tags;
        }
        for (unit, tags) in &units {
            for &literal in names.literals_of_unit(*unit).iter() {
                unite(&mut of_literals[literal as usize], tags);
            }
        }
        let mut classes = Interner::new();
        classes.number((0, 0));
        let mut class = |[process, files]: Tags| {
            let process = rows.number(process, Vec::new());
            classes.number((process, rows.number(files, Vec::new())))
        };
        let literals = of_literals.into_iter().map(&mut class).collect();

        let mut gate = None;
        if !units.is_empty() {
            let number = names.gate(&key(&units))?;
            let sets = names.gates()[number as usize].sets.clone();
            let of_rows = sets.into_iter().map(|set| {
                let mut tags = Tags::default();
                for unit in names.set(set).iter() {
                    let known = units.iter().filter(|(known, _)| known == unit);
                    known.for_each(|(_, more)| unite(&mut tags, more));
                }
                class(tags)
            });
            gate = Some((number, of_rows.collect()));
        }
        let rows = classes.values().iter().map(|rows| **rows).collect();
        Ok(LeafClasses {
            literals,
            gate,
            rows,
        })
    }
}

fn unite(tags: &mut Tags, more: &Tags) {
    tags[0].extend_from_slice(&more[0]);
    tags[1].extend_from_slice(&more[1]);
}

fn key(units: &[(u32, Tags)]) -> GateKey {
    let covers = |by: &Tags, tags: &Tags| {
        by.iter().zip(tags).all(|(by, tags)| {
            tags.iter()
                .all(|tag| by.iter().any(|certain| certain.covers(*tag)))
        })
    };
    let mut covering = Vec::new();
    for (a, (_, by)) in units.iter().enumerate() {
        for (b, (_, tags)) in units.iter().enumerate() {
            if a != b && covers(by, tags) {
                covering.push((a as u32, b as u32));
            }
        }
    }
    GateKey {
        units: units.iter().map(|unit| unit.0).collect(),
        covers: covering,
    }
}
