//! Statuses on their way to the API server.
//!
//! One is written when it differs from what the API server has, and at most once a second
//! for a pod.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bartizan_crds::PodEnforcementStatus;

use super::keys::PodKey;

/// Between two writes for one pod.
const PACE: Duration = Duration::from_secs(1);
/// The longest wait of a status that the API server refuses.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// The longest wait for an API server that doesn't answer: once it is back, statuses are
/// right again that soon.
const MAX_SILENCE: Duration = Duration::from_secs(8);
/// Writes at a time.
const WRITES: usize = 4;

#[derive(Debug, Default)]
struct Entry {
    /// What the API server has.
    known: PodEnforcementStatus,
    version: u64,
    /// Whether the API server is known to have the object.
    exists: bool,
    wanted: Option<PodEnforcementStatus>,
    in_flight: bool,
    next: Option<Instant>,
    wait: Duration,
}

impl Entry {
    fn differs(&self) -> bool {
        let wanted = self.wanted.as_ref();
        self.exists && wanted.is_some_and(|wanted| *wanted != self.known)
    }
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server has it.
    Taken,
    /// The API server doesn't want it.
    Refused,
    /// Nobody knows: there was no answer.
    Unanswered,
}

/// An API server that doesn't answer.
#[derive(Debug)]
struct Silence {
    /// When it is tried again.
    until: Instant,
    wait: Duration,
}

/// The statuses of this node's pods on their way to the API server. While it doesn't answer,
/// one of them at a time is tried, however many there are.
#[derive(Debug, Default)]
pub struct Statuses {
    entries: BTreeMap<PodKey, Entry>,
    silence: Option<Silence>,
}

impl Statuses {
    /// Takes what the API server has, as of a resource version.
    pub fn known(&mut self, key: &PodKey, version: u64, status: Option<PodEnforcementStatus>) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.exists = true;
        if version >= entry.version {
            entry.version = version;
            entry.known = status.unwrap_or_default();
        }
    }

    /// Takes what should be said.
    pub fn want(&mut self, key: &PodKey, status: PodEnforcementStatus) {
        self.entries.entry(key.clone()).or_default().wanted = Some(status);
    }

    /// The pod's `PodEnforcement` is gone.
    pub fn forget(&mut self, key: &PodKey) {
        self.entries.remove(key);
    }

    /// What to write now.
    pub fn due(&mut self, now: Instant) -> Vec<(PodKey, PodEnforcementStatus)> {
        if self.silence.as_ref().is_some_and(|it| now < it.until) {
            return Vec::new();
        }
        let free = self.free();
        let ready = self.entries.iter_mut().filter(|(_, entry)| {
            entry.differs() && !entry.in_flight && entry.next.is_none_or(|next| next <= now)
        });
        let start = |(key, entry): (&PodKey, &mut Entry)| {
            entry.in_flight = true;
            Some((key.clone(), entry.wanted.clone()?))
        };
        ready.take(free).filter_map(start).collect()
    }

    /// Takes what came of a write.
    pub fn written(&mut self, key: &PodKey, outcome: Outcome, now: Instant) {
        self.silence = match (outcome, &self.silence) {
            (Outcome::Taken | Outcome::Refused, _) => None,
            (Outcome::Unanswered, before) => {
                let wait = match before {
                    // It was on its way when the first one failed.
                    Some(before) if now < before.until => before.wait,
                    Some(before) => (before.wait * 2).min(MAX_SILENCE),
                    None => PACE,
                };
                let until = now + wait;
                Some(Silence { until, wait })
            }
        };
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.in_flight = false;
        entry.wait = match outcome {
            Outcome::Taken | Outcome::Unanswered => PACE,
            Outcome::Refused => (entry.wait * 2).clamp(PACE, MAX_WAIT),
        };
        entry.next = Some(now + entry.wait);
    }

    /// How many writes may start.
    fn free(&self) -> usize {
        let most = if self.silence.is_some() { 1 } else { WRITES };
        let flying = self.entries.values().filter(|entry| entry.in_flight);
        most.saturating_sub(flying.count())
    }

    /// When the next write is due, unless one has to end before.
    pub fn deadline(&self) -> Option<Instant> {
        if self.free() == 0 {
            return None;
        }
        let waiting = |entry: &&Entry| entry.differs() && !entry.in_flight;
        let mut all = self.entries.values().filter(waiting).peekable();
        match &self.silence {
            Some(silence) => all.peek().map(|_| silence.until),
            None => all.filter_map(|entry| entry.next).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PodKey {
        PodKey {
            namespace: "shop".into(),
            name: "web".into(),
        }
    }

    fn status(armed: &str) -> PodEnforcementStatus {
        PodEnforcementStatus {
            armed: Some(armed.into()),
            containers: Vec::new(),
        }
    }

    #[test]
    fn a_pods_status_is_written_once_a_second_and_then_the_latest() {
        let (mut statuses, key, now) = (Statuses::default(), key(), Instant::now());
        statuses.want(&key, status("0/1"));
        assert!(statuses.due(now).is_empty(), "there is nothing to write to");
        statuses.known(&key, 1, None);
        assert_eq!(statuses.due(now), [(key.clone(), status("0/1"))]);
        statuses.want(&key, status("1/1"));
        assert!(statuses.due(now).is_empty(), "one at a time");
        statuses.written(&key, Outcome::Taken, now);
        statuses.known(&key, 2, Some(status("0/1")));
        assert!(statuses.due(now).is_empty(), "too soon");
        assert_eq!(statuses.deadline(), Some(now + PACE));
        assert_eq!(
            statuses.due(now + PACE),
            [(key.clone(), status("1/1"))],
            "only the latest"
        );
    }

    #[test]
    fn what_the_api_server_has_is_not_written() {
        let (mut statuses, key, now) = (Statuses::default(), key(), Instant::now());
        statuses.known(&key, 5, Some(status("1/1")));
        statuses.want(&key, status("1/1"));
        assert!(statuses.due(now).is_empty());
        assert_eq!(statuses.deadline(), None);
        // Somebody else's write is put right; an old event says nothing new.
        statuses.known(&key, 4, None);
        assert!(statuses.due(now).is_empty());
        statuses.known(&key, 6, Some(status("9/9")));
        assert_eq!(statuses.due(now).len(), 1);
    }

    #[test]
    fn a_write_that_is_refused_is_tried_again_later_and_later() {
        let (mut statuses, key, mut now) = (Statuses::default(), key(), Instant::now());
        statuses.known(&key, 1, None);
        statuses.want(&key, status("1/1"));
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(statuses.due(now).len(), 1);
            statuses.written(&key, Outcome::Refused, now);
            let next = statuses.deadline().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn an_api_server_that_was_away_gets_all_statuses_soon_after() {
        let (mut statuses, mut now) = (Statuses::default(), Instant::now());
        let keys: Vec<_> = (0..10)
            .map(|number| PodKey {
                name: format!("web-{number}"),
                ..key()
            })
            .collect();
        for key in &keys {
            statuses.known(key, 1, None);
            statuses.want(key, status("1/1"));
        }
        for (key, _) in statuses.due(now) {
            statuses.written(&key, Outcome::Unanswered, now);
        }
        let start = now;
        while now - start < Duration::from_mins(10) {
            let next = statuses.deadline().unwrap();
            assert!(next > now && next - now <= MAX_SILENCE);
            now = next;
            let tried = statuses.due(now);
            assert_eq!(tried.len(), 1, "one shows as much as all of them");
            assert!(statuses.due(now).is_empty(), "one at a time");
            assert_eq!(statuses.deadline(), None, "nothing to do before it ends");
            statuses.written(&tried[0].0, Outcome::Unanswered, now);
        }
        now = statuses.deadline().unwrap();
        let mut written = 0;
        // One by one, and then as fast as it answers.
        let mut flying = statuses.due(now);
        while let Some((key, new)) = flying.pop() {
            statuses.known(&key, 2, Some(new));
            statuses.written(&key, Outcome::Taken, now);
            written += 1;
            flying.extend(statuses.due(now + PACE));
        }
        assert_eq!(written, keys.len());
        assert_eq!(statuses.deadline(), None);
    }

    #[test]
    fn a_busy_node_writes_a_few_at_a_time() {
        let (mut statuses, now) = (Statuses::default(), Instant::now());
        for number in 0..10 {
            let name = format!("web-{number}");
            let key = PodKey { name, ..key() };
            statuses.known(&key, 1, None);
            statuses.want(&key, status("1/1"));
        }
        let first = statuses.due(now);
        assert_eq!(first.len(), WRITES);
        assert!(statuses.due(now).is_empty());
        statuses.known(&first[0].0, 1, Some(status("1/1")));
        statuses.written(&first[0].0, Outcome::Taken, now);
        assert_eq!(statuses.due(now).len(), 1);
        statuses.want(&first[0].0, status("0/1"));
        let due = statuses.deadline();
        assert_eq!(due, None, "nothing to do before one of the four ends");
    }
}
