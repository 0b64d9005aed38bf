//! inotify on a changing set of paths.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::sys::Readable;

/// Paths being watched.
pub(crate) struct Watch {
    inotify: OwnedFd,
    readable: Readable,
    paths: BTreeMap<PathBuf, i32>,
}

impl Watch {
    /// Watches nothing yet. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            readable: Readable::new(inotify.as_fd())?,
            inotify,
            paths: BTreeMap::new(),
        })
    }

    /// Watches exactly these paths from now on; those that don't exist are left out. Whether
    /// any of them was not watched before.
    pub(crate) fn set(&mut self, wanted: &BTreeMap<PathBuf, WatchFlags>) -> io::Result<bool> {
        let stale: Vec<PathBuf> = self
            .paths
            .keys()
            .filter(|path| !wanted.contains_key(*path))
            .cloned()
            .collect();
        for path in stale {
            if let Some(number) = self.paths.remove(&path)
                // Two paths may be the same directory.
                && !self.paths.values().any(|other| *other == number)
            {
                // The watch goes by itself with its file.
                let _ = inotify::remove_watch(&self.inotify, number);
            }
        }
        let mut is_any_new = false;
        for (path, flags) in wanted {
            // Again for known ones: the path may be another file by now.
            match inotify::add_watch(&self.inotify, path, *flags) {
                Ok(number) => {
                    is_any_new |= self.paths.insert(path.clone(), number) != Some(number);
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {
                    self.paths.remove(path);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(is_any_new)
    }

    /// Waits for events and takes them until one of them is of interest. `matters` gets
    /// the watched path, the event and the name inside the directory.
    pub(crate) async fn changed(
        &self,
        mut matters: impl FnMut(&Path, ReadFlags, Option<&Path>) -> bool,
    ) -> io::Result<()> {
        loop {
            self.readable.ready().await?;
            if self.take(&mut matters)? {
                return Ok(());
            }
        }
    }

    /// Takes all events that are there; whether any of them is of interest.
    fn take(
        &self,
        mut matters: impl FnMut(&Path, ReadFlags, Option<&Path>) -> bool,
    ) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut any = false;
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(any),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let name = event.file_name().map(|name| {
                use std::os::unix::ffi::OsStrExt;
                Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
            });
            let mut paths = self
                .paths
                .iter()
                .filter(|(_, number)| **number == event.wd())
                .peekable();
            // No path: the queue overflowed, or the watch went with its file.
            any |= paths.peek().is_none();
            for (path, _) in paths {
                any |= matters(path, event.events(), name);
            }
        }
    }
}
