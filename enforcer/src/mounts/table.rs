//! From visible mounts to the kernel's mount table.
//!
//! Per file system there is one entry for the file system itself (inode 0) and one
//! for each of its directories or files that is mounted somewhere. A file system or
//! directory that is mounted at several places has several names, see [`Joined`]; the
//! first is that in mountinfo's order, but the container's root is always `/`.

use bartizan_abi::limits::MOUNT_SLOTS;
use bartizan_abi::maps::{
    Binding, MOUNT_MULTI, MOUNT_PROBES, MOUNT_ROOT, MOUNT_USED, Mount, PROVISIONAL, mount_slot,
};
use bartizan_abi::table::{Automaton, Bytes};

use super::MountError;
use super::names::Joined;
use super::states::{is_dead, own_rows, row_of_unknown, state_after, state_of_unknown};
use super::visible::{Object, Visible};

/// Seeds tried before a table counts as too full. With 200 of 256 slots taken, about
/// one in ten fits; with 100 nearly every one.
const SEEDS: u32 = 4_096;

/// The mounts of one container, independent of any rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountTable {
    entries: Vec<Entry>,
    /// Mount points by [`Mount::mount`].
    points: Vec<Vec<u8>>,
    /// What is mounted there, inside its file system.
    roots: Vec<Vec<u8>>,
    /// Index of the container's root in `entries`; `None`: provisional.
    root: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    dev: u32,
    ino: u64,
    flags: u32,
    /// Index into `points`.
    point: u16,
    /// The same of further places where it is mounted.
    aliases: Vec<u16>,
    /// The mount point is the path's end.
    file: bool,
}

/// The parts of a [`Binding`] that are not about mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingHead {
    /// [`Binding::generation`]
    pub generation: u64,
    /// [`Binding::table`]
    pub table: u32,
    /// [`Binding::workload`]
    pub workload: u32,
}

impl MountTable {
    /// The table of a container that has no process yet.
    pub fn provisional() -> Self {
        Self {
            entries: Vec::new(),
            points: vec![b"/".to_vec()],
            roots: Vec::new(),
            root: None,
        }
    }

    /// Builds the table from a process's visible mounts, in mountinfo's order.
    pub fn new(mounts: &[Visible]) -> Result<Self, MountError> {
        let (root, others): (Vec<_>, Vec<_>) =
            mounts.iter().partition(|mount| mount.info.point == b"/");
        let mut table = Self {
            entries: Vec::new(),
            points: Vec::new(),
            roots: Vec::new(),
            root: None,
        };
        for mount in root.iter().chain(&others) {
            if mount.object == Object::Device && is_mounted_too(mount, mounts) {
                continue;
            }
            table.add(mount)?;
        }
        let first = root.first().ok_or(MountError::NoRoot)?;
        let key = key(first);
        table.root = table
            .entries
            .iter()
            .position(|entry| (entry.dev, entry.ino) == key);
        Ok(table)
    }

    fn add(&mut self, mount: &Visible) -> Result<(), MountError> {
        let (dev, ino) = key(mount);
        let number = u16::try_from(self.points.len())
            .ok()
            .ok_or(MountError::TooMany(self.points.len()))?;
        let whole = self.find(dev, 0).unwrap_or_else(|| {
            let flags = MOUNT_USED;
            self.entries.push(Entry {
                dev,
                ino: 0,
                flags,
                point: number,
                aliases: Vec::new(),
                file: false,
            });
            self.entries.len() - 1
        });
        if ino != 0 {
            self.entries[whole].flags |= MOUNT_MULTI;
            if let Some(known) = self.find(dev, ino) {
                return self.alias(mount, known, number);
            }
            let file = mount.object != Object::Directory;
            self.entries.push(Entry {
                dev,
                ino,
                flags: MOUNT_USED,
                point: number,
                aliases: Vec::new(),
                file,
            });
        } else if self.entries[whole].flags & MOUNT_ROOT != 0 {
            return self.alias(mount, whole, number);
        } else {
            self.entries[whole].flags |= MOUNT_ROOT;
            self.entries[whole].point = number;
        }
        self.push(mount);
        Ok(())
    }

    fn push(&mut self, mount: &Visible) {
        self.points.push(mount.info.point.clone());
        self.roots.push(mount.info.root.clone());
    }

    fn find(&self, dev: u32, ino: u64) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| (entry.dev, entry.ino) == (dev, ino))
    }

    /// The mount's files have the names of an earlier mount, too.
    fn alias(&mut self, mount: &Visible, known: usize, number: u16) -> Result<(), MountError> {
        let earlier = usize::from(self.entries[known].point);
        // Subvolumes of btrfs share device and inode number; the kernel programs can't
        // tell their files apart.
        if mount.object == Object::Directory && self.roots[earlier] != mount.info.root {
            return Err(MountError::Ambiguous {
                point: mount.info.point.escape_ascii().to_string(),
                other: self.points[earlier].escape_ascii().to_string(),
            });
        }
        self.entries[known].aliases.push(number);
        self.push(mount);
        Ok(())
    }

    /// Whether the container has no process yet.
    pub fn is_provisional(&self) -> bool {
        self.root.is_none()
    }

    /// Entries in the kernel's table.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There are none (only a provisional table is empty).
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mount point that events call by that number.
    pub fn point(&self, number: u32) -> Option<&[u8]> {
        self.points.get(number as usize).map(Vec::as_slice)
    }

    /// The kernel's form of the table, with states of the compiled rules `table`.
    pub fn binding(&self, table: &[u8], head: BindingHead) -> Result<Box<Binding>, MountError> {
        let bytes = Bytes(table);
        let mounts = self
            .entries
            .iter()
            .map(|entry| self.lower(bytes, entry))
            .collect::<Result<Vec<Mount>, MountError>>()?;
        let (seed, slots) = place(&mounts).ok_or(MountError::TooMany(mounts.len()))?;
        let root = match self.root {
            Some(root) => mounts[root],
            None => self.lower(
                bytes,
                &Entry {
                    dev: 0,
                    ino: 0,
                    flags: 0,
                    point: 0,
                    aliases: Vec::new(),
                    file: false,
                },
            )?,
        };
        Ok(Box::new(Binding {
            generation: head.generation,
            table: head.table,
            workload: head.workload,
            flags: if self.root.is_none() { PROVISIONAL } else { 0 },
            seed,
            root,
            mounts: slots,
        }))
    }

    fn lower(&self, table: Bytes<'_>, entry: &Entry) -> Result<Mount, MountError> {
        let point = |number: &u16| self.points[usize::from(*number)].as_slice();
        let numbers: Vec<u16> = [entry.point]
            .into_iter()
            .chain(entry.aliases.iter().copied())
            .collect();
        let names: Vec<&[u8]> = numbers.iter().map(point).collect();
        let unreadable = || MountError::Unreadable(names[0].escape_ascii().to_string());
        let mut is_joined = true;
        let mut join = |of: &dyn Fn(&[u8]) -> Option<u16>,
                        unknown: &dyn Fn(usize) -> u16,
                        nothing: &dyn Fn(u16) -> bool| {
            let joined = Joined::of(&names, of, unknown, nothing).ok_or_else(unreadable)?;
            is_joined &= joined.is_complete;
            Ok(joined)
        };
        let mut state = |automaton, ends| {
            join(
                &|name| state_after(table, automaton, name, ends),
                &|depth| state_of_unknown(table, automaton, depth),
                &|state| is_dead(table, state),
            )
        };
        let process = state(Automaton::Process, false)?;
        let files = state(Automaton::Files, false)?;
        // Only files are executed.
        let subject = state(Automaton::Subject, entry.file)?;
        let mut rows = |automaton| {
            let row = |of: usize, name: &[u8]| Some(own_rows(table, automaton, name)?[of]);
            let unknown = |depth| row_of_unknown(table, automaton, depth);
            let path = join(&|name| row(0, name), &unknown, &|row| row == 0)?;
            let leaf = join(&|name| row(1, name), &|_| 0, &|row| row == 0)?;
            Ok([path.said, leaf.said])
        };
        let (own_process, own_files) = (rows(Automaton::Process)?, rows(Automaton::Files)?);
        let number = numbers[files.name];
        if !is_joined {
            tracing::warn!(
                mounts = ?names.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>(),
                name = %point(&number).escape_ascii(),
                "the same is mounted at several places that rules tell apart: they see it at `name` only",
            );
        }
        Ok(Mount {
            dev: entry.dev,
            flags: entry.flags,
            ino: entry.ino,
            process: process.said,
            files: files.said,
            subject: subject.said,
            mount: number,
            own_process,
            own_files,
        })
    }
}

/// Device in the kernel's own encoding, and inode (0 for a whole file system).
fn key(mount: &Visible) -> (u32, u64) {
    let (major, minor) = mount.info.device;
    (
        major << 20 | minor,
        if mount.info.root == b"/" {
            0
        } else {
            mount.ino
        },
    )
}

/// A device node whose own file system is mounted as well: it has a name already, and
/// the mount only hides what is below it (`/dev/null` over `/proc/kcore`).
fn is_mounted_too(device: &Visible, mounts: &[Visible]) -> bool {
    mounts
        .iter()
        .any(|mount| mount.info.device == device.info.device && mount.object == Object::Directory)
}

/// Places the mounts by hash; `None` if no seed makes them fit.
fn place(mounts: &[Mount]) -> Option<(u32, [Mount; MOUNT_SLOTS as usize])> {
    if mounts.len() > MOUNT_SLOTS as usize {
        return None;
    }
    // Weyl sequence: every seed is odd and has its bits spread.
    (0..SEEDS)
        .map(|i| 0x9e37_79b1_u32.wrapping_mul(2 * i + 1))
        .find_map(|seed| Some((seed, place_with(seed, mounts)?)))
}

fn place_with(seed: u32, mounts: &[Mount]) -> Option<[Mount; MOUNT_SLOTS as usize]> {
    let mut slots = [Mount::default(); MOUNT_SLOTS as usize];
    for mount in mounts {
        let first = mount_slot(seed, mount.dev, mount.ino);
        let free = (first..first + MOUNT_PROBES)
            .map(|slot| (slot % MOUNT_SLOTS) as usize)
            .find(|slot| slots[*slot].flags & MOUNT_USED == 0)?;
        slots[free] = *mount;
    }
    Some(slots)
}

#[cfg(test)]
mod tests;
