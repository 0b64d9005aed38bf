//! The perfect hash of literals.
//!
//! A literal's hash picks one of 4,096 displacements and, together with that, one slot.
//! Displacements are chosen so that no two literals share a slot; where two literals
//! can't be separated under a seed, the next seed is tried.

use bartizan_abi::literal::literal_hash;
use bartizan_abi::table::DISPLACEMENT_COUNT;

/// Seeds tried before the table is made larger.
const SEEDS: u64 = 32;
/// Slots of the largest table.
const MAX_SLOTS: usize = 1 << 16;

/// Where every literal is.
pub(super) struct Literals {
    pub(super) seed: u64,
    pub(super) displacements: Vec<u16>,
    /// Literal by slot.
    pub(super) slots: Vec<Option<u32>>,
}

/// Places names, which must differ. `None`: they don't fit.
pub(super) fn place(names: &[impl AsRef<[u8]>]) -> Option<Literals> {
    let mut slots = names.len().max(1).next_power_of_two();
    while slots <= MAX_SLOTS {
        for number in 0..SEEDS {
            if let Some(literals) = try_seed(names, slots, seed(number)) {
                return Some(literals);
            }
        }
        slots *= 2;
    }
    None
}

/// An odd multiplier with its bits well mixed (splitmix64).
fn seed(number: u64) -> u64 {
    let mut z = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) | 1
}

fn try_seed(names: &[impl AsRef<[u8]>], slots: usize, seed: u64) -> Option<Literals> {
    let mask = slots as u32 - 1;
    let mut buckets: Vec<Vec<(u32, u32)>> = vec![Vec::new(); DISPLACEMENT_COUNT as usize];
    for (literal, name) in names.iter().enumerate() {
        let hash = literal_hash(seed, words(name.as_ref()));
        let slot = (hash >> 38) as u32 & mask;
        buckets[(hash >> 52) as usize].push((slot, literal as u32));
    }
    let mut order: Vec<usize> = (0..buckets.len())
        .filter(|&b| !buckets[b].is_empty())
        .collect();
    order.sort_by_key(|&bucket| std::cmp::Reverse(buckets[bucket].len()));
    let mut taken: Vec<Option<u32>> = vec![None; slots];
    let mut displacements = vec![0; buckets.len()];
    let mut free = 0;
    for number in order {
        let bucket = &buckets[number];
        let moved = if let [(slot, _)] = bucket[..] {
            // A single literal can go to any free slot.
            while taken[free as usize].is_some() {
                free += 1;
            }
            slot ^ free
        } else {
            (0..slots as u32).find(|moved| {
                bucket.iter().enumerate().all(|(at, (slot, _))| {
                    taken[(slot ^ moved) as usize].is_none()
                        && bucket[..at].iter().all(|(other, _)| other != slot)
                })
            })?
        };
        displacements[number] = moved as u16;
        for &(slot, literal) in bucket {
            taken[(slot ^ moved) as usize] = Some(literal);
        }
    }
    Some(Literals {
        seed,
        displacements,
        slots: taken,
    })
}

/// A name as zero-padded little-endian words.
pub(super) fn words(name: &[u8]) -> impl Iterator<Item = u64> {
    name.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_has_a_slot_of_its_own() {
        for count in [0, 1, 2, 100, 1000, 5000] {
            let names: Vec<String> = (0..count).map(|n| format!("name-{n}-{}", n % 7)).collect();
            let literals = place(&names).unwrap();
            let mut found: Vec<u32> = literals.slots.iter().flatten().copied().collect();
            found.sort_unstable();
            assert_eq!(found, (0..count).collect::<Vec<u32>>());
            assert!(literals.slots.len() <= 2 * (count as usize).max(1));
        }
    }
}
