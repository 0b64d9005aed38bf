//! Builds the BPF programs, which no plain `cargo build` can: they need a compiler with
//! the source of its `core`, and bpf-linker.

mod toolchain;

pub(crate) use toolchain::Toolchain;

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::Args;
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

use crate::command::{self, run, say};
use crate::programs::SEPARATOR;
use crate::{paths, setup};

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "bartizan-ebpf-lsm";
const PROGRAM: &str = "bartizan-lsm";

/// What to build.
#[derive(Args, Debug, Default)]
pub(crate) struct Build {
    /// Features of bartizan-ebpf-lsm, separated by commas
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Where to put the object [default: target/bpf/bartizan-lsm.o]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Build {
    /// Compiles, links and returns the path of the object.
    pub(crate) fn run(&self) -> Result<PathBuf> {
        // What is built in the background needs it as well.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let toolchain = Toolchain::find_or_install()?;
        let linker = setup::bpf_linker()?;
        say(format!(
            "building the BPF programs with {toolchain} and {}",
            linker.display()
        ));
        let [root, target, cargo_home] = paths::remapped()?;
        let flags = [
            root,
            target,
            cargo_home,
            "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
            "-Cdebuginfo=2".to_owned(),
            format!("-Clinker={}", linker.display()),
            "-Clink-arg=--btf".to_owned(),
            // All comparisons, but no arithmetic of 32 bits: it doubles the verifier's work.
            "-Ctarget-cpu=v2".to_owned(),
        ];
        let mut cargo = command::cargo();
        toolchain.select(&mut cargo);
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
            .args(["build", "--locked", "--quiet"])
            .args(["--package", PACKAGE, "--bin", PROGRAM])
            .args([
                "--target",
                TARGET,
                "--profile",
                "bpf",
                "-Z",
                "build-std=core",
            ]);
        if !self.features.is_empty() {
            cargo.args(["--features", &self.features.join(",")]);
        }
        run(&mut cargo)?;
        let built = paths::target().join(TARGET).join("bpf").join(PROGRAM);
        let object = self.output.clone().unwrap_or_else(paths::bpf_object);
        if let Some(dir) = object.parent() {
            paths::make(dir)?;
        }
        let program =
            fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
        let program = without_debug_information(&program)
            .with_context(|| format!("can't strip {}", built.display()))?;
        // What embeds it is built again whenever it is newer, which takes minutes.
        if fs::read(&object).is_ok_and(|before| before == program) {
            return Ok(object);
        }
        // A compiler that embeds it may be at work.
        let new = object.with_extension("new");
        fs::write(&new, program).with_context(|| format!("can't write {}", new.display()))?;
        fs::rename(&new, &object).with_context(|| format!("can't write {}", object.display()))?;
        Ok(object)
    }
}

/// The object without the DWARF that its BTF was made of, which is four fifths of it: the
/// enforcer carries the object in its memory.
fn without_debug_information(program: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(program)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug") || name.starts_with(b".rel.debug");
    }
    builder.delete_orphans();
    // The linker has one table for the names of sections and symbols, the builder two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}
