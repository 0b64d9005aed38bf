//! The kernel's LSM hooks by which operations are judged, and what a kernel that lacks one
//! means for policies.
//!
//! The one place that says which hooks a node must have. Kernels differ by how they were
//! built, by what vendors changed, and by their age; hooks are looked for in the kernel's
//! type information, versions are never compared.
//!
//! ```text
//!   kernel's hooks ─► Required missing: the node enforces nothing, and says so
//!                  ├► Optional missing: rules that need it are not enforceable there
//!                  └► Replaced missing: nothing is lost
//! ```

use crate::op::{Operation, Ops};

/// A hook. The program for it has the same name.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The kernel's name of it, without `bpf_lsm_`.
    pub name: &'static str,
    /// Operations that it judges, alone or with others: without it they are not judged
    /// wherever they could happen.
    pub ops: Ops,
    /// Sockets that it judges.
    pub sockets: Sockets,
    /// What a kernel without it means.
    pub need: Need,
}

/// Of which rules on sockets a hook is part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// Of all.
    Any,
    /// Of those with addresses.
    Internet,
    /// Of those with paths or abstract names.
    Unix,
}

/// What a kernel without a hook means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing is enforced on such a node, for this reason.
    Required(&'static str),
    /// Its operations can't be enforced there, all else is. Where it can be missing.
    Optional(&'static str),
    /// Nothing: this hook sees the same where it is missing.
    Replaced(&'static str),
}

/// Defined in every kernel with LSM, from 6.1 on at the latest; a vendor could still have
/// taken it out.
const ALWAYS: Need = Need::Optional("in every kernel with BPF-LSM from 6.1 on");
/// `include/linux/lsm_hook_defs.h` has these between `#ifdef CONFIG_SECURITY_PATH` and
/// `#endif`. `AppArmor`, Landlock and TOMOYO select it, so it is a kernel with none of them.
const WITH_PATH: Need = Need::Optional("only with CONFIG_SECURITY_PATH=y");
/// The same for `CONFIG_SECURITY_NETWORK`.
const WITH_NETWORK: Need = Need::Optional("only with CONFIG_SECURITY_NETWORK=y");

const fn hook(name: &'static str, ops: Ops, need: Need) -> Hook {
    Hook {
        name,
        ops,
        sockets: Sockets::Any,
        need,
    }
}

const fn of(sockets: Sockets, hook: Hook) -> Hook {
    Hook { sockets, ..hook }
}

const OPEN: Ops = Operation::Read.bit() | Operation::Write.bit() | Operation::Append.bit();
const CREATE: Ops = Operation::Create.bit();
const DELETE: Ops = Operation::Delete.bit();
const MOUNT: Ops = Operation::Mount.bit();
const MODULE_LOAD: Ops = Operation::ModuleLoad.bit();
/// A shared, writable mapping writes.
const MAP: Ops = Operation::Map.bit() | Operation::Write.bit();

/// All hooks that have a program.
///
/// Required are those without which it wouldn't be known who acts or what runs: nearly
/// every rule names programs, and what is said of the others would be worth nothing.
/// Opening files is what nearly all rules on files come down to. All of these are in every
/// kernel that has BPF-LSM. No hook on sockets is required: a kernel without them still
/// protects programs and files, which is better than nothing as long as it is said.
pub const HOOKS: &[Hook] = &[
    hook(
        "bprm_check_security",
        Operation::Exec.bit(),
        Need::Required("no exec would be judged, and the set-up of a container would never end"),
    ),
    hook(
        "ptrace_access_check",
        Operation::Ptrace.bit(),
        Need::Required("a container could take over a process that sets another one up"),
    ),
    hook(
        "mmap_file",
        MAP,
        Need::Required("the dynamic loader would run every program that may not be run"),
    ),
    hook(
        "file_mprotect",
        MAP,
        Need::Required("memory of a file could be made executable unjudged"),
    ),
    hook(
        "file_open",
        OPEN,
        Need::Required("no opening of a file would be judged"),
    ),
    hook("file_receive", OPEN, ALWAYS),
    hook("path_truncate", Operation::Truncate.bit(), WITH_PATH),
    // Since 6.2, which has `ftruncate` and `O_TRUNC` there and only `truncate` here.
    hook(
        "file_truncate",
        Operation::Truncate.bit(),
        Need::Replaced("path_truncate"),
    ),
    hook("path_unlink", DELETE, WITH_PATH),
    hook("path_rmdir", DELETE, WITH_PATH),
    hook("path_mkdir", CREATE, WITH_PATH),
    // Binding a Unix socket to a path makes a node.
    of(
        Sockets::Unix,
        hook("path_mknod", CREATE | Operation::Bind.bit(), WITH_PATH),
    ),
    hook("path_symlink", CREATE, WITH_PATH),
    hook("path_link", CREATE | Operation::Link.bit(), WITH_PATH),
    hook(
        "path_rename",
        CREATE | DELETE | Operation::Rename.bit(),
        WITH_PATH,
    ),
    hook("path_chmod", Operation::Chmod.bit(), WITH_PATH),
    hook("path_chown", Operation::Chown.bit(), WITH_PATH),
    hook("socket_create", Operation::Socket.bit(), WITH_NETWORK),
    of(
        Sockets::Internet,
        hook("socket_connect", Operation::Connect.bit(), WITH_NETWORK),
    ),
    hook("socket_bind", Operation::Bind.bit(), WITH_NETWORK),
    // With MSG_FASTOPEN it connects.
    of(
        Sockets::Internet,
        hook(
            "socket_sendmsg",
            Operation::Send.bit() | Operation::Connect.bit(),
            WITH_NETWORK,
        ),
    ),
    of(
        Sockets::Unix,
        hook(
            "unix_stream_connect",
            Operation::Connect.bit(),
            WITH_NETWORK,
        ),
    ),
    of(
        Sockets::Unix,
        hook("unix_may_send", Operation::Send.bit(), WITH_NETWORK),
    ),
    hook("socket_listen", Operation::Listen.bit(), WITH_NETWORK),
    hook("socket_accept", Operation::Accept.bit(), WITH_NETWORK),
    hook("capable", Operation::Capable.bit() | MOUNT, ALWAYS),
    hook("sb_mount", MOUNT, ALWAYS),
    hook("sb_umount", MOUNT, ALWAYS),
    hook("sb_pivotroot", MOUNT, ALWAYS),
    hook("move_mount", MOUNT, ALWAYS),
    hook("ptrace_traceme", Operation::Ptrace.bit(), ALWAYS),
    hook("bpf", Operation::Bpf.bit(), ALWAYS),
    hook("userns_create", Operation::UserNamespace.bit(), ALWAYS),
    hook("kernel_read_file", MODULE_LOAD, ALWAYS),
    hook("kernel_load_data", MODULE_LOAD, ALWAYS),
    hook("kernel_module_request", MODULE_LOAD, ALWAYS),
    hook("inode_init_security_anon", Operation::IoUring.bit(), ALWAYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_hook_and_every_hook_an_operation() {
        let judged = HOOKS.iter().fold(0, |ops, hook| ops | hook.ops);
        let all = Operation::ALL.iter().fold(0, |ops, op| ops | op.bit());
        assert_eq!(judged, all);
        assert!(HOOKS.iter().all(|hook| hook.ops != 0));
    }

    #[test]
    fn a_hook_is_there_once() {
        for (at, hook) in HOOKS.iter().enumerate() {
            assert!(HOOKS[..at].iter().all(|other| other.name != hook.name));
        }
    }

    #[test]
    fn what_replaces_a_hook_sees_the_same_and_can_be_missed_itself() {
        for hook in HOOKS {
            if let Need::Replaced(by) = hook.need {
                let by = HOOKS.iter().find(|other| other.name == by).unwrap();
                assert_eq!(by.ops & hook.ops, hook.ops);
                assert!(!matches!(by.need, Need::Replaced(_)));
            }
        }
    }
}
