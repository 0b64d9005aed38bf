//! Which program is attached where, and which operations need it.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use bartizan_abi::op::{Operation, Ops};

use super::error::LoadError;
use super::load::Object;
use super::pins::Pins;

/// A program; its name in the object is its hook's.
pub(super) struct Hook {
    pub(super) name: &'static str,
    /// Needed by rule maps that judge one of these.
    pub(super) ops: Ops,
    /// Without it, these operations can't be enforced at all.
    pub(super) mandatory: bool,
}

const fn hook(name: &'static str, ops: Ops) -> Hook {
    Hook {
        name,
        ops,
        mandatory: true,
    }
}

const OPEN: Ops = Operation::Read.bit() | Operation::Write.bit() | Operation::Append.bit();
const CREATE: Ops = Operation::Create.bit();
const DELETE: Ops = Operation::Delete.bit();
const MOUNT: Ops = Operation::Mount.bit();
const MODULE_LOAD: Ops = Operation::ModuleLoad.bit();

pub(super) const HOOKS: &[Hook] = &[
    hook("bprm_check_security", Operation::Exec.bit()),
    // A shared, writable mapping writes.
    hook("mmap_file", Operation::Map.bit() | Operation::Write.bit()),
    hook(
        "file_mprotect",
        Operation::Map.bit() | Operation::Write.bit(),
    ),
    hook("file_open", OPEN),
    hook("file_receive", OPEN),
    hook("path_truncate", Operation::Truncate.bit()),
    // Since 6.2; before, path_truncate sees the same.
    Hook {
        name: "file_truncate",
        ops: Operation::Truncate.bit(),
        mandatory: false,
    },
    hook("path_unlink", DELETE),
    hook("path_rmdir", DELETE),
    hook("path_mkdir", CREATE),
    // Binding a Unix socket to a path makes a node.
    hook("path_mknod", CREATE | Operation::Bind.bit()),
    hook("path_symlink", CREATE),
    hook("path_link", CREATE | Operation::Link.bit()),
    hook("path_rename", CREATE | DELETE | Operation::Rename.bit()),
    hook("path_chmod", Operation::Chmod.bit()),
    hook("path_chown", Operation::Chown.bit()),
    hook("socket_create", Operation::Socket.bit()),
    hook("socket_connect", Operation::Connect.bit()),
    hook("socket_bind", Operation::Bind.bit()),
    // With MSG_FASTOPEN it connects.
    hook(
        "socket_sendmsg",
        Operation::Send.bit() | Operation::Connect.bit(),
    ),
    hook("unix_stream_connect", Operation::Connect.bit()),
    hook("unix_may_send", Operation::Send.bit()),
    hook("socket_listen", Operation::Listen.bit()),
    hook("socket_accept", Operation::Accept.bit()),
    hook("capable", Operation::Capable.bit() | MOUNT),
    hook("sb_mount", MOUNT),
    hook("sb_umount", MOUNT),
    hook("sb_pivotroot", MOUNT),
    hook("move_mount", MOUNT),
    // The guard judges all other ways to trace.
    hook("ptrace_traceme", Operation::Ptrace.bit()),
    hook("bpf", Operation::Bpf.bit()),
    hook("userns_create", Operation::UserNamespace.bit()),
    hook("kernel_read_file", MODULE_LOAD),
    hook("kernel_load_data", MODULE_LOAD),
    hook("kernel_module_request", MODULE_LOAD),
    hook("inode_init_security_anon", Operation::IoUring.bit()),
];

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

/// Guards tasks in set-up, and judges tracing; always attached.
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
    /// Hooks that this kernel is known to lack.
    missing: BTreeSet<&'static str>,
}

impl Programs {
    /// Takes what is pinned.
    pub(super) fn new(pins: Option<Pins>) -> Result<Self, LoadError> {
        let mut links = BTreeMap::new();
        if let Some(pins) = &pins {
            let names = HOOKS.iter().map(|hook| hook.name);
            for name in names.chain(always()) {
                let path = pins.link(name);
                if path.exists() {
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
            missing: BTreeSet::new(),
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

    /// Attaches the hooks that judge `ops`.
    pub(super) fn require(&mut self, ops: Ops) -> Result<(), LoadError> {
        for hook in HOOKS.iter().filter(|hook| hook.ops & ops != 0) {
            let is_known = self.links.contains_key(hook.name) || self.missing.contains(hook.name);
            if is_known {
                continue;
            }
            if self.object()?.has_hook(hook.name) {
                self.attach(hook.name)?;
            } else {
                self.missing.insert(hook.name);
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
            None => Object::load(self.pins.as_ref())?,
        };
        Ok(self.object.insert(object))
    }

    /// Gives back the memory that only attaching needs.
    pub(super) fn release_memory(&mut self) {
        if let Some(object) = &mut self.object {
            object.release_memory();
        }
    }

    /// Attached programs by their numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&'static str, Option<u32>)> {
        let links = self.links.iter();
        links.map(|(name, link)| (*name, link.info().ok().map(|info| info.program_id())))
    }
}
