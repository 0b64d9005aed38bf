//! Hooks of the kernel by which something could be done to files, programs and sockets, and
//! why those that have no program here need none.
//!
//! A kernel that is newer than this list may have more. A test in guests compares it with
//! the running kernel, so that a new way to open a file is seen before somebody uses it.

use std::collections::BTreeSet;

use bartizan_abi::hooks::HOOKS;

use super::btf::Types;
use super::environment;
use super::error::LoadError;

/// What hooks on names, content, programs and sockets are called.
const FAMILIES: [&str; 8] = [
    "path_", "file_", "inode_", "socket_", "sock_", "unix_", "mmap_", "bprm_",
];

/// Names that the kernel's own wrapper has for a hook of another name.
const WRAPPERS: &[(&str, &str)] = &[("bprm_check", "bprm_check_security")];

const BOOKKEEPING: &str =
    "a security module's own memory and labels; nothing is done to the object";
const BY_PATH: &str = "the path_ hook before it sees the same operation with the name";
const OPENED: &str = "acts on an open file, and opening, receiving and mapping it are judged";
const AFTERWARDS: &str = "says that something judged has happened";
const METADATA: &str = "attributes other than mode and owner are not judged";
const EXCHANGE: &str = "acts on a socket whose address or peer was judged";
const EXEC: &str = "a step of an exec that bprm_check_security judges";

/// Hooks without a program, and why.
pub(super) const OUT_OF_SCOPE: &[(&str, &str)] = &[
    ("bprm_committed_creds", EXEC),
    ("bprm_committing_creds", EXEC),
    ("bprm_creds_for_exec", EXEC),
    ("bprm_creds_from_file", EXEC),
    ("file_alloc", BOOKKEEPING),
    ("file_alloc_security", BOOKKEEPING),
    ("file_fcntl", OPENED),
    ("file_free", BOOKKEEPING),
    ("file_free_security", BOOKKEEPING),
    ("file_ioctl", OPENED),
    ("file_ioctl_compat", OPENED),
    ("file_lock", OPENED),
    ("file_permission", OPENED),
    ("file_post_open", AFTERWARDS),
    ("file_release", AFTERWARDS),
    ("file_send_sigiotask", "a signal, no access"),
    ("file_set_fowner", OPENED),
    ("inode_alloc", BOOKKEEPING),
    ("inode_alloc_security", BOOKKEEPING),
    (
        "inode_copy_up",
        "the overlay's own copy of a file that was opened",
    ),
    (
        "inode_copy_up_xattr",
        "the overlay's own copy of a file that was opened",
    ),
    ("inode_create", BY_PATH),
    ("inode_file_getattr", METADATA),
    ("inode_file_setattr", METADATA),
    (
        "inode_follow_link",
        "the link's target is judged when it is used",
    ),
    ("inode_free", BOOKKEEPING),
    ("inode_free_security", BOOKKEEPING),
    ("inode_free_security_rcu", BOOKKEEPING),
    ("inode_get_acl", METADATA),
    ("inode_getattr", METADATA),
    ("inode_getlsmprop", BOOKKEEPING),
    ("inode_getsecctx", BOOKKEEPING),
    ("inode_getsecid", BOOKKEEPING),
    ("inode_getsecurity", BOOKKEEPING),
    ("inode_getxattr", METADATA),
    ("inode_init_security", BOOKKEEPING),
    ("inode_invalidate_secctx", BOOKKEEPING),
    ("inode_killpriv", "the kernel's own removal of privileges"),
    ("inode_link", BY_PATH),
    ("inode_listsecurity", BOOKKEEPING),
    ("inode_listxattr", METADATA),
    ("inode_mkdir", BY_PATH),
    ("inode_mknod", BY_PATH),
    (
        "inode_need_killpriv",
        "the kernel's own removal of privileges",
    ),
    ("inode_notifysecctx", BOOKKEEPING),
    (
        "inode_permission",
        "each component of each path; what is done to the last one is judged",
    ),
    ("inode_post_create_tmpfile", AFTERWARDS),
    ("inode_post_remove_acl", AFTERWARDS),
    ("inode_post_removexattr", AFTERWARDS),
    ("inode_post_set_acl", AFTERWARDS),
    ("inode_post_setattr", AFTERWARDS),
    ("inode_post_setxattr", AFTERWARDS),
    ("inode_readlink", "reads a name, no content"),
    ("inode_remove_acl", METADATA),
    ("inode_removexattr", METADATA),
    ("inode_rename", BY_PATH),
    ("inode_rmdir", BY_PATH),
    ("inode_set_acl", METADATA),
    ("inode_setattr", BY_PATH),
    ("inode_setintegrity", BOOKKEEPING),
    ("inode_setsecctx", BOOKKEEPING),
    ("inode_setsecurity", BOOKKEEPING),
    ("inode_setxattr", METADATA),
    ("inode_symlink", BY_PATH),
    ("inode_unlink", BY_PATH),
    ("inode_xattr_skipcap", METADATA),
    ("mmap_addr", "where in its own memory a process maps"),
    (
        "mmap_backing_file",
        "mmap_file judges the overlay's file that it is behind",
    ),
    ("path_chroot", "names don't depend on the root directory"),
    (
        "path_notify",
        "tells when something happens, not what is in it",
    ),
    ("path_post_mknod", AFTERWARDS),
    ("sock_graft", BOOKKEEPING),
    ("sock_rcv_skb", EXCHANGE),
    ("socket_getpeername", EXCHANGE),
    ("socket_getpeersec_dgram", BOOKKEEPING),
    ("socket_getpeersec_stream", BOOKKEEPING),
    ("socket_getsockname", EXCHANGE),
    ("socket_getsockopt", EXCHANGE),
    ("socket_post_create", AFTERWARDS),
    ("socket_recvmsg", EXCHANGE),
    ("socket_setsockopt", EXCHANGE),
    ("socket_shutdown", EXCHANGE),
    ("socket_sock_rcv_skb", EXCHANGE),
    ("socket_socketpair", "both ends are new, and the caller's"),
    (
        "unix_find",
        "unix_stream_connect and unix_may_send judge what was found",
    ),
];

/// Hooks of the running kernel that nobody has thought about: neither judged nor out of
/// scope, by the names of the kernel's own functions. Fails if its types can't be read.
pub fn unknown_hooks() -> Result<Vec<String>, LoadError> {
    let bytes = environment::btf()?;
    let types = Types::parse(&bytes).map_err(LoadError::Structures)?;
    Ok(unknown(types.functions()))
}

fn unknown<'a>(functions: impl Iterator<Item = &'a str>) -> Vec<String> {
    let found: BTreeSet<&str> = functions
        .filter_map(|name| {
            name.strip_prefix("security_")
                .or_else(|| name.strip_prefix("bpf_lsm_"))
        })
        .filter(|name| FAMILIES.iter().any(|family| name.starts_with(family)))
        .filter(|name| !is_known(name))
        .collect();
    found.into_iter().map(str::to_owned).collect()
}

fn is_known(name: &str) -> bool {
    let alias = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name);
    let name = alias.map_or(name, |(_, hook)| hook);
    HOOKS.iter().any(|hook| hook.name == name) || OUT_OF_SCOPE.iter().any(|(out, _)| *out == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_judged_or_out_of_scope_and_never_both() {
        for (name, reason) in OUT_OF_SCOPE {
            assert!(!HOOKS.iter().any(|hook| hook.name == *name), "{name}");
            assert!(FAMILIES.iter().any(|family| name.starts_with(family)));
            assert!(!reason.is_empty(), "{name}");
        }
        assert!(OUT_OF_SCOPE.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn what_nobody_has_thought_about_is_named() {
        let functions = [
            "security_file_open",
            "security_bprm_check",
            "security_path_teleport",
            "bpf_lsm_path_teleport",
            "bpf_lsm_inode_whisper",
            "security_capable",
            "path_lookup",
        ];
        let found = unknown(functions.into_iter());
        assert_eq!(found, ["inode_whisper", "path_teleport"]);
    }
}
