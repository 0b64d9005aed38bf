//! Where links and maps outlive the enforcer: a directory on a bpf file system.
//!
//! ```text
//!   /sys/fs/bpf/bartizan/      locked by the enforcer that uses it
//!     VERSION/                 of the object: the same programs and layouts
//!       maps/NAME              the outer maps hold the inner ones
//!       links/HOOK             attached as long as it is here
//! ```
//!
//! Two objects differ in their version whatever the difference is, so maps are only shared
//! by enforcers that mean the same by them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, statfs};
use rustix::io::Errno;

/// `BPF_FS_MAGIC`.
const MAGIC: i64 = 0xcafe_4a11;
/// Permission bits of group and others to change what is there.
const WRITABLE: u32 = 0o022;

/// Why a directory can't keep links and maps.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It is on another file system.
    #[error(
        "{0} is not on a bpf file system, so enforcement would end with the enforcer: mount \
         one on the node with `mount -t bpf bpf /sys/fs/bpf`, or name another with --pins"
    )]
    NoBpffs(PathBuf),
    /// Somebody else made it, or may change it.
    #[error("{0} belongs to another user, or others may write there: remove it")]
    Foreign(PathBuf),
    /// Another enforcer has it.
    #[error("an enforcer uses {0}: end it first")]
    InUse(PathBuf),
    /// A file operation failed.
    #[error("cannot {action} {path}")]
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

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> PinError {
    move |source| PinError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Versions.
    pub versions: usize,
    /// Links; their programs end with them.
    pub links: usize,
    /// Maps, without those inside of others.
    pub maps: usize,
}

/// The directory, locked as long as this exists.
pub(super) struct Directory {
    root: PathBuf,
    _lock: OwnedFd,
}

impl Directory {
    /// Makes it if it isn't there, and waits until no other enforcer uses it.
    pub(super) fn lock(root: &Path) -> Result<Self, PinError> {
        loop {
            if !root.exists() {
                require_bpffs(root.parent().unwrap_or(root), root)?;
                let made = fs::DirBuilder::new().mode(0o700).create(root);
                made.map_err(failed("make", root))?;
            }
            let lock = check(root)?;
            if !try_lock(&lock, root)? {
                tracing::info!(path = %root.display(), "waiting for the enforcer that uses it to end");
                flock(&lock, FlockOperation::LockExclusive)
                    .map_err(|errno| failed("lock", root)(errno.into()))?;
            }
            // Whoever had it may have removed it.
            let own = fstat(&lock).map_err(|errno| failed("look at", root)(errno.into()))?;
            if fs::metadata(root).is_ok_and(|found| found.ino() == own.st_ino) {
                return Ok(Self {
                    root: root.to_owned(),
                    _lock: lock,
                });
            }
        }
    }

    /// Versions that have something there, by their directories.
    fn versions(&self) -> Result<Vec<PathBuf>, PinError> {
        entries(&self.root)
    }
}

/// Removes everything that enforcers have left; `None` if there is no such directory.
pub(super) fn remove_all(root: &Path) -> Result<Option<Removed>, PinError> {
    if !root.exists() {
        return Ok(None);
    }
    let lock = check(root)?;
    if !try_lock(&lock, root)? {
        return Err(PinError::InUse(root.to_owned()));
    }
    let directory = Directory {
        root: root.to_owned(),
        _lock: lock,
    };
    let mut removed = Removed::default();
    for version in directory.versions()? {
        remove(&version, &mut removed)?;
    }
    fs::remove_dir(root).map_err(failed("remove", root))?;
    Ok(Some(removed))
}

/// One version's part of a [`Directory`].
pub(super) struct Pins {
    directory: Directory,
    own: PathBuf,
}

impl Pins {
    /// The part of a version, made if it isn't there. Maps without any link are what is left
    /// of a start or an end that was interrupted, and nothing that fits together.
    pub(super) fn new(directory: Directory, version: &str) -> Result<Self, PinError> {
        let own = directory.root.join(version);
        if own.exists() && !has_links(&own) {
            remove(&own, &mut Removed::default())?;
        }
        for part in ["maps", "links"] {
            let path = own.join(part);
            let mut builder = fs::DirBuilder::new();
            let made = builder.mode(0o700).recursive(true).create(&path);
            made.map_err(failed("make", &path))?;
        }
        Ok(Self { directory, own })
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        map_of(&self.own, name)
    }

    pub(super) fn link(&self, name: &str) -> PathBuf {
        self.own.join("links").join(name)
    }

    /// Directories of other versions.
    pub(super) fn others(&self) -> Result<Vec<PathBuf>, PinError> {
        let mut all = self.directory.versions()?;
        all.retain(|version| *version != self.own);
        Ok(all)
    }

    /// Removes what other versions have left; what is attached by it isn't any more.
    pub(super) fn remove_others(&self) -> Result<Removed, PinError> {
        let mut removed = Removed::default();
        for version in self.others()? {
            remove(&version, &mut removed)?;
        }
        Ok(removed)
    }
}

/// A map of a version.
pub(super) fn map_of(version: &Path, name: &str) -> PathBuf {
    version.join("maps").join(name)
}

/// The same, opened.
pub(super) fn open_map(version: &Path, name: &str) -> Result<Map, aya::maps::MapError> {
    MapData::from_pin(map_of(version, name)).and_then(Map::from_map_data)
}

/// Opens the directory if it is fit for pins.
fn check(root: &Path) -> Result<OwnedFd, PinError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(root, flags, Mode::empty());
    let opened = opened.map_err(|errno| failed("open", root)(errno.into()))?;
    require_bpffs(root, root)?;
    let found = fs::metadata(root).map_err(failed("look at", root))?;
    // Everybody may make directories in a bpf file system's root.
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & WRITABLE != 0 {
        return Err(PinError::Foreign(root.to_owned()));
    }
    Ok(opened)
}

/// Fails unless `path`, where `root` is or would be, is on a bpf file system.
fn require_bpffs(path: &Path, root: &Path) -> Result<(), PinError> {
    let system = statfs(path).map_err(|errno| failed("look at", path)(errno.into()))?;
    if system.f_type != MAGIC {
        return Err(PinError::NoBpffs(root.to_owned()));
    }
    Ok(())
}

fn try_lock(directory: &OwnedFd, root: &Path) -> Result<bool, PinError> {
    match flock(directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(failed("lock", root)(errno.into())),
    }
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, PinError> {
    let all = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(failed("read", path))?;
    Ok(all.iter().map(fs::DirEntry::path).collect())
}

fn has_links(version: &Path) -> bool {
    entries(&version.join("links")).is_ok_and(|links| !links.is_empty())
}

/// Removes a version: links first, so that nothing is judged by maps that lose their names.
fn remove(version: &Path, removed: &mut Removed) -> Result<(), PinError> {
    let mut parts = entries(version)?;
    parts.sort_by_key(|part| !part.ends_with("links"));
    for part in parts {
        let is_links = part.ends_with("links");
        if !part.is_dir() {
            fs::remove_file(&part).map_err(failed("remove", &part))?;
            continue;
        }
        for pin in entries(&part)? {
            fs::remove_file(&pin).map_err(failed("remove", &pin))?;
            let count = if is_links {
                &mut removed.links
            } else {
                &mut removed.maps
            };
            *count += 1;
        }
        fs::remove_dir(&part).map_err(failed("remove", &part))?;
    }
    fs::remove_dir(version).map_err(failed("remove", version))?;
    removed.versions += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_file_system_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("bartizan");
        let error = Directory::lock(&root).err().unwrap();
        assert!(matches!(error, PinError::NoBpffs(_)), "{error}");
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"));
    }

    #[test]
    fn where_nothing_is_there_is_nothing_to_remove() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remove_all(&dir.path().join("bartizan")).unwrap(), None);
    }

    /// A version with a file in place of each pin.
    fn version(root: &Path, pins: &[&str]) -> PathBuf {
        let version = root.join("0123");
        for name in pins {
            let path = version.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        version
    }

    #[test]
    fn maps_are_only_adopted_with_links() {
        for links in [&["maps/TABLES", "links/file_open"][..], &["maps/TABLES"]] {
            let dir = tempfile::tempdir().unwrap();
            version(dir.path(), links);
            let lock = fs::File::open(dir.path()).unwrap();
            let directory = Directory {
                root: dir.path().to_owned(),
                _lock: lock.into(),
            };
            let pins = Pins::new(directory, "0123").unwrap();
            assert_eq!(pins.map("TABLES").exists(), links.len() == 2);
        }
    }

    #[test]
    fn a_version_is_removed_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let pins = ["links/file_open", "maps/CGROUPS", "maps/TABLES"];
        let version = version(dir.path(), &pins);
        let mut removed = Removed::default();
        remove(&version, &mut removed).unwrap();
        let expected = Removed {
            versions: 1,
            links: 1,
            maps: 2,
        };
        assert_eq!(removed, expected);
        assert!(!version.exists());
    }
}
