//! Which Rust compiler builds the BPF programs.
//!
//! `core` has to be built for the BPF target, from exactly the source that belongs to
//! the compiler. Where rustup has the `rust-src` component that is the usual compiler;
//! elsewhere Debian packages a matching pair.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::output;
use crate::setup;

/// A compiler with the source of its library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// One of rustup's, by name (`None`: the one in use).
    Rustup(Option<String>),
    /// `rustc-web` and `rust-web-src`.
    Debian,
}

impl Toolchain {
    const DEBIAN_RUSTC: &'static str = "/usr/bin/rustc";

    fn find() -> Result<Self> {
        Self::present().context(
            "no Rust toolchain has the source of its library: run \
             `rustup component add rust-src`, or on Debian 12 \
             `apt-get install rustc-web rust-web-src`",
        )
    }

    /// The first that is there; installs Debian's where there is none.
    pub(crate) fn find_or_install() -> Result<Self> {
        if Self::present().is_none() {
            setup::install_rust_with_source()?;
        }
        Self::find()
    }

    /// Makes cargo use this compiler, with the unstable flags that building `core` needs.
    pub(crate) fn select(&self, cargo: &mut Command) {
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        match self {
            Self::Rustup(None) => {}
            Self::Rustup(Some(name)) => {
                cargo.env("RUSTUP_TOOLCHAIN", name).env_remove("RUSTC");
            }
            Self::Debian => {
                cargo.env("RUSTC", Self::DEBIAN_RUSTC);
            }
        }
    }

    fn present() -> Option<Self> {
        if has_source(Command::new("rustc")) {
            return Some(Self::Rustup(None));
        }
        if has_source(Command::new(Self::DEBIAN_RUSTC)) {
            return Some(Self::Debian);
        }
        let nightly = "nightly";
        let mut rustc = Command::new("rustc");
        rustc.env("RUSTUP_TOOLCHAIN", nightly);
        has_source(rustc).then(|| Self::Rustup(Some(nightly.to_owned())))
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustup(None) => f.write_str("the Rust toolchain in use (it has rust-src)"),
            Self::Rustup(Some(name)) => write!(f, "rustup's {name} (it has rust-src)"),
            Self::Debian => f.write_str("Debian's rustc-web and rust-web-src"),
        }
    }
}

fn has_source(mut rustc: Command) -> bool {
    let sysroot = output(rustc.args(["--print", "sysroot"]));
    sysroot.is_ok_and(|path| core_source(Path::new(path.trim())).is_file())
}

fn core_source(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml")
}
