//! Operations that a policy denies as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is denied as a whole, whoever does it and to what. What is left out is not
/// restricted by this policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restrictions {
    /// Mounting, unmounting, moving and pivoting mounts, and changing their flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub mounts: Option<Restriction>,
    /// Tracing other processes, and reading or writing their memory. What `ps` reads is
    /// not among it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub ptrace: Option<Restriction>,
    /// The system call `bpf`, whatever the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub bpf: Option<Restriction>,
    /// Making user namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub user_namespaces: Option<Restriction>,
    /// Loading modules into the kernel, those included that the kernel loads because a
    /// process uses something that it doesn't have yet; replacing the kernel (`kexec`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub module_load: Option<Restriction>,
    /// Setting up an `io_uring`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Restriction")]
    pub io_uring: Option<Restriction>,
}

/// Whether something is denied as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restriction {
    /// This policy doesn't restrict it, as if it were left out. If another one denies it,
    /// it is denied.
    Allow,
    /// It is denied, whatever allows it.
    Deny,
}

/// An operation that policies restrict as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestrictedOperation {
    /// `mounts`
    Mount,
    /// `ptrace`
    Ptrace,
    /// `bpf`
    Bpf,
    /// `userNamespaces`
    UserNamespace,
    /// `moduleLoad`
    ModuleLoad,
    /// `ioUring`
    IoUring,
}
