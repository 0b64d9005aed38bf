//! What a case is, and what it gets to work with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

/// The kind of guest that a case needs. The host knows how to boot each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// BPF among the security modules, cgroup v2 mounted.
    Standard,
    /// A kernel without BPF in its list of security modules.
    WithoutBpf,
    /// Only a cgroup v1 hierarchy is mounted.
    CgroupV1,
}

impl Guest {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Standard, Self::WithoutBpf, Self::CgroupV1];

    /// As the host calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::WithoutBpf => "without-bpf",
            Self::CgroupV1 => "cgroup-v1",
        }
    }
}

/// One test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// A fact, with its topic in front: `exec/denied_by_path`.
    pub(crate) name: &'static str,
    /// Where it runs.
    pub(crate) guest: Guest,
    /// How long it may take in an emulated machine.
    pub(crate) time_limit: Duration,
    /// The test: fails with a reason, or with [`skip`].
    pub(crate) run: fn(&Context) -> Result<()>,
}

impl Case {
    /// A case for the standard guest.
    pub(crate) const fn new(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            name,
            guest: Guest::Standard,
            time_limit: Duration::from_mins(1),
            run,
        }
    }

    /// The same case for another kind of guest.
    pub(crate) const fn on(mut self, guest: Guest) -> Self {
        self.guest = guest;
        self
    }
}

/// Where things are in the guest.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// `bartizan-enforcer`; it finds the kernel programs through its environment.
    pub(crate) enforcer: PathBuf,
    /// `bartizan`.
    pub(crate) cli: PathBuf,
    /// The sample policies.
    pub(crate) samples: PathBuf,
    /// An empty folder for this case alone.
    pub(crate) scratch: PathBuf,
}

impl Context {
    /// The guest's layout, which `cargo xtask e2e` packs.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Self {
            enforcer: PathBuf::from("/usr/bin/bartizan-enforcer"),
            cli: PathBuf::from("/usr/bin/bartizan"),
            samples: PathBuf::from("/usr/share/bartizan/samples"),
            scratch,
        }
    }
}

/// Why a case could not be judged.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Ends a case that this kernel can't judge: `return skip("no io_uring")`.
#[expect(dead_code, reason = "no case needs it yet")]
pub(crate) fn skip(reason: impl Into<String>) -> Result<()> {
    Err(anyhow::Error::new(Skipped(reason.into())))
}
