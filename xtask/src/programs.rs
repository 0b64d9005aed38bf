//! Our own programs for guests and images: static, because these have no libraries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run, say};
use crate::vm::Image;
use crate::{ebpf, paths};

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
pub(crate) const SEPARATOR: &str = "\x1f";
const STATIC: &str = "-Ctarget-feature=+crt-static";
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
    let target = paths::target().join("guest");
    let mut build = cargo();
    build
        // `--target` keeps these flags away from build scripts and macros.
        .env("CARGO_ENCODED_RUSTFLAGS", STATIC)
        .args(["build", "--locked", "--quiet", "--bins", "--target", TARGET])
        .args(["--profile", "guest", "--target-dir"])
        .arg(&target);
    for package in packages {
        build.args(["--package", package]);
    }
    run(&mut build)?;
    Ok(target.join(TARGET).join("guest"))
}

/// Builds a program of the workspace as it is released, for an image; returns its path.
///
/// It doesn't depend on where the checkout and cargo's folders are.
pub(crate) fn build_released(program: &str, features: &str) -> Result<PathBuf> {
    say(format!("building {program}, static and optimised"));
    let remapped = paths::remapped()?.join(SEPARATOR);
    run(cargo()
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            [STATIC, &remapped].join(SEPARATOR),
        )
        .args(["build", "--locked", "--quiet", "--release"])
        .args(["--target", TARGET, "--bin", program])
        .args(["--package", program, "--features", features]))?;
    let built = paths::target().join(TARGET).join("release").join(program);
    tells_no_path(&built)?;
    Ok(built)
}

/// Fails if a program has this machine's paths in it: built elsewhere it would be another.
fn tells_no_path(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("can't read {}", program.display()))?;
    for (folder, _) in paths::of_machine()? {
        let folder = format!("{}/", folder.display());
        if memchr::memmem::find(&bytes, folder.as_bytes()).is_some() {
            bail!("{} has paths below {folder} in it", program.display());
        }
    }
    Ok(())
}
