//! Boots a guest, runs one script in it and waits for its end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Image;
use super::channel::{Channel, Collected, Copier};
use super::folder::{RunFolder, explain};
use super::process::{Ended, Running};
use crate::setup::{self, Kernel, PROCESSOR, QEMU, QUICK_PROCESSOR};

/// How guest time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timing {
    /// CPUs as fast as they go.
    #[default]
    Parallel,
    /// One CPU that executes an instruction per nanosecond of guest time, so that clocks
    /// count instructions.
    Instructions,
}

/// A guest to boot.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) timing: Timing,
    /// Besides what the image takes.
    pub(crate) memory_mib: u64,
    /// CPUs, if time passes for all at once.
    pub(crate) processors: u8,
    /// The kernel's `lsm=`.
    pub(crate) lsm: String,
    /// More words for the kernel's command line.
    pub(crate) arguments: Vec<String>,
    /// From power-on to power-off.
    pub(crate) time_limit: Duration,
}

/// Where a script's output goes.
pub(crate) struct Output {
    pub(crate) stdout: Box<dyn Write + Send>,
    pub(crate) stderr: Box<dyn Write + Send>,
}

/// How a script ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The script's exit status.
    pub(crate) status: u8,
    /// What the script wrote to file descriptor 3.
    pub(crate) report: Vec<u8>,
    /// The console log, kept if the status is not 0.
    pub(crate) console: Option<PathBuf>,
    /// From power-on until the script started.
    pub(crate) booted_in: Duration,
}

impl Machine {
    /// A guest with BPF among its security modules, two CPUs and 1 GiB.
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            timing: Timing::default(),
            memory_mib: 1024,
            processors: 2,
            lsm: "landlock,lockdown,yama,bpf".to_owned(),
            arguments: Vec::new(),
            time_limit: Duration::from_mins(5),
        }
    }

    /// Boots, runs `script` with busybox's shell and returns when the guest is off.
    pub(crate) fn run(&self, mut image: Image, script: &str, output: Output) -> Result<Outcome> {
        setup::qemu()?;
        image.text("/etc/guest/run", 0o755, script);
        let folder = RunFolder::new()?;
        let archive = folder.path().join("image.cpio");
        image.write(File::create(&archive).context("can't make the guest's image")?)?;
        let channel = |name| Channel::new(folder.path(), name);
        let channels = [
            channel("stdout")?,
            channel("stderr")?,
            channel("report")?,
            channel("control")?,
        ];
        let mut qemu = Running::start(&mut self.command(&folder, &archive, &channels)?)?;
        let [stdout, stderr, report, control] = qemu.connect(&channels)?;
        let collected = Collected::default();
        let copiers = [
            Copier::start(stdout, output.stdout),
            Copier::start(stderr, output.stderr),
            Copier::start(report, Box::new(collected.clone())),
        ];
        let end = qemu.wait(control, self.time_limit);
        qemu.stop();
        for copier in copiers {
            copier.finish()?;
        }
        let console = match end {
            Ok(Ended { status: 0, .. }) => None,
            _ => Some(folder.keep_console(&self.kernel)?),
        };
        match (end, console) {
            (Ok(Ended { status, booted_in }), console) => Ok(Outcome {
                status,
                report: collected.take(),
                console,
                booted_in,
            }),
            (Err(error), Some(console)) => Err(error.context(explain(&console))),
            (Err(error), None) => Err(error),
        }
    }

    fn command(&self, folder: &RunFolder, archive: &Path, channels: &[Channel]) -> Result<Command> {
        let size = archive
            .metadata()
            .context("can't look at the guest's image")?
            .len();
        // The archive is in memory until the kernel has unpacked it there.
        let memory = self.memory_mib + 2 * size.div_ceil(1 << 20);
        // The guest must not outlive us, however we end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", QEMU]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.args(["-m", &memory.to_string()]);
        match self.timing {
            Timing::Parallel => {
                let processors = self.processors.to_string();
                command.args(["-cpu", QUICK_PROCESSOR, "-smp", &processors]);
                command.args(["-accel", "tcg,thread=multi"])
            }
            Timing::Instructions => command.args([
                "-cpu",
                PROCESSOR,
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
                "-smp",
                "1",
            ]),
        };
        command.arg("-chardev").arg(format!(
            "file,id=console,path={}",
            folder.console().display()
        ));
        command.args(["-serial", "chardev:console", "-device", "virtio-serial-pci"]);
        for channel in channels {
            command.args(channel.arguments());
        }
        command
            .arg("-kernel")
            .arg(self.kernel.image())
            .arg("-initrd")
            .arg(archive);
        command.arg("-append").arg(self.kernel_arguments());
        Ok(command)
    }

    fn kernel_arguments(&self) -> String {
        let mut words = vec![
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on no_timer_check".to_owned(),
            format!("lsm={}", self.lsm),
        ];
        if self.timing == Timing::Instructions {
            words.push("mitigations=off".to_owned());
        }
        words.extend(self.arguments.iter().cloned());
        words.join(" ")
    }
}

impl Output {
    /// Passes the script's output on to ours.
    pub(crate) fn inherit() -> Self {
        Self {
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
        }
    }
}
