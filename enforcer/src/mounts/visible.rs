//! Which of a process's mounts can be seen at their mount points, and what they are.
//!
//! A mount point is opened below the process's root without following links, so that
//! a container that swaps directories can't lead us elsewhere; what is found there
//! counts only if it carries the mount id that mountinfo names.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};

use super::MountError;
use super::mountinfo::{MountInfo, parse};

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A directory.
    Directory,
    /// A character or block device: how runtimes mask files of `/proc`.
    Device,
    /// A regular file or anything else.
    File,
}

/// A mount that can be seen at its mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// Its line of mountinfo.
    pub info: MountInfo,
    /// Inode number of the mounted directory or file.
    pub ino: u64,
    /// What it is.
    pub object: Object,
}

/// The mounts that process `pid` sees, in mountinfo's order.
pub fn of_process(pid: u32) -> Result<Vec<Visible>, MountError> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = std::fs::read(&path).map_err(|source| MountError::Read { path, source })?;
    let mounts = parse(&text).map_err(|source| MountError::Parse { pid, source })?;
    let path = format!("/proc/{pid}/root");
    let root = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(
        |source| MountError::Read {
            path,
            source: source.into(),
        },
    )?;
    Ok(mounts
        .into_iter()
        .filter_map(|info| match look(&root, &info) {
            Ok(Some((ino, object))) => Some(Visible { info, ino, object }),
            Ok(None) => None,
            Err(error) => {
                // Below a directory that another mount hides.
                tracing::debug!(point = %info.point.escape_ascii(), %error, "mount not visible");
                None
            }
        })
        .collect())
}

/// What is at a mount's mount point; `None` if it is another mount.
fn look(root: &OwnedFd, info: &MountInfo) -> io::Result<Option<(u64, Object)>> {
    let at = openat2(
        root,
        info.point.as_slice(),
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let wanted = StatxFlags::INO | StatxFlags::TYPE | StatxFlags::MNT_ID;
    // A network file system that hangs must not hang the enforcer.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = statx(&at, "", flags, wanted)?;
    if found.stx_mnt_id != info.id {
        return Ok(None);
    }
    let object = match FileType::from_raw_mode(u32::from(found.stx_mode)) {
        FileType::Directory => Object::Directory,
        FileType::CharacterDevice | FileType::BlockDevice => Object::Device,
        _ => Object::File,
    };
    Ok(Some((found.stx_ino, object)))
}

/// Something that changes when a process gets other mounts, another root or another
/// executable: whether a table that was taken is still the one to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Inode of its mount namespace.
    namespace: u64,
    /// Mount and inode of its root directory.
    root: (u64, u64),
    /// Mount and inode of its executable.
    executable: (u64, u64),
}

impl Fingerprint {
    /// Whether the process, since `before`, executed something in a mount namespace that is
    /// not the enforcer's: the container's own program runs now.
    pub fn is_container_of(&self, before: &Self) -> bool {
        let own = fingerprint(std::process::id())
            .ok()
            .map(|own| own.namespace);
        self.executable != before.executable && Some(self.namespace) != own
    }
}

/// The fingerprint of a process.
pub fn fingerprint(pid: u32) -> io::Result<Fingerprint> {
    let of = |name: &str| {
        let flags = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = statx(CWD, format!("/proc/{pid}/{name}"), AtFlags::empty(), flags)?;
        io::Result::Ok((found.stx_mnt_id, found.stx_ino))
    };
    Ok(Fingerprint {
        namespace: of("ns/mnt")?.1,
        root: of("root")?,
        executable: of("exe")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_mounts_are_seen_with_their_root_first() {
        let mounts = of_process(std::process::id()).unwrap();
        let root = mounts
            .iter()
            .find(|mount| mount.info.point == b"/")
            .unwrap();
        assert_eq!(root.object, Object::Directory);
        assert!(root.ino != 0);
        assert!(mounts.iter().any(|mount| mount.info.point == b"/proc"));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let error = of_process(u32::MAX / 2).unwrap_err();
        assert_eq!(error.reason(), "MountsUnreadable");
    }

    #[test]
    fn a_fingerprint_is_stable() {
        let pid = std::process::id();
        assert_eq!(fingerprint(pid).unwrap(), fingerprint(pid).unwrap());
    }
}
