//! A workload whose cgroup comes, fills, empties and goes.
//!
//! ```text
//!   Missing ─► Empty ─► Settling ─► Settled
//!      ▲         ▲──────────┴──────────┤ last process gone
//!      └───────────────────────────────┘ cgroup gone
//! ```
//!
//! A container's mount table has to be the one its creator made, but a runtime's process
//! enters the cgroup before it has made its mounts. So the table is taken with the first
//! process and again as long as that process gets other mounts, until it runs something in
//! a mount namespace of its own. Where all were there before us, it is taken once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::inotify::WatchFlags;

use crate::agent::Agent;
use crate::args::Named;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::engine::WorkloadId;
use crate::failure::Failure;
use crate::mounts::{self, Fingerprint, MountTable};

/// A process that has made no mounts for that long makes none.
const SETTLING: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

enum Phase {
    Missing,
    Empty(Cgroup),
    Settling {
        cgroup: Cgroup,
        pid: u32,
        seen: Fingerprint,
        until: Instant,
    },
    Settled(Cgroup),
}

/// A workload and where it is in its life.
pub(super) struct Watched {
    id: WorkloadId,
    name: String,
    path: PathBuf,
    phase: Phase,
}

impl Watched {
    pub(super) fn new(id: WorkloadId, named: &Named) -> Self {
        let (name, path) = (named.name.clone(), named.cgroup.clone());
        Self {
            id,
            name,
            path,
            phase: Phase::Missing,
        }
    }

    pub(super) fn id(&self) -> WorkloadId {
        self.id
    }

    /// What to watch so that [`Watched::check`] is called in time. A cgroup's end shows in
    /// its parent; the directory itself gives no event in time.
    pub(super) fn watches(&self, hierarchy: &Hierarchy) -> Vec<(PathBuf, WatchFlags)> {
        let path = hierarchy.path(&self.path);
        let names = WatchFlags::CREATE | WatchFlags::DELETE;
        let parent = path.parent().map(|parent| (parent.to_owned(), names));
        let events = self
            .cgroup()
            .map(|cgroup| (cgroup.events(), WatchFlags::MODIFY));
        parent.into_iter().chain(events).collect()
    }

    fn cgroup(&self) -> Option<&Cgroup> {
        match &self.phase {
            Phase::Missing => None,
            Phase::Empty(cgroup) | Phase::Settling { cgroup, .. } | Phase::Settled(cgroup) => {
                Some(cgroup)
            }
        }
    }

    /// Arms the workload at the enforcer's start; errors end the enforcer.
    pub(super) fn start(
        &mut self,
        agent: &mut Agent,
        hierarchy: &Hierarchy,
    ) -> Result<(), Failure> {
        let cgroup = hierarchy.open(&self.path)?;
        // The mounts first: with a label and a provisional table, files on volumes would
        // have no name for a moment.
        let process = cgroup.processes().first().copied();
        let taken = process.is_some_and(|pid| self.take(agent, pid));
        agent.engine.label(self.id, &cgroup)?;
        tracing::info!(workload = %self.name, cgroup = %cgroup.path().display(), "armed");
        self.phase = if taken {
            Phase::Settled(cgroup)
        } else {
            Phase::Empty(cgroup)
        };
        Ok(())
    }

    /// Looks what became of the workload; when to look again at the latest.
    pub(super) fn check(
        &mut self,
        agent: &mut Agent,
        hierarchy: &Hierarchy,
        now: Instant,
    ) -> Option<Instant> {
        match self.advance(agent, hierarchy, now) {
            Ok(next) => next,
            Err(failure) => {
                for line in failure.lines() {
                    tracing::error!(workload = %self.name, "{line}");
                }
                None
            }
        }
    }

    fn advance(
        &mut self,
        agent: &mut Agent,
        hierarchy: &Hierarchy,
        now: Instant,
    ) -> Result<Option<Instant>, Failure> {
        let gone = self.cgroup().is_some_and(|cgroup| !cgroup.exists());
        if gone {
            tracing::warn!(workload = %self.name, "its cgroup was removed; waiting for another");
            self.phase = Phase::Missing;
            agent.engine.unlabel(self.id)?;
            agent
                .engine
                .set_mounts(self.id, MountTable::provisional())?;
        }
        match &self.phase {
            Phase::Missing => {
                let Ok(cgroup) = hierarchy.open(&self.path) else {
                    return Ok(None);
                };
                agent.engine.label(self.id, &cgroup)?;
                let late = if cgroup.is_populated() {
                    ", after its first process"
                } else {
                    ""
                };
                tracing::info!(workload = %self.name, "its cgroup is there: armed{late}");
                self.phase = Phase::Empty(cgroup);
                Ok(Some(now))
            }
            Phase::Empty(cgroup) => {
                let Some(pid) = cgroup.processes().first().copied() else {
                    return Ok(None);
                };
                let cgroup = cgroup.clone();
                // Before the table: what changes in between is seen as a change.
                if let Ok(seen) = mounts::fingerprint(pid)
                    && self.take(agent, pid)
                {
                    let until = now + SETTLING;
                    self.phase = Phase::Settling {
                        cgroup,
                        pid,
                        seen,
                        until,
                    };
                }
                Ok(Some(now + LOOK))
            }
            Phase::Settling {
                cgroup,
                pid,
                seen,
                until,
            } => {
                let (cgroup, pid, before, until) = (cgroup.clone(), *pid, *seen, *until);
                let found = mounts::fingerprint(pid);
                let Some(seen) = found.ok().filter(|_| cgroup.processes().contains(&pid)) else {
                    // Another process goes on (a runtime's first one ends early).
                    self.phase = Phase::Empty(cgroup);
                    return Ok(Some(now + LOOK));
                };
                if seen != before && !self.take(agent, pid) {
                    return Ok(Some(now + LOOK));
                }
                if now >= until || seen.is_container_of(&before) {
                    self.phase = Phase::Settled(cgroup);
                    return Ok(None);
                }
                self.phase = Phase::Settling {
                    cgroup,
                    pid,
                    seen,
                    until,
                };
                Ok(Some(now + LOOK))
            }
            Phase::Settled(cgroup) => {
                if !cgroup.is_populated() {
                    tracing::debug!(workload = %self.name, "its last process ended");
                    self.phase = Phase::Empty(cgroup.clone());
                    agent
                        .engine
                        .set_mounts(self.id, MountTable::provisional())?;
                }
                Ok(None)
            }
        }
    }

    /// Takes the mount table of a process; the one in force stays if that fails. False if
    /// the process has gone.
    fn take(&self, agent: &mut Agent, pid: u32) -> bool {
        let result = table(pid).and_then(|table| {
            let mounts = table.len();
            agent.engine.set_mounts(self.id, table)?;
            Ok(mounts)
        });
        match result {
            Ok(mounts) => {
                tracing::debug!(workload = %self.name, pid, mounts, "mount table taken");
            }
            Err(_) if mounts::fingerprint(pid).is_err() => return false,
            Err(failure) => {
                let error = failure.lines().join("; ");
                tracing::error!(workload = %self.name, pid, %error, "mount table not taken");
            }
        }
        true
    }
}

fn table(pid: u32) -> Result<MountTable, Failure> {
    Ok(MountTable::new(&mounts::of_process(pid)?)?)
}
