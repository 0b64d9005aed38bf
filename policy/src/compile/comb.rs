//! Row displacement: the edges of all states in one array.
//!
//! Every edge is at its state's base plus its symbol and carries its state's number, so
//! rows may be pushed into each other's gaps. First fit, largest rows first, 64 places
//! looked at in one go.

/// The array under construction; entries are indices, not bytes.
#[derive(Default)]
pub(super) struct Comb {
    /// A bit per entry that is taken.
    taken: Vec<u64>,
    /// Words of `taken` before this one are full.
    full: usize,
    /// Entries that some state can look at.
    len: usize,
    entries: Vec<(u32, u16, u16)>,
}

impl Comb {
    /// Finds room for a row and returns its base. `check` is the state's number; edges
    /// are symbols below `alphabet` and numbers of next states.
    pub(super) fn place(
        &mut self,
        check: u16,
        alphabet: u32,
        edges: impl Iterator<Item = (u32, u16)> + Clone,
    ) -> u32 {
        let base = self.fit(&edges.clone().map(|edge| edge.0));
        self.reach(base, alphabet);
        for (symbol, next) in edges {
            let at = base + symbol;
            self.taken[at as usize / 64] |= 1 << (at % 64);
            self.entries.push((at, check, next));
        }
        while self.taken.get(self.full) == Some(&u64::MAX) {
            self.full += 1;
        }
        base
    }

    /// A base for states without edges: nothing there is theirs.
    pub(super) fn empty(&mut self, alphabet: u32) -> u32 {
        self.reach(0, alphabet);
        0
    }

    /// Number of entries, those included that are only looked at.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Taken entries: place, check, next.
    pub(super) fn entries(&self) -> &[(u32, u16, u16)] {
        &self.entries
    }

    /// No lookup from `base` may leave the array: what is behind it could look like an
    /// edge.
    fn reach(&mut self, base: u32, alphabet: u32) {
        self.len = self.len.max((base + alphabet) as usize);
        self.taken
            .resize(self.taken.len().max(self.len / 64 + 2), 0);
    }

    fn fit(&self, symbols: &(impl Iterator<Item = u32> + Clone)) -> u32 {
        let lowest = symbols.clone().next().unwrap_or(0) as usize;
        let mut base = (self.full * 64).saturating_sub(lowest);
        loop {
            let mut busy = 0;
            for symbol in symbols.clone() {
                busy |= self.window(base + symbol as usize);
                if busy == u64::MAX {
                    break;
                }
            }
            if busy != u64::MAX {
                return base as u32 + (!busy).trailing_zeros();
            }
            base += 64;
        }
    }

    /// 64 bits from a place on; free behind the end.
    fn window(&self, at: usize) -> u64 {
        let word = |at: usize| self.taken.get(at).copied().unwrap_or(0);
        let (low, shift) = (word(at / 64), at % 64);
        match shift {
            0 => low,
            _ => low >> shift | word(at / 64 + 1) << (64 - shift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fill_each_others_gaps_and_never_overlap() {
        let mut comb = Comb::default();
        let mut seen = std::collections::BTreeSet::new();
        for check in 1..200_u16 {
            let step = u32::from(check % 7) + 1;
            let edges: Vec<(u32, u16)> = (1..20).map(|at| (at * step, check)).collect();
            let base = comb.place(check, 256, edges.iter().copied());
            for (symbol, _) in edges {
                assert!(seen.insert(base + symbol));
                assert!((base + symbol) < comb.len() as u32);
            }
            assert!(base + 256 <= comb.len() as u32);
        }
        assert_eq!(comb.entries().len(), seen.len());
        assert!(
            comb.len() < 3 * seen.len(),
            "{} for {}",
            comb.len(),
            seen.len()
        );
    }
}
