//! Changes that were not made.

use bartizan_abi::limits::MAX_WORKLOADS;
use bartizan_policy::compile::CompileError;
use bartizan_policy::link::LinkError;

use crate::bpf::{LoadError, MapError};
use crate::mounts::MountError;

/// A change that was not made; what was enforced before still is.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Policies that make no rule map.
    #[error("the policies for {workload} can't be linked")]
    Link {
        /// Whose.
        workload: String,
        /// Why not.
        #[source]
        source: LinkError,
    },
    /// Rules that don't fit the tables.
    #[error("the rules for {workload} can't be compiled")]
    Compile {
        /// Whose.
        workload: String,
        /// Why not.
        #[source]
        source: CompileError,
    },
    /// A mount table that doesn't fit.
    #[error("the mounts of {workload} can't be used")]
    Mounts {
        /// Whose.
        workload: String,
        /// Why not.
        #[source]
        source: MountError,
    },
    /// A kernel hook that can't be attached.
    #[error("the kernel hooks can't be attached")]
    Hooks(#[source] LoadError),
    /// A kernel map that can't be changed.
    #[error("the kernel's maps can't be changed")]
    Maps(#[source] MapError),
    /// Too many workloads.
    #[error("{MAX_WORKLOADS} workloads are enforced already")]
    TooManyWorkloads,
}

impl EngineError {
    /// The error's kind as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Link { source, .. } => source.reason(),
            Self::Compile { source, .. } => source.reason(),
            Self::Mounts { source, .. } => source.reason(),
            Self::Hooks(_) => "HooksFailed",
            Self::Maps(_) => "MapsFailed",
            Self::TooManyWorkloads => "TooManyWorkloads",
        }
    }
}
