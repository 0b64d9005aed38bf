//! The end of tables and workloads: their counts are kept, then their numbers are free.

use std::time::{Duration, Instant};

use super::{Engine, EngineError, Maps};

/// How long a table or workload number stays taken after its last use: far longer than
/// a decision or the reading of its event takes.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl<M: Maps> Engine<M> {
    /// When [`Engine::sweep`] has something to do; `None` if nothing is on its way out.
    pub fn deadline(&self) -> Option<Instant> {
        let departed = self
            .workloads
            .values()
            .filter_map(|workload| workload.departed);
        departed
            .chain(self.tables.retired())
            .min()
            .map(|since| since + GRACE)
    }

    /// Folds the counters of tables and workloads that went out of use a while ago
    /// into the totals, and frees their numbers: those of one table at each call.
    pub fn sweep(&mut self, now: Instant) -> Result<(), EngineError> {
        let over = |since: Instant| now >= since + GRACE;
        let tables = self.tables.retired_before(over);
        let workloads: Vec<u32> = self
            .workloads
            .iter()
            .filter(|(_, workload)| workload.departed.is_some_and(over))
            .map(|(number, _)| *number)
            .collect();
        if tables.is_empty() && workloads.is_empty() {
            return Ok(());
        }
        let counters = self.maps.counters().map_err(EngineError::Maps)?;
        let gone: Vec<_> = counters
            .into_iter()
            .filter(|(key, _)| tables.contains(&key.table) || workloads.contains(&key.workload))
            .collect();
        for (key, count) in &gone {
            let series = self.series(*key);
            self.tally.add(series, *count);
        }
        let keys: Vec<_> = gone.iter().map(|(key, _)| *key).collect();
        self.maps
            .remove_counters(&keys)
            .map_err(EngineError::Maps)?;
        for number in workloads {
            self.workloads.remove(&number);
        }
        // One at a time: the kernel waits for its readers at each, and an edit must not
        // wait for all of them. The deadline is over, so the next call is soon.
        if let Some(number) = tables.first() {
            self.maps.remove_table(*number).map_err(EngineError::Maps)?;
            self.tables.remove(*number);
        }
        Ok(())
    }
}
