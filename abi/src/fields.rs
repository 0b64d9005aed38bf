//! Kernel structure fields that the programs read, with the name of the frozen
//! global that carries each offset.
//!
//! rustc emits no CO-RE relocations; the loader finds the offsets in the running
//! kernel's BTF and writes them into `.rodata` before the programs are verified.

/// One offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the `u64` global in the object.
    pub global: &'static str,
    /// Kernel structure.
    pub structure: &'static str,
    /// Path of members, dotted.
    pub member: &'static str,
    /// What the loader must find there, if the programs have it compiled in.
    pub fixed: Option<u64>,
    /// The global carries the offset in bits, for a bit field.
    pub bits: bool,
    /// Whether start-up fails without it; a field that may be missing is [`ABSENT`] then.
    pub need: Need,
}

/// When a kernel must have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Always.
    Always,
    /// Never.
    Never,
    /// If it hasn't the field of this global, which is listed before.
    Without(&'static str),
}

/// Value of a field that the kernel doesn't have.
pub const ABSENT: u64 = u64::MAX;

const fn field(global: &'static str, structure: &'static str, member: &'static str) -> Field {
    Field {
        global,
        structure,
        member,
        fixed: None,
        bits: false,
        need: Need::Always,
    }
}

/// Offsets of `struct dentry`, equal on every kernel from 5.10 to 7.3: compiled in,
/// because a load per component and offset costs 40 instructions on a path of five.
pub mod dentry {
    /// `d_parent`
    pub const PARENT: usize = 24;
    /// `d_name.len`
    pub const LEN: usize = 36;
    /// `d_name.name`
    pub const NAME: usize = 40;
    /// `d_inode`
    pub const INODE: usize = 48;
    /// Names below 32 bytes are here (`d_iname`, `d_shortname` since 6.14).
    pub const INLINE: usize = 56;
}

const fn fixed(global: &'static str, member: &'static str, offset: usize) -> Field {
    Field {
        global,
        structure: "dentry",
        member,
        fixed: Some(offset as u64),
        bits: false,
        need: Need::Always,
    }
}

/// All fields.
pub const FIELDS: &[Field] = &[
    fixed("", "d_parent", dentry::PARENT),
    fixed("", "d_name.len", dentry::LEN),
    fixed("", "d_name.name", dentry::NAME),
    fixed("", "d_inode", dentry::INODE),
    field("DENTRY_SB", "dentry", "d_sb"),
    field("SB_DEV", "super_block", "s_dev"),
    field("SB_FLAGS", "super_block", "s_flags"),
    field("SB_MAGIC", "super_block", "s_magic"),
    field("SB_ROOT", "super_block", "s_root"),
    field("INODE_INO", "inode", "i_ino"),
    field("INODE_UID", "inode", "i_uid"),
    field("FILE_DENTRY", "file", "f_path.dentry"),
    field("FILE_MODE", "file", "f_mode"),
    field("FILE_FLAGS", "file", "f_flags"),
    field("FILE_INODE", "file", "f_inode"),
    field("FILE_PRIVATE", "file", "private_data"),
    field("INODE_ALIASES", "inode", "i_dentry.first"),
    field("PATH_DENTRY", "path", "dentry"),
    field("BPRM_FILE", "linux_binprm", "file"),
    field("VMA_FILE", "vm_area_struct", "vm_file"),
    field("VMA_FLAGS", "vm_area_struct", "vm_flags"),
    field("TASK_MM", "task_struct", "mm"),
    field("TASK_FS", "task_struct", "fs"),
    field("TASK_CRED", "task_struct", "cred"),
    field("TASK_PARENT", "task_struct", "real_parent"),
    field("TASK_TGID", "task_struct", "tgid"),
    field("TASK_PID", "task_struct", "pid"),
    field("TASK_LEADER", "task_struct", "group_leader"),
    field("TASK_STARTED", "task_struct", "start_boottime"),
    field("TASK_EXEC_ID", "task_struct", "self_exec_id"),
    Field {
        bits: true,
        ..field("TASK_IN_EXECVE", "task_struct", "in_execve")
    },
    field("TASK_CGROUPS", "task_struct", "cgroups"),
    field("CSS_SET_CGROUP", "css_set", "dfl_cgrp"),
    field("CRED_FSUID", "cred", "fsuid"),
    field("MM_EXE_FILE", "mm_struct", "exe_file"),
    field("FS_ROOT", "fs_struct", "root.dentry"),
    field("SOCKET_SK", "socket", "sk"),
    field("SOCK_FAMILY", "sock", "__sk_common.skc_family"),
    field("SOCK_PROTOCOL", "sock", "sk_protocol"),
    field("SOCK_PORT", "sock", "__sk_common.skc_num"),
    field("SOCK_ADDRESS", "sock", "__sk_common.skc_rcv_saddr"),
    field("SOCK_ADDRESS6", "sock", "__sk_common.skc_v6_rcv_saddr"),
    field("INET_SOURCE", "inet_sock", "inet_saddr"),
    field("UNIX_DENTRY", "unix_sock", "path.dentry"),
    field("UNIX_ADDRESS", "unix_sock", "addr"),
    field("UNIX_ADDRESS_LENGTH", "unix_address", "len"),
    field("UNIX_ADDRESS_NAME", "unix_address", "name"),
    field("MSG_NAME", "msghdr", "msg_name"),
    field("MSG_FLAGS", "msghdr", "msg_flags"),
    field("MOUNT_ROOT", "vfsmount", "mnt_root"),
    field("STRING_BYTES", "qstr", "name"),
    field("TASK_REAL_CRED", "task_struct", "real_cred"),
    field("TASK_FLAGS", "task_struct", "flags"),
    Field {
        // Missing in a kernel without io_uring.
        need: Need::Never,
        ..field("TASK_IO_URING", "task_struct", "io_uring")
    },
    field("CALL_NUMBER", "pt_regs", "orig_ax"),
    field("CGROUP_KN", "cgroup", "kn"),
    field("CGROUP_PARENT", "cgroup", "self.parent"),
    field("CGROUP_ROOT", "cgroup", "root"),
    field("ROOT_HIERARCHY", "cgroup_root", "hierarchy_id"),
    field("CSS_CGROUP", "cgroup_subsys_state", "cgroup"),
    field("KN_ID", "kernfs_node", "id"),
    field("KN_NAME", "kernfs_node", "name"),
    Field {
        // Since 6.5; before, an overlay's backing file carries the user's path itself.
        need: Need::Never,
        ..field("BACKING_PATH", "backing_file", "user_path.dentry")
    },
    Field {
        need: Need::Without("BACKING_PATH"),
        ..field("DENTRY_ALIASES", "dentry", "d_u.d_alias")
    },
];
