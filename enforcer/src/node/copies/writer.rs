//! The thread that writes the copy, and what it could not write yet.
//!
//! A change that failed is tried again until it is done or out of date: without that, what
//! changed while the disk was full would be missing after the next restart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// Between two attempts.
const RETRY: Duration = Duration::from_secs(10);
/// What may wait for the next attempt, in bytes; a disk may stay full for days.
const WAITING: usize = 16 << 20;

/// What the thread is to do.
pub(super) enum Job {
    /// A file's content from now on; `None`: it is removed.
    Change(PathBuf, Option<Vec<u8>>),
    /// To say that everything before is done, or has failed once.
    Flush(SyncSender<()>),
}

/// The thread's state.
pub(super) struct Writer {
    errors: Arc<AtomicU64>,
    failed: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// When to try `failed` again.
    due: Instant,
}

impl Writer {
    /// Counts failed attempts in `errors`.
    pub(super) fn new(errors: Arc<AtomicU64>) -> Self {
        Self {
            errors,
            failed: BTreeMap::new(),
            due: Instant::now(),
        }
    }

    /// Works until nobody can send any more.
    pub(super) fn run(mut self, todo: &Receiver<Job>) {
        loop {
            let job = if self.failed.is_empty() {
                todo.recv().map_err(RecvTimeoutError::from)
            } else {
                todo.recv_timeout(self.due.saturating_duration_since(Instant::now()))
            };
            match job {
                Ok(Job::Change(path, content)) => self.change(path, content),
                Ok(Job::Flush(done)) => {
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.failed.is_empty() && Instant::now() >= self.due {
                self.try_again();
            }
        }
    }

    fn change(&mut self, path: PathBuf, content: Option<Vec<u8>>) {
        // What was wanted of the file before is out of date.
        self.failed.remove(&path);
        if let Err(error) = change(&path, content.as_deref()) {
            tracing::error!(path = %path.display(), %error, "the copy is out of date; retrying");
            self.has_failed(path, content);
        }
    }

    fn try_again(&mut self) {
        for (path, content) in std::mem::take(&mut self.failed) {
            if change(&path, content.as_deref()).is_err() {
                self.has_failed(path, content);
            }
        }
        if self.failed.is_empty() {
            tracing::info!("the copy is right again");
        }
    }

    fn has_failed(&mut self, path: PathBuf, content: Option<Vec<u8>>) {
        self.errors.fetch_add(1, Relaxed);
        self.due = Instant::now() + RETRY;
        let length = |content: &Option<Vec<u8>>| content.as_ref().map_or(0, Vec::len);
        let waiting: usize = self.failed.values().map(length).sum();
        if waiting + length(&content) <= WAITING {
            self.failed.insert(path, content);
        } else {
            tracing::error!(path = %path.display(), "too much waits; this stays out of date");
        }
    }
}

/// Makes a file have a content, or go.
fn change(path: &Path, content: Option<&[u8]>) -> io::Result<()> {
    match content {
        Some(bytes) => save(path, bytes),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        },
    }
}

/// Replaces a file as one.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let result = written.and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // What is left of it takes up room.
        let _ = fs::remove_file(&beside);
    }
    result?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer, and a file in a directory that isn't there yet.
    fn writer() -> (Writer, tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("later/file");
        (Writer::new(Arc::default()), dir, file)
    }

    fn make_room(file: &Path) {
        fs::create_dir(file.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_could_not_be_written_is_tried_until_it_is() {
        let (mut writer, _dir, file) = writer();
        writer.change(file.clone(), Some(b"1".into()));
        writer.try_again();
        assert_eq!(writer.errors.load(Relaxed), 2);
        make_room(&file);
        writer.try_again();
        assert_eq!(fs::read(&file).unwrap(), b"1");
        assert!(writer.failed.is_empty());
        assert_eq!(writer.errors.load(Relaxed), 2);
    }

    #[test]
    fn what_is_out_of_date_is_not_tried_again() {
        let (mut writer, _dir, file) = writer();
        writer.change(file.clone(), Some(b"1".into()));
        make_room(&file);
        writer.change(file.clone(), Some(b"2".into()));
        writer.try_again();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
        writer.change(file.clone(), Some(b"3".into()));
        writer.change(file.clone(), None);
        make_room(&file);
        writer.try_again();
        assert!(!file.exists());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut writer, _dir, file) = writer();
        writer.change(file.clone(), Some(vec![0; WAITING]));
        writer.change(file.with_file_name("other"), Some(b"1".into()));
        assert_eq!(writer.failed.keys().collect::<Vec<_>>(), [&file]);
        writer.change(file, Some(b"1".into()));
        assert_eq!(writer.failed.len(), 1);
        assert_eq!(writer.errors.load(Relaxed), 3);
    }
}
