//! Numbers for values: equal values get equal numbers, in order of appearance.
//!
//! The only place of the compiler that hashes. Nothing iterates over the hash map, so
//! its order can't leak into a table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

/// Distinct values and their numbers.
#[derive(Debug)]
pub(super) struct Interner<T> {
    values: Vec<Rc<T>>,
    numbers: HashMap<Rc<T>, u32, BuildHasherDefault<Mixer>>,
}

impl<T: Hash + Eq> Interner<T> {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::default(),
        }
    }

    /// The number of a value, a new one if it is new.
    pub(super) fn number(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = self.values.len() as u32;
        let value = Rc::new(value);
        self.values.push(Rc::clone(&value));
        self.numbers.insert(value, number);
        number
    }

    /// The value of a number that this interner gave out.
    pub(super) fn value(&self, number: u32) -> Rc<T> {
        Rc::clone(&self.values[number as usize])
    }

    /// All values by number.
    pub(super) fn values(&self) -> &[Rc<T>] {
        &self.values
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// A fast hash without a random seed. Whoever writes policies could make values
/// collide and so slow their own compilation down, within the budgets on its size.
#[derive(Debug, Default)]
pub(super) struct Mixer(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(
                word.try_into().expect("a chunk has 8 bytes"),
            ));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        let folded = self.0 ^ (self.0 >> 32);
        folded.wrapping_mul(MULTIPLIER)
    }
}
