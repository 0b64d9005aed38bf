//! Which program is attached where, and which operations need it.

use aya::programs::{BtfTracePoint, Lsm};
use aya::{Btf, Ebpf};
use bartizan_abi::op::{Operation, Ops};

use crate::bpf::error::LoadError;

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

pub(super) const HOOKS: &[Hook] = &[
    hook("bprm_check_security", Operation::Exec.bit()),
    hook("mmap_file", Operation::Map.bit()),
    hook("file_mprotect", Operation::Map.bit()),
    hook("file_open", OPEN),
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
    hook("path_mknod", CREATE),
    hook("path_symlink", CREATE),
    hook("path_link", CREATE | Operation::Link.bit()),
    hook("path_rename", CREATE | DELETE | Operation::Rename.bit()),
    hook("path_chmod", Operation::Chmod.bit()),
    hook("path_chown", Operation::Chown.bit()),
    hook("socket_create", Operation::Socket.bit()),
    hook("socket_connect", Operation::Connect.bit()),
    hook("socket_bind", Operation::Bind.bit()),
    hook("socket_sendmsg", Operation::Send.bit()),
    hook("capable", Operation::Capable.bit()),
];

/// Tracepoints that keep labels and lineages right; always attached.
const TRACEPOINTS: &[&str] = &[
    "cgroup_mkdir",
    "cgroup_rmdir",
    "cgroup_attach_task",
    "task_newtask",
    "sched_process_exec",
];

/// Guards tasks in set-up; always attached.
const GUARD: &str = "ptrace_access_check";

/// The programs that [`attach_always`] attaches.
pub(super) fn always() -> impl Iterator<Item = &'static str> {
    TRACEPOINTS.iter().copied().chain([GUARD])
}

/// Loads and attaches an LSM program.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf, hook: &'static str) -> Result<(), LoadError> {
    let refused = |source| LoadError::Program {
        hook,
        source: Box::new(source),
    };
    let program = ebpf.program_mut(hook).ok_or(LoadError::Missing(hook))?;
    let program: &mut Lsm = program.try_into().map_err(refused)?;
    program.load(hook, btf).map_err(refused)?;
    program.attach().map_err(refused)?;
    Ok(())
}

/// Loads and attaches what keeps labels and lineages.
pub(super) fn attach_always(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), LoadError> {
    // The guard first: nobody is in set-up before the tracepoints say so.
    attach(ebpf, btf, GUARD)?;
    for name in TRACEPOINTS {
        let refused = |source| LoadError::Program {
            hook: name,
            source: Box::new(source),
        };
        let program = ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
        let program: &mut BtfTracePoint = program.try_into().map_err(refused)?;
        program.load(name, btf).map_err(refused)?;
        program.attach().map_err(refused)?;
    }
    Ok(())
}
