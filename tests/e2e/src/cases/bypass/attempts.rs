//! What is tried, by the rule that is in its way.

use super::super::Technique;

/// Attempts that are refused with EACCES, by rule. One container makes all of a group.
pub(in crate::cases) const REFUSED: [(&str, &[Technique]); 6] = [
    (
        "no-reading",
        &[
            ("read", "the path as rules have it"),
            ("read-relative", "a relative path"),
            ("read-dots", "a path with `.` and `..`"),
            (
                "read-openat",
                "`openat` below a directory opened with `O_PATH`",
            ),
            ("read-symlink", "a symbolic link to the file"),
            (
                "read-symlinked-directory",
                "a symbolic link to its directory",
            ),
            ("read-proc-root", "`/proc/self/root/...`"),
            ("read-proc-cwd", "`/proc/self/cwd/...`"),
            (
                "read-proc-fd",
                "an `O_PATH` descriptor, opened again through `/proc/self/fd`",
            ),
            ("read-chroot", "`chroot` into the file's directory"),
            (
                "read-bind-mount",
                "a bind mount of its directory, in a new mount namespace",
            ),
            ("read-bind-mounted-file", "a bind mount of the file itself"),
            (
                "read-detached-mount",
                "a mount that is nowhere: `open_tree` with `OPEN_TREE_CLONE`",
            ),
            (
                "read-new-namespaces",
                "new user, mount and pid namespaces (`unshare -Urmp`), and a bind mount there",
            ),
            (
                "read-nested-cgroup",
                "a move into a cgroup below the container's",
            ),
            ("read-thread", "another thread"),
            (
                "read-deleted",
                "an `O_PATH` descriptor, opened again when the file was removed",
            ),
            (
                "mounted-moved",
                "a tree that `open_tree` cloned, moved to a place with `move_mount`",
            ),
            (
                "mounted-read-only",
                "a bind mount, made read-only with `MS_REMOUNT`",
            ),
            (
                "mounted-for-others",
                "a mount whose files have other owners (`MOUNT_ATTR_IDMAP`)",
            ),
            (
                "mounted-in-another-root",
                "`/proc/PID/root` of a process that has its directory at another place",
            ),
            (
                "mounted-overlay",
                "an overlay whose lower layer its directory is",
            ),
            (
                "mounted-overlay-as-root-of-a-namespace",
                "the same in a new user namespace, without any privilege",
            ),
            (
                "mounted-overlay-copied-up",
                "the same, with a layer above to which it is copied when it is opened for writing",
            ),
            (
                "read-odd-bytes",
                "a name that is not UTF-8, which a glob matches",
            ),
            ("crowd-forks", "500 processes that fork one another"),
            (
                "crowd-read-while-renamed",
                "while two other directories change places all the time",
            ),
            ("link", "a hard link to a name that no rule knows"),
            ("rename", "a move to a name that no rule knows"),
            (
                "rename-directory",
                "a move of its directory, so that the file has another path",
            ),
            (
                "rename-mount-point",
                "a move of a directory on which something is mounted",
            ),
            (
                "rename-exchange",
                "`RENAME_EXCHANGE` with another file, given as the second",
            ),
            ("rename-exchange-from", "the same, given as the first"),
            ("uring-open", "`IORING_OP_OPENAT`"),
            ("uring-open-by-worker", "the same, done by a worker thread"),
            (
                "uring-open-by-kernel-thread",
                "the same without a system call: `IORING_SETUP_SQPOLL`",
            ),
            ("uring-rename", "`IORING_OP_RENAMEAT`"),
            ("uring-link", "`IORING_OP_LINKAT`"),
        ],
    ),
    (
        "nothing-at-all",
        &[
            (
                "rename-over",
                "a move of another file over a protected name",
            ),
            ("vault-mknod", "`mknod` in a protected directory"),
            ("vault-socket", "a socket bound to a name in it"),
            ("vault-mkdir", "a directory made in it"),
            ("vault-symlink", "a symbolic link made in it"),
            ("vault-link", "a hard link made in it"),
            ("vault-unlink", "a name removed from it"),
            ("uring-unlink", "the same by `IORING_OP_UNLINKAT`"),
            (
                "tmpfile-link",
                "a file without a name (`O_TMPFILE`) that is given one in it",
            ),
            ("vault-list", "a directory below it, listed"),
            (
                "mounted-overlay-of-the-vault",
                "a file in it, written through an overlay whose upper layer it is",
            ),
            (
                "vault-create-in-bind-mount",
                "something made in it through a bind mount",
            ),
        ],
    ),
    (
        "no-tool",
        &[
            ("exec", "the path as rules have it"),
            ("exec-relative", "a relative path"),
            ("exec-symlink", "a symbolic link to the program"),
            ("exec-hard-link", "a hard link to it"),
            ("exec-rename", "a move of it"),
            ("exec-proc-root", "`/proc/self/root/...`"),
            (
                "exec-descriptor",
                "an `O_PATH` descriptor, run through `/proc/self/fd`",
            ),
            ("exec-chroot", "`chroot` into its directory"),
            ("exec-bind-mount", "a bind mount of its directory"),
            (
                "exec-new-namespaces",
                "new user, mount and pid namespaces, and a bind mount there",
            ),
            (
                "exec-nested-cgroup",
                "a move into a cgroup below the container's",
            ),
            ("exec-script-of-tool", "a script whose interpreter it is"),
            (
                "exec-interpreter",
                "a program whose ELF interpreter (`PT_INTERP`) it is; the exec ends with `SIGSEGV`",
            ),
            ("map", "`mmap` with `PROT_EXEC`, as a loader does"),
            (
                "map-then-protect",
                "`mmap` for reading, then `mprotect` with `PROT_EXEC`",
            ),
            (
                "loader",
                "the dynamic loader: `ld-linux-x86-64.so.2 PROGRAM`",
            ),
            (
                "crowd-exec-by-threads",
                "four threads that each want the process to become it",
            ),
            (
                "misc",
                "`binfmt_misc`: a kind of files whose interpreter it is",
            ),
            (
                "misc-opened-before",
                "the same, with the interpreter opened when the kind was made known",
            ),
            (
                "mounted-overlay-exec",
                "an overlay whose lower layer its directory is",
            ),
            ("mounted-overlay-map", "the same, mapped as a loader does"),
            (
                "mounted-overlay-protect",
                "the same, mapped for reading and made executable by `mprotect`",
            ),
            ("mounted-overlay-loader", "the same by the dynamic loader"),
            (
                "mounted-overlay-on-overlay-exec",
                "an overlay whose lower layer is another that has it",
            ),
            (
                "mounted-overlay-on-overlay-map",
                "the same, mapped as a loader does",
            ),
        ],
    ),
    (
        "no-library",
        &[(
            "preload",
            "a library by `LD_PRELOAD`; the program goes on without it",
        )],
    ),
    (
        "no-script",
        &[(
            "exec-script",
            "a script that is denied, whose interpreter is not",
        )],
    ),
    (
        "not-by-heirs",
        &[
            (
                "inherited-map-shared",
                "a descriptor that was inherited, mapped shared and writable",
            ),
            (
                "inherited-protect-shared",
                "the same, mapped for reading and made writable by `mprotect`",
            ),
            ("inherited-truncate", "the same, cut by `ftruncate`"),
            (
                "inherited-taken",
                "one that is not inherited, taken from its owner by `pidfd_getfd`",
            ),
        ],
    ),
];

/// Attempts that are refused with EPERM, by the default of the network.
pub(in crate::cases) const NOT_PERMITTED: [Technique; 21] = [
    (
        "fast-open",
        "TCP fast open: `sendmsg` with `MSG_FASTOPEN` connects",
    ),
    (
        "fast-open-mapped",
        "the same to an IPv4-mapped IPv6 address",
    ),
    (
        "fast-open-datagram",
        "`MSG_FASTOPEN` on UDP, where it means nothing, to hide a `Send`",
    ),
    (
        "listen-unbound",
        "`listen` on a socket that was never bound",
    ),
    (
        "unix-path-of-link",
        "a Unix socket by a symbolic link to it",
    ),
    (
        "raw-without-family",
        "an address whose family is 0, which raw IPv6 sockets take for theirs",
    ),
    (
        "send-without-family",
        "the same to a UDP socket, which takes it for IPv4",
    ),
    ("bind-without-family", "the same, to bind a TCP socket to"),
    (
        "send-many",
        "`sendmmsg` of a message that is allowed and one that isn't",
    ),
    (
        "connect-again",
        "a UDP socket that is connected to where it may be, and then to somewhere else",
    ),
    (
        "connect-after-unspec",
        "the same, disconnected (`AF_UNSPEC`) in between",
    ),
    (
        "connect-unspecified",
        "`0.0.0.0` from a socket that is bound, which leads to its own address",
    ),
    (
        "connect-unspecified-mapped",
        "`::` from an IPv6 socket that is bound to IPv4, which leads to 127.0.0.1",
    ),
    ("connect-mapped", "an IPv4-mapped IPv6 address"),
    ("connect-scoped", "a link-local IPv6 address with a scope"),
    ("connect-multipath", "MPTCP"),
    ("socket-vsock", "a socket to the hypervisor (`AF_VSOCK`)"),
    ("socket-packet", "a packet socket"),
    (
        "socket-smc",
        "`AF_SMC`, which makes TCP connections of its own",
    ),
    ("unix-abstract", "a Unix socket by an abstract name"),
    ("uring-connect", "`IORING_OP_CONNECT`"),
];

/// What no rule has anything to say of.
pub(super) const ALLOWED: [&str; 6] = [
    "unix-pair",
    "inherited-map-private",
    "exec-good-script",
    "exec-copy",
    "exec-memfd",
    "loader-of-good",
];

/// Attempts that take a capability which is denied.
pub(in crate::cases) const CAPABLE: [Technique; 3] = [
    (
        "uring-private",
        "a file that takes `DAC_OVERRIDE`, opened by `IORING_OP_OPENAT`",
    ),
    (
        "uring-private-by-worker",
        "the same, done by a worker thread",
    ),
    (
        "uring-private-by-personality",
        "the same with credentials that the ring has kept (`IORING_REGISTER_PERSONALITY`)",
    ),
];
