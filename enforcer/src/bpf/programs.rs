//! Which programs are attached: always those that keep labels and lineages, and those of
//! hooks ([`bartizan_abi::hooks`]) once some rule map needs them.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use bartizan_abi::hooks::HOOKS;
use bartizan_abi::op::Ops;

use super::error::LoadError;
use super::facts::Facts;
use super::load::Object;
use super::pins::Pins;

/// Tracepoints that keep labels and lineages right; always attached.
pub(super) const TRACEPOINTS: &[&str] = &[
    "cgroup_mkdir",
    "cgroup_rmdir",
    "cgroup_attach_task",
    "task_newtask",
    "sched_process_exec",
    "sched_process_free",
];

/// A program at the beginning of a function of the kernel.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) function: &'static str,
}

/// Has processes keep their rules that leave their container's cgroup; always attached. It
/// has to know both cgroups, and is no hook: the tracepoint of the same name comes when
/// the old one is forgotten.
pub(super) const LEAVE: Function = Function {
    name: "leave",
    function: "cgroup_attach_task",
};

/// The hook that guards tasks in set-up, and judges tracing; always attached.
const GUARD: &str = "ptrace_access_check";

/// Programs that are always attached. The guard first: nobody is in set-up before the
/// tracepoints say so.
fn always() -> impl Iterator<Item = &'static str> {
    [GUARD, LEAVE.name]
        .into_iter()
        .chain(TRACEPOINTS.iter().copied())
}

/// The attached programs, and the object that has the others.
pub(super) struct Programs {
    /// Where what is attached stays attached.
    pub(super) pins: Option<Pins>,
    /// Read when it is needed: not for what a predecessor has left.
    object: Option<Object>,
    links: BTreeMap<&'static str, FdLink>,
    /// Of this kernel.
    pub(super) facts: Facts,
}

impl Programs {
    /// Takes what is pinned.
    pub(super) fn new(pins: Option<Pins>, facts: Facts) -> Result<Self, LoadError> {
        let mut links = BTreeMap::new();
        if let Some(pins) = &pins {
            let names = HOOKS.iter().map(|hook| hook.name);
            for name in names.chain(always()) {
                let path = pins.link(name);
                if path.exists() && !links.contains_key(name) {
                    let link = PinnedLink::from_pin(&path);
                    let link = link.map_err(|source| LoadError::Link { path, source })?;
                    links.insert(name, link.into());
                }
            }
        }
        Ok(Self {
            pins,
            object: None,
            links,
            facts,
        })
    }

    /// A map of the object.
    pub(super) fn map(&mut self, name: &'static str) -> Result<Map, LoadError> {
        let Some(path) = self.pins.as_ref().map(|pins| pins.map(name)) else {
            return self.object()?.take_map(name);
        };
        if !path.exists() {
            // Makes all that are not there.
            self.object()?;
        }
        MapData::from_pin(&path)
            .and_then(Map::from_map_data)
            .map_err(|source| LoadError::Map { map: name, source })
    }

    /// Attaches what keeps labels and lineages.
    pub(super) fn attach_always(&mut self) -> Result<(), LoadError> {
        always().try_for_each(|name| self.attach(name))
    }

    /// Attaches the hooks that judge `ops`, as far as this kernel has them.
    pub(super) fn require(&mut self, ops: Ops) -> Result<(), LoadError> {
        for hook in HOOKS.iter().filter(|hook| hook.ops & ops != 0) {
            if self.facts.hooks.contains(hook.name) {
                self.attach(hook.name)?;
            }
        }
        Ok(())
    }

    fn attach(&mut self, name: &'static str) -> Result<(), LoadError> {
        if self.links.contains_key(name) {
            return Ok(());
        }
        let mut link = self.object()?.attach(name)?;
        if let Some(pins) = &self.pins {
            let path = pins.link(name);
            let pinned = link.pin(&path);
            link = pinned
                .map_err(|source| LoadError::Pin { path, source })?
                .into();
        }
        self.links.insert(name, link);
        Ok(())
    }

    fn object(&mut self) -> Result<&mut Object, LoadError> {
        let object = match self.object.take() {
            Some(object) => object,
            None => Object::load(self.pins.as_ref(), &self.facts.offsets)?,
        };
        Ok(self.object.insert(object))
    }

    /// Gives back the memory that only attaching needs. An object whose maps are pinned can be
    /// loaded again at any time.
    pub(super) fn release_memory(&mut self) {
        match &mut self.object {
            Some(object) if self.pins.is_none() => object.release_memory(),
            _ => self.object = None,
        }
    }

    /// Attached programs by their numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&'static str, Option<u32>)> {
        let links = self.links.iter();
        links.map(|(name, link)| (*name, link.info().ok().map(|info| info.program_id())))
    }
}
