//! Policy files that people edit while they are enforced.
//!
//! What is watched are the directories the files are in: editors write another file and
//! rename it, Kubernetes swaps a link (`..data`). Events only say that it is time to look;
//! whether anything changed is decided by the content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bartizan_policy::load::{Diagnostics, Source};
use rustix::fs::inotify::{ReadFlags, WatchFlags};

use crate::agent::{Agent, chain};
use crate::policies::{Policies, fingerprint};

/// How long to wait for the rest of an edit.
pub(super) const DEBOUNCE: Duration = Duration::from_millis(10);

/// Not `MODIFY`: a file that is being written is none yet.
const FLAGS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Whether an event can mean an edit. A new regular file is empty until it is closed;
/// only a new link is complete at once.
pub(super) fn matters(path: &Path, event: ReadFlags, name: Option<&Path>) -> bool {
    let created = event.contains(ReadFlags::CREATE);
    !created || name.is_none_or(|name| path.join(name).is_symlink())
}

/// The files given with `-f`.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Of the text in force.
    enforced: u64,
    /// Of the text, or of the errors, refused last.
    refused: Option<u64>,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, policies: &Policies) -> Self {
        Self {
            paths,
            enforced: policies.fingerprint(),
            refused: None,
        }
    }

    /// Directories to watch.
    pub(super) fn watches(&self) -> BTreeMap<PathBuf, WatchFlags> {
        let mut watches = BTreeMap::new();
        let mut watch = |path: &Path| {
            if path.is_dir() {
                watches.insert(path.to_owned(), FLAGS);
            } else {
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                watches.insert(parent.unwrap_or(Path::new(".")).to_owned(), FLAGS);
            }
        };
        for path in &self.paths {
            watch(path);
            // A link's target is edited where it is.
            if let Ok(target) = path.canonicalize() {
                watch(&target);
            }
        }
        watches
    }

    /// Reads the files; applies them if they changed and are valid, and says so. What was
    /// enforced stays if they aren't. `noticed`: when there was reason to look.
    pub(super) fn check(&mut self, agent: &mut Agent, noticed: Instant) {
        let sources = Source::read_all(&self.paths);
        let found = fingerprint(&sources);
        if found == self.enforced {
            if self.refused.take().is_some() {
                agent.policies.errors.clear();
                tracing::info!("the policy files are again what is enforced");
            }
            return;
        }
        if self.refused == Some(found) {
            return;
        }
        let policies = match Policies::check(&sources) {
            Ok(policies) => policies,
            Err(diagnostics) => {
                self.refuse(agent, found, messages(&diagnostics));
                return;
            }
        };
        match agent.engine.apply(&policies, Instant::now()) {
            Ok(applied) => {
                agent.engine.maps().release_memory();
                self.enforced = found;
                self.refused = None;
                agent.policies.errors.clear();
                agent.policies.policies = policies.len();
                agent.policies.applied += 1;
                policies.warn_of_holds();
                tracing::info!(
                    policies = policies.len(),
                    workloads = applied.changed,
                    tables = applied.loaded,
                    ms = noticed.elapsed().as_millis(),
                    "edited policies are enforced"
                );
            }
            Err(error) => self.refuse(agent, found, vec![chain(&error)]),
        }
    }

    fn refuse(&mut self, agent: &mut Agent, found: u64, messages: Vec<String>) {
        if self.refused.replace(found) == Some(found) {
            return;
        }
        tracing::error!(
            errors = messages.len(),
            "the edited policies are refused; what was enforced before still is"
        );
        for message in &messages {
            tracing::error!("{message}");
        }
        agent.policies.errors = messages;
        agent.policies.refused += 1;
    }
}

fn messages(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics.0.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_watched_by_its_directory_and_where_its_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("p.yaml"), "").unwrap();
        let link = dir.path().join("p.yaml");
        std::os::unix::fs::symlink(real.join("p.yaml"), &link).unwrap();
        let files = Files {
            paths: vec![link, "q.yaml".into()],
            enforced: 0,
            refused: None,
        };
        let watches = files.watches();
        let expected = [dir.path(), &real.canonicalize().unwrap(), Path::new(".")];
        assert_eq!(
            watches.keys().map(PathBuf::as_path).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn a_new_regular_file_is_not_an_edit_but_a_new_link_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let created = |name: &str| matters(dir.path(), ReadFlags::CREATE, Some(Path::new(name)));
        assert!(!created("file"));
        assert!(created("link"));
        assert!(matters(
            dir.path(),
            ReadFlags::CLOSE_WRITE,
            Some(Path::new("file"))
        ));
        assert!(matters(dir.path(), ReadFlags::DELETE_SELF, None));
    }
}
