//! Our own programs for guests: static, because a guest has no libraries.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::{cargo, run, say};
use crate::vm::Image;
use crate::{ebpf, paths};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Packages whose programs every guest with Bartizan has.
const BARTIZAN: [(&str, &str); 2] = [
    ("bartizan-enforcer", "bartizan-enforcer"),
    ("bartizan", "bartizan"),
];
const OBJECT: &str = "/usr/lib/bartizan/bartizan-lsm.o";

/// The enforcer, the CLI, the kernel programs, and programs of further packages.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    object: PathBuf,
}

impl Programs {
    /// Builds everything that is out of date.
    pub(crate) fn build(packages: &[&str]) -> Result<Self> {
        let object = ebpf::Build::default().run()?;
        let bartizan = BARTIZAN.map(|(package, _)| package);
        let folder = build_static(&[&bartizan, packages].concat())?;
        Ok(Self { folder, object })
    }

    /// The built program of that name.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Puts Bartizan into an image, in `/usr/bin` and ready to run.
    pub(crate) fn install(&self, image: &mut Image) -> Result<()> {
        for (_, program) in BARTIZAN {
            self.install_one(program, image)?;
        }
        image.host(&self.object, OBJECT)?;
        image.environment("BARTIZAN_LSM_OBJECT", OBJECT);
        let samples = paths::root().join("config/samples");
        if samples.is_dir() {
            image.host(&samples, "/usr/share/bartizan/samples")?;
        }
        Ok(())
    }

    /// Puts one further program into `/usr/bin`.
    pub(crate) fn install_one(&self, program: &str, image: &mut Image) -> Result<()> {
        image.host(&self.path(program), &format!("/usr/bin/{program}"))
    }
}

/// Builds the programs of some packages of the workspace; returns the folder they are in.
fn build_static(packages: &[&str]) -> Result<PathBuf> {
    say(format!("building {} for guests", packages.join(", ")));
    let target: &Path = &paths::target().join("guest");
    let mut build = cargo();
    build
        // `--target` keeps these flags away from build scripts and macros.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args([
            "build",
            "--quiet",
            "--bins",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target);
    for package in packages {
        build.args(["--package", package]);
    }
    run(&mut build)?;
    Ok(target.join(TARGET).join("guest"))
}
