//! Characters that no glob tells apart.
//!
//! Codes are bytes, or the characters of a name: code points, and one code more for any
//! byte that is in no UTF-8 sequence.

use super::super::intern::Interner;

/// The code of a byte that is in no UTF-8 sequence.
pub(super) const STRAY: u32 = 0x11_0000;

/// A partition of the codes into classes.
pub(super) struct Alphabet {
    /// First codes of the intervals, ascending from 0.
    starts: Vec<u32>,
    /// Class of each interval.
    classes: Vec<u32>,
    /// Sets that contain a class, by class.
    members: Vec<Vec<bool>>,
}

impl Alphabet {
    /// The coarsest one in which each of `sets` is a union of classes. A set is a list
    /// of ranges, both ends included.
    pub(super) fn new(sets: &[Vec<(u32, u32)>]) -> Self {
        let mut starts = vec![0];
        starts.extend(
            sets.iter()
                .flatten()
                .flat_map(|&(first, last)| [first, last + 1]),
        );
        starts.sort_unstable();
        starts.dedup();
        let mut signatures = Interner::new();
        let mut inside = vec![Vec::new(); starts.len()];
        for (number, set) in sets.iter().enumerate() {
            for &(first, last) in set {
                let from = starts.partition_point(|&start| start < first);
                let to = starts.partition_point(|&start| start <= last);
                for signature in &mut inside[from..to] {
                    if signature.last() != Some(&number) {
                        signature.push(number);
                    }
                }
            }
        }
        let classes = inside
            .into_iter()
            .map(|signature| signatures.number(signature))
            .collect();
        let members = signatures
            .values()
            .iter()
            .map(|signature| {
                (0..sets.len())
                    .map(|set| signature.contains(&set))
                    .collect()
            })
            .collect();
        Self {
            starts,
            classes,
            members,
        }
    }

    /// Number of classes.
    pub(super) fn len(&self) -> u32 {
        self.members.len() as u32
    }

    /// The class of a code.
    pub(super) fn class(&self, code: u32) -> u32 {
        self.classes[self.interval(code)]
    }

    /// The class of all codes of a range, `None` if they have several.
    pub(super) fn class_of_range(&self, first: u32, last: u32) -> Option<u32> {
        let (from, to) = (self.interval(first), self.interval(last));
        let class = self.classes[from];
        self.classes[from..=to]
            .iter()
            .all(|other| *other == class)
            .then_some(class)
    }

    /// Whether a set contains a class.
    pub(super) fn contains(&self, set: u32, class: u32) -> bool {
        self.members[class as usize][set as usize]
    }

    fn interval(&self, code: u32) -> usize {
        self.starts.partition_point(|&start| start <= code) - 1
    }
}
