//! Folds a storm of equal events into one line per second.
//!
//! The first event is printed at once. Further ones open no line until the second is
//! over; then one line carries their number, and the next second begins. A second
//! without any ends the window. So a lone denial is never late, a storm costs one line
//! a second, and the counts add up to the number of events.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::line::Record;

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(1);
/// Windows kept at a time; a program that tries ever new paths must not grow us.
const WINDOWS: usize = 2_048;

/// What makes two events the same: numbers, operation, outcome, target, executable.
type Key = (
    (u32, u32, Option<u16>),
    u8,
    u8,
    Option<String>,
    Option<String>,
);

struct Window {
    ends: Instant,
    repeats: u64,
    /// The latest of the repeats.
    latest: Record,
}

/// Open windows. `emit` is called with each record to print and its count.
#[derive(Default)]
pub struct Aggregator {
    windows: HashMap<Key, Window>,
}

impl Aggregator {
    /// Takes an event.
    pub fn offer(&mut self, now: Instant, record: Record, mut emit: impl FnMut(&Record, u64)) {
        let key = (
            record.key,
            record.operation as u8,
            record.outcome as u8,
            record.target.clone(),
            record.executable.clone(),
        );
        if let Some(window) = self.windows.get_mut(&key) {
            window.repeats += 1;
            window.latest = record;
            return;
        }
        if self.windows.len() >= WINDOWS {
            self.flush(&mut emit);
        }
        emit(&record, 1);
        self.windows.insert(
            key,
            Window {
                ends: now + WINDOW,
                repeats: 0,
                latest: record,
            },
        );
    }

    /// Closes the windows that are over.
    pub fn close(&mut self, now: Instant, mut emit: impl FnMut(&Record, u64)) {
        self.windows.retain(|_, window| {
            if window.ends > now {
                return true;
            }
            if window.repeats == 0 {
                return false;
            }
            emit(&window.latest, window.repeats);
            window.repeats = 0;
            window.ends = now + WINDOW;
            true
        });
    }

    /// Closes all windows.
    pub fn flush(&mut self, mut emit: impl FnMut(&Record, u64)) {
        for (_, window) in self.windows.drain() {
            if window.repeats != 0 {
                emit(&window.latest, window.repeats);
            }
        }
    }

    /// When [`Aggregator::close`] has something to do; `None` if there is no window.
    pub fn deadline(&self) -> Option<Instant> {
        self.windows.values().map(|window| window.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::line::tests::record;

    /// Counts printed, by target.
    #[derive(Default)]
    struct Printed(Vec<(String, u64)>);

    impl Printed {
        fn take(&mut self) -> Vec<(String, u64)> {
            std::mem::take(&mut self.0)
        }

        fn emit(&mut self) -> impl FnMut(&Record, u64) {
            |record, count| {
                let target = record.target.clone().unwrap_or_default();
                self.0.push((target, count));
            }
        }
    }

    fn line(target: &str, count: u64) -> (String, u64) {
        (target.to_owned(), count)
    }

    #[test]
    fn the_first_is_printed_at_once_and_repeats_when_the_window_closes() {
        let (mut aggregator, mut printed) = (Aggregator::default(), Printed::default());
        let start = Instant::now();
        for _ in 0..5 {
            aggregator.offer(start, record("/a"), printed.emit());
        }
        aggregator.offer(start, record("/b"), printed.emit());
        assert_eq!(printed.take(), [line("/a", 1), line("/b", 1)]);
        aggregator.close(start + WINDOW / 2, printed.emit());
        assert_eq!(printed.take(), []);
        aggregator.close(start + WINDOW, printed.emit());
        assert_eq!(printed.take(), [line("/a", 4)]);
    }

    #[test]
    fn a_long_storm_is_one_line_per_window() {
        let (mut aggregator, mut printed) = (Aggregator::default(), Printed::default());
        let start = Instant::now();
        for second in 0..3 {
            let now = start + WINDOW * second;
            aggregator.close(now, printed.emit());
            for _ in 0..10 {
                aggregator.offer(now, record("/a"), printed.emit());
            }
        }
        aggregator.flush(printed.emit());
        let lines = printed.take();
        assert_eq!(
            lines,
            [line("/a", 1), line("/a", 9), line("/a", 10), line("/a", 10)]
        );
    }

    #[test]
    fn a_quiet_second_ends_the_window() {
        let (mut aggregator, mut printed) = (Aggregator::default(), Printed::default());
        let start = Instant::now();
        aggregator.offer(start, record("/a"), printed.emit());
        assert_eq!(aggregator.deadline(), Some(start + WINDOW));
        aggregator.close(start + WINDOW, printed.emit());
        assert_eq!(aggregator.deadline(), None);
        aggregator.offer(start + WINDOW * 2, record("/a"), printed.emit());
        assert_eq!(printed.take(), [line("/a", 1), line("/a", 1)]);
    }

    #[test]
    fn another_rule_or_executable_is_another_line() {
        let (mut aggregator, mut printed) = (Aggregator::default(), Printed::default());
        let now = Instant::now();
        aggregator.offer(now, record("/a"), printed.emit());
        let rule = Record {
            key: (1, 1, Some(1)),
            ..record("/a")
        };
        aggregator.offer(now, rule, printed.emit());
        let executable = Record {
            executable: None,
            ..record("/a")
        };
        aggregator.offer(now, executable, printed.emit());
        assert_eq!(printed.take().len(), 3);
    }

    #[test]
    fn ever_new_targets_neither_grow_nor_get_lost() {
        let (mut aggregator, mut printed) = (Aggregator::default(), Printed::default());
        let now = Instant::now();
        let mut offered = 0;
        for i in 0..3 * WINDOWS {
            for _ in 0..=i % 2 {
                aggregator.offer(now, record(&format!("/{i}")), printed.emit());
                offered += 1;
            }
        }
        assert!(aggregator.windows.len() <= WINDOWS);
        aggregator.flush(printed.emit());
        assert_eq!(
            printed.take().iter().map(|(_, count)| count).sum::<u64>(),
            offered
        );
    }
}
