//! `cargo xtask guest`: any script in a real kernel, for developers.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use std::path::PathBuf;

use crate::command::say;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Machine, Output, Timing};

/// What to run, and on what.
#[derive(Args, Debug)]
pub(crate) struct Guest {
    /// The kernel to boot
    #[arg(long, value_enum, default_value_t = KernelLine::V6_12)]
    kernel: KernelLine,
    /// A file or folder for the guest, and its path there (several are possible)
    #[arg(long = "file", value_name = "FROM:TO", value_parser = file)]
    files: Vec<(PathBuf, String)>,
    /// A dynamically linked program of this machine, with its libraries
    #[arg(long = "program", value_name = "PATH")]
    programs: Vec<PathBuf>,
    /// More words for the kernel's command line; also cgroups=v1 or cgroups=none
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmdline: Vec<String>,
    /// The kernel's security modules
    #[arg(long, default_value = "landlock,lockdown,yama,bpf")]
    lsm: String,
    /// One CPU on which a nanosecond is an instruction, to count instructions
    #[arg(long)]
    icount: bool,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u64,
    /// Seconds from power-on to power-off
    #[arg(long, default_value_t = 300)]
    time_limit: u64,
    /// A script for busybox's shell, or `@FILE` to read it from a file
    #[arg(last = true, required = true)]
    script: Vec<String>,
}

impl Guest {
    /// Runs the script and returns its exit status.
    pub(crate) fn run(&self) -> Result<u8> {
        let script = self.script.join(" ");
        let script = match script.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("can't read the script {file}"))?,
            None => script,
        };
        setup::ensure(Package::ALL)?;
        let kernel = Kernel::get(self.kernel)?;
        let mut image = Image::new(&kernel)?;
        for (from, to) in &self.files {
            image.host(from, to)?;
        }
        for program in &self.programs {
            image.dynamic_program(program, &program.to_string_lossy())?;
        }
        let mut machine = Machine::new(kernel);
        machine.memory_mib = self.memory;
        machine.lsm.clone_from(&self.lsm);
        machine.arguments.clone_from(&self.cmdline);
        machine.time_limit = Duration::from_secs(self.time_limit);
        if self.icount {
            machine.timing = Timing::Instructions;
        }
        say(format!("booting {}", machine.kernel.release));
        let outcome = machine.run(image, &script, Output::inherit())?;
        print!("{}", String::from_utf8_lossy(&outcome.report));
        say(format!(
            "the guest was up after {:.1} s",
            outcome.booted_in.as_secs_f32()
        ));
        if let Some(console) = outcome.console {
            say(format!(
                "status {}; console: {}",
                outcome.status,
                console.display()
            ));
        }
        Ok(outcome.status)
    }
}

fn file(argument: &str) -> Result<(PathBuf, String), String> {
    match argument.split_once(':') {
        Some((from, to)) if to.starts_with('/') => Ok((PathBuf::from(from), to.to_owned())),
        _ => Err("expected FROM:TO with an absolute TO".to_owned()),
    }
}
