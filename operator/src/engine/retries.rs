//! When to try again what has failed.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Tasks that have failed, each with a delay that doubles.
#[derive(Debug)]
pub(super) struct Retries<T> {
    failures: HashMap<T, u32>,
    due: BTreeSet<(Instant, T)>,
}

impl<T> Default for Retries<T> {
    fn default() -> Self {
        Self {
            failures: HashMap::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<T: Clone + Eq + Ord + Hash> Retries<T> {
    /// Has a task tried again later.
    pub(super) fn failed(&mut self, task: T) {
        let failures = self.failures.entry(task.clone()).or_default();
        let delay = FIRST.saturating_mul(1 << (*failures).min(16)).min(LONGEST);
        *failures += 1;
        self.due.insert((Instant::now() + delay, task));
    }

    /// Forgets the failures of a task.
    pub(super) fn succeeded(&mut self, task: &T) {
        self.failures.remove(task);
    }

    /// Tasks whose time has come.
    pub(super) fn due(&mut self) -> Vec<T> {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some((at, _)) = self.due.first()
            && *at <= now
        {
            due.extend(self.due.pop_first().map(|(_, task)| task));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_a_limit_and_start_again_after_success() {
        let mut retries = Retries::default();
        let mut delays = Vec::new();
        for failure in 0..10 {
            if failure == 9 {
                retries.succeeded(&"task");
            }
            retries.failed("task");
            let start = Instant::now();
            while retries.due().is_empty() {
                tokio::time::advance(FIRST).await;
            }
            delays.push(start.elapsed().as_millis());
        }
        assert_eq!(
            delays,
            [
                250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 250
            ]
        );
    }
}
