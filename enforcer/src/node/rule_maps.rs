//! The rule maps that pods of this node name: fetched once, verified, shared.
//!
//! A rule map's name is the digest of its content, so what arrives under a name is either
//! that or refused, and what is here never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bartizan_crds::RuleMapSpec;
use bartizan_policy::published;
use bartizan_policy::rule_map::RuleMap;

/// The first wait after a failure; doubled at each further one.
const RETRY: Duration = Duration::from_millis(500);
/// The longest wait.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Why a rule map is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleMapError {
    /// The API server doesn't know it.
    #[error("there is no RuleMap {0}")]
    Missing(String),
    /// It could not be asked.
    #[error("RuleMap {0} could not be read: {1}")]
    Unreadable(String, String),
    /// Its content is not what its name says.
    #[error("RuleMap {0} has content of the digest {1}: it was edited, delete it")]
    Digest(String, String),
    /// Its content means nothing to this version.
    #[error("RuleMap {0} can't be used: {1}")]
    Invalid(String, String),
}

impl RuleMapError {
    /// The kind, as metrics and statuses name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "NoSuchRuleMap",
            Self::Unreadable(..) => "RuleMapUnreadable",
            Self::Digest(..) => "RuleMapForged",
            Self::Invalid(..) => "RuleMapInvalid",
        }
    }
}

/// Checks a rule map against its name and reads it.
pub fn verify(name: &str, spec: &RuleMapSpec) -> Result<RuleMap, RuleMapError> {
    let digest = published::name(spec);
    if digest != name {
        return Err(RuleMapError::Digest(name.to_owned(), digest));
    }
    published::parse(spec)
        .map_err(|problem| RuleMapError::Invalid(name.to_owned(), problem.to_string()))
}

#[derive(Debug)]
enum Entry {
    /// To be fetched, or being fetched.
    Wanted {
        asked: bool,
    },
    Ready(Rc<RuleMap>),
    Failed {
        error: RuleMapError,
        retry: Instant,
        wait: Duration,
        asked: bool,
    },
}

/// Rule maps by name.
#[derive(Debug, Default)]
pub struct RuleMaps(BTreeMap<String, Entry>);

impl RuleMaps {
    /// The rule map of that name; if it isn't there it is wanted from now on.
    pub fn get(&mut self, name: &str) -> Option<Rc<RuleMap>> {
        match self.0.get(name) {
            Some(Entry::Ready(map)) => return Some(Rc::clone(map)),
            Some(_) => {}
            None => {
                self.0
                    .insert(name.to_owned(), Entry::Wanted { asked: false });
            }
        }
        None
    }

    /// Why it isn't there, if it was tried.
    pub fn error(&self, name: &str) -> Option<&RuleMapError> {
        match self.0.get(name) {
            Some(Entry::Failed { error, .. }) => Some(error),
            _ => None,
        }
    }

    /// Takes what came of fetching one; whether it is there now.
    pub fn put(&mut self, name: &str, result: Result<RuleMap, RuleMapError>, now: Instant) -> bool {
        let Some(entry) = self.0.get_mut(name) else {
            // Nobody wants it any more.
            return false;
        };
        match (result, &*entry) {
            (_, Entry::Ready(_)) => return true,
            (Ok(map), _) => {
                *entry = Entry::Ready(Rc::new(map));
                return true;
            }
            (Err(error), before) => {
                let wait = match before {
                    Entry::Failed { wait, .. } => (*wait * 2).min(MAX_RETRY),
                    _ => RETRY,
                };
                tracing::warn!(%error, "a rule map is not there");
                *entry = Entry::Failed {
                    error,
                    retry: now + wait,
                    wait,
                    asked: false,
                };
            }
        }
        false
    }

    /// Names to fetch now; each is given once until its result is put.
    pub fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (name, entry) in &mut self.0 {
            let ask = match entry {
                Entry::Wanted { asked } if !*asked => asked,
                Entry::Failed { retry, asked, .. } if !*asked && *retry <= now => asked,
                _ => continue,
            };
            *ask = true;
            due.push(name.clone());
        }
        due
    }

    /// When the next one is due.
    pub fn deadline(&self) -> Option<Instant> {
        let retries = self.0.values().filter_map(|entry| match entry {
            Entry::Failed {
                retry,
                asked: false,
                ..
            } => Some(*retry),
            _ => None,
        });
        retries.min()
    }

    /// Drops those that are not among `used`.
    pub fn keep(&mut self, used: &BTreeSet<String>) {
        self.0.retain(|name, _| used.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_name_does_not_promise_is_refused() {
        let spec = RuleMapSpec::default();
        let name = published::name(&spec);
        assert_eq!(verify(&name, &spec).unwrap(), RuleMap::default());
        let error = verify("0123", &spec).unwrap_err();
        assert_eq!(error.reason(), "RuleMapForged");
        assert!(error.to_string().contains(&name), "{error}");
    }

    #[test]
    fn a_missing_one_is_asked_for_again_and_less_and_less_often() {
        let mut maps = RuleMaps::default();
        let mut now = Instant::now();
        assert!(maps.get("a").is_none());
        assert_eq!(maps.due(now), ["a"]);
        assert!(maps.due(now).is_empty(), "asked already");
        let mut waits = Vec::new();
        for _ in 0..9 {
            maps.put("a", Err(RuleMapError::Missing("a".into())), now);
            let next = maps.deadline().unwrap();
            waits.push((next - now).as_millis());
            assert!(maps.due(now).is_empty());
            now = next;
            assert_eq!(maps.due(now), ["a"]);
        }
        assert_eq!(waits[..3], [500, 1_000, 2_000]);
        assert_eq!(waits[8], MAX_RETRY.as_millis());
        assert!(maps.put("a", Ok(RuleMap::default()), now));
        assert!(maps.get("a").is_some());
        assert_eq!(maps.deadline(), None);
    }

    #[test]
    fn what_nobody_uses_is_dropped_even_while_it_is_on_its_way() {
        let mut maps = RuleMaps::default();
        let now = Instant::now();
        maps.get("a");
        maps.due(now);
        maps.keep(&BTreeSet::new());
        assert!(!maps.put("a", Ok(RuleMap::default()), now));
        assert!(maps.due(now).is_empty());
    }
}
