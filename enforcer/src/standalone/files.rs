//! Policy files that people edit while they are enforced.
//!
//! What is watched are the directories the files are in: editors write another file and
//! rename it, Kubernetes swaps a link (`..data`). Events only say that it is time to look;
//! whether anything changed is decided by the content.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use bartizan_policy::load::{Diagnostics, Source};
use rustix::fs::inotify::{ReadFlags, WatchFlags};

use crate::agent::{Agent, chain};
use crate::policies::{Policies, fingerprint};

/// How long to wait for the rest of an edit.
pub(super) const DEBOUNCE: Duration = Duration::from_millis(10);

/// How long after the last write a file that wasn't closed is still being written. Only
/// where its end went unnoticed, as when the queue of events overflows, this time passes.
const WRITING: Duration = Duration::from_secs(30);

const FLAGS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Refuses what gives its content only once.
pub(super) fn can_be_read_again(path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") {
        bail!("standard input can't be watched: give policy files");
    }
    // What can't be looked at is said when it is read.
    let is_other = |it: Metadata| !it.is_file() && !it.is_dir();
    if path.metadata().is_ok_and(is_other) {
        bail!(
            "{} is no regular file and can't be watched: give policy files",
            path.display()
        );
    }
    Ok(())
}

/// The files given with `-f`.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Of the text in force.
    enforced: u64,
    /// Of the text, or of the errors, refused last.
    refused: Option<u64>,
    /// Files that are being written, and when that was last seen.
    unfinished: BTreeMap<PathBuf, Instant>,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, policies: &Policies) -> Self {
        Self {
            paths,
            enforced: policies.fingerprint(),
            refused: None,
            unfinished: BTreeMap::new(),
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

    /// Whether an event can mean an edit. A file that is being written is none yet: its
    /// beginning may be a policy, too. A new regular file is empty until it is closed; only
    /// a new link is complete at once.
    pub(super) fn notice(
        &mut self,
        directory: &Path,
        event: ReadFlags,
        name: Option<&Path>,
    ) -> bool {
        let Some(file) = name.map(|name| directory.join(name)) else {
            return true;
        };
        if event.contains(ReadFlags::MODIFY) {
            if self.is_read(&file) {
                self.unfinished.insert(file, Instant::now());
            }
            return false;
        }
        if event.contains(ReadFlags::CREATE) {
            return file.is_symlink();
        }
        self.unfinished.remove(&file);
        true
    }

    /// Whether a file in a watched directory may be one of those with policies.
    fn is_read(&self, file: &Path) -> bool {
        let is_named = |path: &PathBuf| {
            let target = path.canonicalize();
            let same = |path: &Path| path.file_name() == file.file_name();
            same(path) || target.is_ok_and(|target| same(&target))
        };
        file.extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
            || self.paths.iter().any(is_named)
    }

    /// Whether a file is being written.
    fn is_unfinished(&mut self) -> bool {
        self.unfinished.retain(|_, seen| seen.elapsed() < WRITING);
        !self.unfinished.is_empty()
    }

    /// Reads the files; applies them if they changed and are valid, and says so. What was
    /// enforced stays if they aren't. `noticed`: when there was reason to look.
    pub(super) fn check(&mut self, agent: &mut Agent, noticed: Instant) {
        if self.is_unfinished() {
            return;
        }
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
                policies.warn_of_gaps(agent.engine.maps().gaps());
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
        let files = files(vec![link, "q.yaml".into()]);
        let watches = files.watches();
        let expected = [dir.path(), &real.canonicalize().unwrap(), Path::new(".")];
        assert_eq!(
            watches.keys().map(PathBuf::as_path).collect::<Vec<_>>(),
            expected
        );
    }

    fn files(paths: Vec<PathBuf>) -> Files {
        Files::new(paths, &Policies::default())
    }

    #[test]
    fn a_new_regular_file_is_not_an_edit_but_a_new_link_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let mut files = files(vec![dir.path().into()]);
        let mut created =
            |name: &str| files.notice(dir.path(), ReadFlags::CREATE, Some(Path::new(name)));
        assert!(!created("file"));
        assert!(created("link"));
        let file = Some(Path::new("file"));
        assert!(files.notice(dir.path(), ReadFlags::CLOSE_WRITE, file));
        assert!(files.notice(dir.path(), ReadFlags::DELETE_SELF, None));
    }

    #[test]
    fn a_file_is_unfinished_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("policies");
        std::fs::write(dir.path().join("real"), "").unwrap();
        std::os::unix::fs::symlink("real", &given).unwrap();
        let mut files = files(vec![given]);
        let mut notice = |event, name: &str| {
            (
                files.notice(dir.path(), event, Some(Path::new(name))),
                files.is_unfinished(),
            )
        };
        assert_eq!(notice(ReadFlags::MODIFY, "a.log"), (false, false));
        for name in ["policies", "real", "more.yaml"] {
            assert_eq!(notice(ReadFlags::MODIFY, name), (false, true));
            assert_eq!(notice(ReadFlags::CLOSE_WRITE, "other"), (true, true));
            assert_eq!(notice(ReadFlags::CLOSE_WRITE, name), (true, false));
        }
        assert_eq!(notice(ReadFlags::MODIFY, "real"), (false, true));
        assert_eq!(notice(ReadFlags::DELETE, "real"), (true, false));
    }

    #[test]
    fn what_gives_its_content_once_is_refused() {
        let refused = |path: &str| can_be_read_again(Path::new(path)).map_err(|it| it.to_string());
        assert_eq!(refused("/"), Ok(()));
        assert_eq!(refused("/nonexistent"), Ok(()));
        assert!(refused("-").unwrap_err().starts_with("standard input"));
        assert!(
            refused("/dev/null")
                .unwrap_err()
                .starts_with("/dev/null is no regular file")
        );
    }
}
