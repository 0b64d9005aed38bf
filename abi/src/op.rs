//! Operations: what a rule names, a hook judges and an event reports.
//!
//! All operations of all categories share one `u32` of bits, so that masks of
//! different categories can be combined without translation.

/// A set of operations, one bit each.
pub type Ops = u32;

/// Which list of rules judges an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Category {
    /// Program execution.
    Process = 0,
    /// Files and directories.
    Files = 1,
    /// Sockets and addresses.
    Network = 2,
    /// Capabilities.
    Capabilities = 3,
    /// What a policy restricts as a whole.
    Restrict = 4,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal, $category:ident;)*) => {
        /// One judged operation. The discriminant is its bit number in [`Ops`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Operation { $($(#[$doc])* $name = $bit,)* }

        impl Operation {
            /// Every operation, in bit order.
            pub const ALL: &'static [Operation] = &[$(Operation::$name,)*];

            /// Name in policies, events, metrics and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$name => $text,)* }
            }

            /// The category whose rules judge it.
            pub const fn category(self) -> Category {
                match self { $(Operation::$name => Category::$category,)* }
            }
        }
    };
}

operations! {
    /// Running a program (`execve`), scripts and their interpreters included.
    Exec = 0, "Exec", Process;
    /// Mapping a file executable (`mmap`, `mprotect`): how `ld.so PROGRAM` runs code.
    /// Judged by deny rules only: a default of Deny covers it only for files without a name.
    Map = 1, "Map", Process;
    /// Opening for reading; listing a directory.
    Read = 4, "Read", Files;
    /// Opening for writing.
    Write = 5, "Write", Files;
    /// Opening for appending.
    Append = 6, "Append", Files;
    /// Cutting a file's length.
    Truncate = 7, "Truncate", Files;
    /// Making a name: file, directory, node, symbolic link, new end of a link or rename.
    Create = 8, "Create", Files;
    /// Removing a name: unlink, rmdir, old end of a rename, a target that is replaced.
    Delete = 9, "Delete", Files;
    /// Moving the object away from its name; ancestors of protected names included.
    Rename = 10, "Rename", Files;
    /// Giving the object a second name (source of a hard link).
    Link = 11, "Link", Files;
    /// Changing mode bits.
    Chmod = 12, "Chmod", Files;
    /// Changing owner or group.
    Chown = 13, "Chown", Files;
    /// Connecting a socket to an address.
    Connect = 16, "Connect", Network;
    /// Binding a socket to an address.
    Bind = 17, "Bind", Network;
    /// Sending to an address given with the message.
    Send = 18, "Send", Network;
    /// Creating a socket.
    Socket = 19, "Socket", Network;
    /// Waiting for connections at the address that a socket has.
    Listen = 20, "Listen", Network;
    /// Taking a connection at the address that a socket has.
    Accept = 21, "Accept", Network;
    /// Using a capability.
    Capable = 24, "Capable", Capabilities;
    /// Changing mounts: mounting, unmounting, moving, pivoting, changing their flags.
    Mount = 25, "Mount", Restrict;
    /// Tracing another process, or reading or writing its memory.
    Ptrace = 26, "Ptrace", Restrict;
    /// Any call of `bpf(2)`.
    Bpf = 27, "Bpf", Restrict;
    /// Making a user namespace.
    UserNamespace = 28, "UserNamespace", Restrict;
    /// Loading code into the kernel: modules, by request of the kernel too, and kernels.
    ModuleLoad = 29, "ModuleLoad", Restrict;
    /// Setting up an `io_uring`.
    IoUring = 30, "IoUring", Restrict;
}

impl Operation {
    /// Its bit.
    pub const fn bit(self) -> Ops {
        1 << self as u8
    }

    /// The operation with that bit number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| *op as u8 == number)
    }
}

/// Operations of the `process` category.
pub const PROCESS_OPS: Ops = Operation::Exec.bit() | Operation::Map.bit();
/// Operations of the `files` category.
pub const FILE_OPS: Ops = 0x3ff0;
/// Operations judged by address.
pub const ADDRESS_OPS: Ops = Operation::Connect.bit()
    | Operation::Bind.bit()
    | Operation::Send.bit()
    | Operation::Listen.bit()
    | Operation::Accept.bit();
/// What a deny rule on a name takes along so that the object can't be moved
/// out from under it.
pub const MOVE_OPS: Ops = Operation::Rename.bit() | Operation::Link.bit();
