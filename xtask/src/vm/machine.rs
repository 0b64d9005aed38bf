//! Boots a guest, runs one script in it and waits for its end.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Image;
use super::channel::{Channel, Copier};
use crate::command::line;
use crate::paths;
use crate::setup::{self, Kernel, QEMU};

/// How guest time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Two CPUs as fast as they go.
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
    pub(crate) memory_mib: u32,
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
            lsm: "landlock,lockdown,yama,bpf".to_owned(),
            arguments: Vec::new(),
            time_limit: Duration::from_mins(5),
        }
    }

    /// Boots, runs `script` with busybox's shell and returns when the guest is off.
    pub(crate) fn run(&self, mut image: Image, script: &str, output: Output) -> Result<Outcome> {
        setup::qemu()?;
        image.text("/etc/guest/run", 0o755, script);
        let dir = RunFolder::new()?;
        let archive = dir.0.join("image.cpio");
        image.write(File::create(&archive).context("can't make the guest's image")?)?;
        let channel = |name| Channel::new(&dir.0, name);
        let channels = [
            channel("stdout")?,
            channel("stderr")?,
            channel("report")?,
            channel("control")?,
        ];
        let mut qemu = Running::start(&mut self.command(&dir.0, &archive, &channels))?;
        let [stdout, stderr, report, control] = qemu.connect(&channels)?;
        let collected = Collected::default();
        let copiers = [
            Copier::start(stdout, output.stdout),
            Copier::start(stderr, output.stderr),
            Copier::start(report, Box::new(collected.clone())),
        ];
        let end = qemu.wait(&listen(control), self.time_limit);
        qemu.stop();
        for copier in copiers {
            copier.finish()?;
        }
        let console = dir.0.join("console.log");
        let (status, booted_in) = match end {
            Ok(end) => end,
            Err(error) => return Err(error.context(explain(&keep(&console, &self.kernel)?))),
        };
        let console = if status == 0 {
            None
        } else {
            Some(keep(&console, &self.kernel)?)
        };
        Ok(Outcome {
            status,
            report: collected.take(),
            console,
            booted_in,
        })
    }

    fn command(&self, dir: &Path, archive: &Path, channels: &[Channel]) -> Command {
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
        command.args(["-cpu", "max", "-m", &self.memory_mib.to_string()]);
        match self.timing {
            Timing::Parallel => command.args(["-accel", "tcg,thread=multi", "-smp", "2"]),
            Timing::Instructions => command.args([
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
                "-smp",
                "1",
            ]),
        };
        let console = dir.join("console.log");
        command
            .arg("-chardev")
            .arg(format!("file,id=console,path={}", console.display()));
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
        command
    }

    fn kernel_arguments(&self) -> String {
        let mut words = vec![
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on".to_owned(),
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

/// A QEMU process, killed when dropped.
struct Running {
    child: Child,
    since: Instant,
    /// The command line, for errors.
    line: String,
}

impl Running {
    const POLL: Duration = Duration::from_millis(20);
    const CONNECT_LIMIT: Duration = Duration::from_secs(20);

    fn start(command: &mut Command) -> Result<Self> {
        let line = line(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("can't run {line}"))?;
        Ok(Self {
            child,
            since: Instant::now(),
            line,
        })
    }

    fn connect<const N: usize>(&mut self, channels: &[Channel; N]) -> Result<[UnixStream; N]> {
        let mut streams = Vec::with_capacity(N);
        for channel in channels {
            loop {
                if let Some(stream) = channel.accept() {
                    streams.push(stream);
                    break;
                }
                if self.has_ended()? || self.since.elapsed() > Self::CONNECT_LIMIT {
                    self.stop();
                    bail!("QEMU didn't start: {}\n{}", self.said(), self.line);
                }
                thread::sleep(Self::POLL);
            }
        }
        streams.try_into().ok().context("a channel is missing")
    }

    /// The exit status that the guest reports, and how long it took to boot.
    fn wait(&mut self, control: &Receiver<String>, limit: Duration) -> Result<(u8, Duration)> {
        let mut booted_in = None;
        loop {
            let left = limit.saturating_sub(self.since.elapsed());
            let line = match control.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the guest was still running after {limit:?}");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the guest went down before its script had ended\n{}",
                        self.said()
                    );
                }
            };
            if line == "up" {
                booted_in = Some(self.since.elapsed());
            } else if let Some(status) = line.strip_prefix("exit ") {
                let status = status.parse().context("unknown exit status")?;
                return Ok((status, booted_in.unwrap_or_default()));
            }
        }
    }

    /// Gives the guest a moment to power off, then ends QEMU.
    fn stop(&mut self) {
        let patience = Instant::now() + Duration::from_secs(2);
        while Instant::now() < patience && !self.has_ended().unwrap_or(true) {
            thread::sleep(Self::POLL);
        }
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .context("can't ask for QEMU's state")?
            .is_some())
    }

    /// QEMU's own words, once it has ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of the control channel; ends with the guest.
fn listen(control: UnixStream) -> Receiver<String> {
    let (lines, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(control).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A buffer that a copying thread fills.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A folder for one run, removed at its end.
struct RunFolder(PathBuf);

impl RunFolder {
    fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bartizan-guest-{}-{count}", std::process::id());
        let dir = env::temp_dir().join(name);
        fs::create_dir(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies the console's log to where the user can read it.
fn keep(console: &Path, kernel: &Kernel) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = paths::target().join("guest-logs");
    paths::make(&dir)?;
    let kept = dir.join(format!(
        "{}-{}-{count}.log",
        kernel.release,
        std::process::id()
    ));
    fs::copy(console, &kept).with_context(|| format!("can't keep {}", console.display()))?;
    Ok(kept)
}

/// What the console says about a guest that didn't end by itself.
fn explain(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines
        .iter()
        .position(|line| line.contains("Kernel panic") || line.contains("BUG:"))
        .unwrap_or(lines.len())
        .min(lines.len().saturating_sub(10));
    let shown = lines[from..]
        .iter()
        .take(40)
        .copied()
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "the guest's console said (all of it: {}):\n{shown}",
        console.display()
    )
}
