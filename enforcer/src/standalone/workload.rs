//! A workload whose cgroup comes, fills, empties and goes.
//!
//! Its cgroup's mounts are taken as [`Settle`] says. Where all were there before us, they
//! are taken once.

use std::path::PathBuf;
use std::time::Instant;

use rustix::fs::inotify::WatchFlags;

use crate::agent::Agent;
use crate::args::Named;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::engine::WorkloadId;
use crate::failure::Failure;
use crate::mounts::{MountTable, Settle};

/// A workload and where it is in its life.
pub(super) struct Watched {
    id: WorkloadId,
    name: String,
    path: PathBuf,
    /// Its cgroup and how far its mounts have come, while there is one.
    there: Option<(Cgroup, Settle)>,
}

impl Watched {
    pub(super) fn new(id: WorkloadId, named: &Named) -> Self {
        let (name, path) = (named.name.clone(), named.cgroup.clone());
        Self {
            id,
            name,
            path,
            there: None,
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
        self.there.as_ref().map(|(cgroup, _)| cgroup)
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
        let engine = &mut agent.engine;
        let mounts = Settle::of_existing(&cgroup, |table| engine.set_mounts(self.id, table));
        agent.engine.label(self.id, &cgroup)?;
        tracing::info!(workload = %self.name, cgroup = %cgroup.path().display(), "armed");
        self.there = Some((cgroup, mounts));
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
            self.there = None;
            agent.engine.unlabel(self.id)?;
            agent
                .engine
                .set_mounts(self.id, MountTable::provisional())?;
        }
        let Some((cgroup, mounts)) = &mut self.there else {
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
            self.there = Some((cgroup, Settle::default()));
            return Ok(Some(now));
        };
        let set = |table| agent.engine.set_mounts(self.id, table);
        Ok(mounts.look(cgroup, now, set))
    }
}
