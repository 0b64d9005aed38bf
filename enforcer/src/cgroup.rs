//! Cgroups of the unified hierarchy (v2).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bartizan_abi::limits::MAX_CGROUP_LEVEL;

use crate::mounts::mountinfo;

/// Levels that a workload's cgroup may be below what is mounted, which may itself be
/// below the hierarchy's root.
const MAX_LEVEL: usize = MAX_CGROUP_LEVEL as usize / 2;

/// The id by which the kernel knows a cgroup: its directory's inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupId(pub u64);

/// A cgroup that can't be found or used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup2 file system.
    #[error(
        "no cgroup v2 hierarchy is mounted: boot with systemd.unified_cgroup_hierarchy=1, or \
         mount one with `mount -t cgroup2 none /sys/fs/cgroup`"
    )]
    NoHierarchy,
    /// The path isn't there.
    #[error("there is no cgroup {0}: give a directory below {1}")]
    Missing(PathBuf, PathBuf),
    /// It is a directory of another file system.
    #[error("{0} is not in the cgroup v2 hierarchy at {1}")]
    Elsewhere(PathBuf, PathBuf),
    /// Labels are not looked for that far down.
    #[error("the cgroup {0} is more than {MAX_LEVEL} levels deep")]
    TooDeep(PathBuf),
    /// An operation failed.
    #[error("cannot {action} cgroup {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    root: PathBuf,
}

impl Hierarchy {
    /// Finds it among the caller's mounts; the one at `/sys/fs/cgroup` is preferred.
    pub fn find() -> Result<Self, CgroupError> {
        let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts = mountinfo::parse(&text).unwrap_or_default();
        let points: Vec<_> = mounts
            .iter()
            .filter(|mount| mount.kind == b"cgroup2")
            .map(|m| &m.point)
            .collect();
        let preferred = points.iter().find(|point| **point == b"/sys/fs/cgroup");
        let point = preferred
            .or(points.first())
            .ok_or(CgroupError::NoHierarchy)?;
        Ok(Self {
            root: path_of(point),
        })
    }

    /// One that is made up of directories.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a cgroup, by its path relative to the hierarchy or from `/`.
    pub fn path(&self, path: &Path) -> PathBuf {
        let relative = path
            .strip_prefix(&self.root)
            .or_else(|_| path.strip_prefix("/"));
        self.root.join(relative.unwrap_or(path))
    }

    /// An existing cgroup, by its path relative to the hierarchy or from `/`.
    pub fn open(&self, path: &Path) -> Result<Cgroup, CgroupError> {
        let full = self.path(path);
        if !full.is_dir() {
            return Err(CgroupError::Missing(path.to_owned(), self.root.clone()));
        }
        // A directory that another file system was mounted on has no such file.
        if !full.join("cgroup.procs").exists() {
            return Err(CgroupError::Elsewhere(full, self.root.clone()));
        }
        let below = full.strip_prefix(&self.root).unwrap_or(&full);
        if below.components().count() > MAX_LEVEL {
            return Err(CgroupError::TooDeep(full));
        }
        Cgroup::at(full)
    }

    /// Makes a cgroup below the caller's own, or below the root where it can't be.
    pub fn create(&self, name: &str) -> Result<Cgroup, CgroupError> {
        let own = fs::read_to_string("/proc/self/cgroup")
            .ok()
            .and_then(|text| {
                Some(
                    text.lines()
                        .find_map(|line| line.strip_prefix("0::"))?
                        .to_owned(),
                )
            })
            .map(|path| self.root.join(path.trim_start_matches('/')))
            .filter(|path| path.is_dir());
        let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
        let mut path = PathBuf::new();
        for parent in own.iter().chain([&self.root]) {
            path = parent.join(name);
            result = fs::create_dir(&path);
            if result.is_ok() {
                break;
            }
        }
        result.map_err(|source| CgroupError::Io {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Cgroup::at(path)
    }
}

/// One cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    id: CgroupId,
}

impl Cgroup {
    /// The cgroup whose directory that is.
    pub(crate) fn at(path: PathBuf) -> Result<Self, CgroupError> {
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Self {
                path,
                id: CgroupId(metadata.ino()),
            }),
            Err(source) => Err(CgroupError::Io {
                action: "read",
                path,
                source,
            }),
        }
    }

    /// The kernel's id of it.
    pub fn id(&self) -> CgroupId {
        self.id
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this very cgroup (not a later one of the same name) still exists.
    pub fn exists(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.id.0)
    }

    /// Opened for moving processes in, also from another mount namespace.
    pub fn procs(&self) -> Result<fs::File, CgroupError> {
        let path = self.path.join("cgroup.procs");
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|source| CgroupError::Io {
                action: "open",
                path,
                source,
            })
    }

    /// It and all cgroups below it, parents first. Cgroups that vanish meanwhile are
    /// left out.
    pub fn tree(&self) -> Vec<Cgroup> {
        let mut found = vec![self.clone()];
        let mut next = 0;
        while let Some(cgroup) = found.get(next) {
            next += 1;
            let children = cgroup.children();
            found.extend(children);
        }
        found
    }

    /// The cgroups right below it. Those that vanish meanwhile are left out.
    pub(crate) fn children(&self) -> Vec<Cgroup> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| Cgroup::at(entry.path()).ok())
            .collect()
    }

    /// The processes in it and below, ascending. Zero (processes of another pid
    /// namespace) is left out.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self
            .tree()
            .iter()
            .flat_map(|cgroup| cgroup.numbers("cgroup.procs"))
            .filter(|pid| *pid != 0)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// The threads and processes in it, without those in cgroups below. A process is there as
    /// long as one of its threads is, also if its first one has ended.
    pub(crate) fn tasks(&self) -> Vec<u32> {
        // Threaded cgroups have no list of processes.
        let files = ["cgroup.threads", "cgroup.procs"].into_iter();
        files.flat_map(|file| self.numbers(file)).collect()
    }

    /// What one of its files lists; nothing if it can't be read.
    fn numbers(&self, file: &str) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether any process is in it or below.
    pub fn is_populated(&self) -> bool {
        fs::read_to_string(self.events()).is_ok_and(|text| is_populated(&text))
    }

    /// The file that changes when [`Cgroup::is_populated`] does.
    pub fn events(&self) -> PathBuf {
        self.path.join("cgroup.events")
    }

    /// Kills everything in it and below.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let path = self.path.join("cgroup.kill");
        match fs::write(&path, "1") {
            // Before 5.14 there is no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for pid in self.processes() {
                    if let Some(pid) = i32::try_from(pid)
                        .ok()
                        .and_then(rustix::process::Pid::from_raw)
                    {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
                Ok(())
            }
            result => result.map_err(|source| CgroupError::Io {
                action: "kill",
                path,
                source,
            }),
        }
    }

    /// Removes it and what is below; fails while a process is in there.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for cgroup in self.tree().iter().rev() {
            match fs::remove_dir(&cgroup.path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let path = cgroup.path.clone();
                    return Err(CgroupError::Io {
                        action: "remove",
                        path,
                        source,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a hierarchy with `web` and `web/child` in it.
    fn fake() -> (tempfile::TempDir, Hierarchy) {
        let dir = tempfile::tempdir().unwrap();
        for path in ["web", "web/child"] {
            fs::create_dir(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("web/cgroup.procs"), "20\n").unwrap();
        fs::write(dir.path().join("web/child/cgroup.procs"), "0\n7\n20\n").unwrap();
        let root = dir.path().to_owned();
        (dir, Hierarchy { root })
    }

    #[test]
    fn a_cgroup_is_found_by_relative_and_absolute_path() {
        let (dir, hierarchy) = fake();
        let relative = hierarchy.open(Path::new("web")).unwrap();
        let rooted = hierarchy.open(Path::new("/web")).unwrap();
        let absolute = hierarchy.open(&dir.path().join("web")).unwrap();
        assert_eq!(relative, rooted);
        assert_eq!(relative, absolute);
        assert!(relative.exists());
    }

    #[test]
    fn a_missing_cgroup_says_where_to_look() {
        let (dir, hierarchy) = fake();
        let error = hierarchy.open(Path::new("db")).unwrap_err().to_string();
        let root = dir.path().display();
        assert_eq!(
            error,
            format!("there is no cgroup db: give a directory below {root}")
        );
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_refused() {
        let (dir, hierarchy) = fake();
        fs::remove_file(dir.path().join("web/cgroup.procs")).unwrap();
        let error = hierarchy.open(Path::new("web")).unwrap_err();
        assert!(matches!(error, CgroupError::Elsewhere(..)), "{error}");
    }

    #[test]
    fn a_cgroup_deeper_than_labels_are_looked_for_is_refused() {
        let (dir, hierarchy) = fake();
        let deepest = dir.path().join("a/".repeat(MAX_LEVEL));
        let too_deep = deepest.join("a");
        fs::create_dir_all(&too_deep).unwrap();
        for path in [&deepest, &too_deep] {
            fs::write(path.join("cgroup.procs"), "").unwrap();
        }
        assert!(hierarchy.open(&deepest).is_ok());
        let error = hierarchy.open(&too_deep).unwrap_err();
        assert!(matches!(error, CgroupError::TooDeep(_)), "{error}");
    }

    #[test]
    fn the_tree_has_parents_first_and_all_processes_once() {
        let (_dir, hierarchy) = fake();
        let web = hierarchy.open(Path::new("web")).unwrap();
        let tree = web.tree();
        assert_eq!(tree.len(), 2);
        assert_eq!(tree[0], web);
        assert_eq!(web.processes(), [7, 20]);
    }

    #[test]
    fn populated_is_read_from_its_line() {
        assert!(is_populated("populated 1\nfrozen 0\n"));
        assert!(!is_populated("populated 0\nfrozen 1\n"));
        assert!(!is_populated(""));
    }
}
