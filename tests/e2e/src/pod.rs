//! A kubelet's cgroups, and containers that [`crate::runtime`] starts in them.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::MemfdFlags;

use crate::container::Root;

const HIERARCHY: &str = "/sys/fs/cgroup";

/// How a kubelet names its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Cgroupfs,
    Systemd,
    /// That of kind: everything below `kubelet.slice`.
    Kind,
}

impl Layout {
    pub(crate) const ALL: [Self; 3] = [Self::Cgroupfs, Self::Systemd, Self::Kind];

    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Cgroupfs => &["kubepods", "burstable"],
            Self::Systemd => &["kubepods.slice", "kubepods-burstable.slice"],
            Self::Kind => &[
                "kubelet.slice",
                "kubelet-kubepods.slice",
                "kubelet-kubepods-burstable.slice",
            ],
        }
    }
}

/// A kubelet's cgroups; dropping it removes them.
pub(crate) struct Kubelet {
    layout: Layout,
    pods: PathBuf,
}

impl Kubelet {
    pub(crate) fn new(layout: Layout) -> Result<Self> {
        let pods: PathBuf = [HIERARCHY].iter().chain(layout.parts()).collect();
        fs::create_dir_all(&pods).with_context(|| format!("make {}", pods.display()))?;
        Ok(Self { layout, pods })
    }

    /// Where the pods of its class of service are.
    pub(crate) fn pods(&self) -> &Path {
        &self.pods
    }

    /// Makes a pod's cgroup.
    pub(crate) fn pod(&self, uid: &str) -> Result<Pod> {
        let underscored = uid.replace('-', "_");
        let path = self.pods.join(match self.layout {
            Layout::Cgroupfs => format!("pod{uid}"),
            Layout::Systemd => format!("kubepods-burstable-pod{underscored}.slice"),
            Layout::Kind => format!("kubelet-kubepods-burstable-pod{underscored}.slice"),
        });
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Pod {
            layout: self.layout,
            path,
        })
    }
}

/// A pod's cgroup.
pub(crate) struct Pod {
    layout: Layout,
    path: PathBuf,
}

impl Pod {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The id of one of its containers: no other pod has the same.
    pub(crate) fn id(&self, digit: &str) -> String {
        format!("{}{}", self.layout as usize, digit.repeat(63))
    }

    /// The path of a container's cgroup, which [`Container::create`] makes.
    pub(crate) fn container(&self, digit: &str) -> PathBuf {
        self.path.join(match self.layout {
            Layout::Cgroupfs => self.id(digit),
            Layout::Systemd | Layout::Kind => format!("cri-containerd-{}.scope", self.id(digit)),
        })
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let top: PathBuf = [HIERARCHY, self.layout.parts()[0]].iter().collect();
        let _ = fs::write(top.join("cgroup.kill"), "1");
        remove(&top);
    }
}

/// Removes a cgroup and those below, once nobody is in them.
pub(crate) fn remove(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while fs::remove_dir(cgroup).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
        && std::time::Instant::now() < deadline
    {
        std::thread::yield_now();
    }
}

/// A process on its way into a container, or in it.
pub(crate) struct Container {
    process: Process,
    to: PipeWriter,
    from: BufReader<PipeReader>,
    cgroup: PathBuf,
    /// The process that becomes the container's.
    pid: u32,
}

/// The runtime's process.
enum Process {
    Spawned(Child),
    Cloned(libc::pid_t),
}

impl Container {
    /// Does what a runtime does up to the entry point: a process outside, the cgroup, the
    /// move, the set-up.
    pub(crate) fn create(cgroup: &Path, root: &Root, entry: &[&str]) -> Result<Self> {
        let (own_from, to) = io::pipe()?;
        let (from, own_to) = io::pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["runtime", "init"]).arg(root.outside("/"));
        command.args(entry).stdin(own_from).stdout(own_to);
        let child = command.stderr(Stdio::inherit()).spawn()?;
        drop(command);
        let runtime = child.id();
        let mut container = Self {
            process: Process::Spawned(child),
            to,
            from: BufReader::new(from),
            cgroup: cgroup.to_owned(),
            pid: 0,
        };
        container.hear("waiting")?;
        fs::create_dir(cgroup).with_context(|| format!("make {}", cgroup.display()))?;
        fs::write(cgroup.join("cgroup.procs"), runtime.to_string()).context("move it in")?;
        container.say("go")?;
        container.created()?;
        Ok(container)
    }

    /// Does what `kubectl exec` comes to, up to the command: a process that is born in the
    /// container's cgroup and runs a sealed copy of the runtime first.
    pub(crate) fn exec(&self, command: &[&str]) -> Result<Self> {
        let copy = rustix::fs::memfd_create("runtime", MemfdFlags::empty())?;
        let copy = File::from(copy);
        io::copy(&mut File::open("/proc/self/exe")?, &mut &copy)?;
        // The kernel runs nothing that is open for writing.
        let program = File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?;
        drop(copy);
        let pid = self.pid.to_string();
        let words = [&["bartizan-e2e", "runtime", "exec", &pid], command].concat();
        let (own_from, to) = io::pipe()?;
        let (from, own_to) = io::pipe()?;
        let cgroup = File::open(&self.cgroup)?;
        let born = clone_into(&cgroup, &program, &words, &own_from, &own_to)?;
        drop((own_from, own_to));
        let mut container = Self {
            process: Process::Cloned(born),
            to,
            from: BufReader::new(from),
            cgroup: self.cgroup.clone(),
            pid: 0,
        };
        container.created()?;
        Ok(container)
    }

    /// Lets it become the container's. "ready", or the errno with which that was refused.
    pub(crate) fn start(&mut self) -> Result<String> {
        self.say("start")?;
        self.line()
    }

    /// Lets a started one do an operation: the errno, 0 for success.
    pub(crate) fn perform(&mut self, operation: &str) -> Result<String> {
        self.say(operation)?;
        self.line()
    }

    /// The process that becomes the container's.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Ends it and everything else in its cgroup, and removes that.
    pub(crate) fn delete(mut self) -> Result<()> {
        fs::write(self.cgroup.join("cgroup.kill"), "1")?;
        self.process.wait();
        remove(&self.cgroup);
        ensure!(!self.cgroup.exists(), "{} stays", self.cgroup.display());
        Ok(())
    }

    fn created(&mut self) -> Result<()> {
        let line = self.line()?;
        let pid = line.strip_prefix("created ");
        self.pid = pid
            .with_context(|| format!("the runtime said {line:?}"))?
            .parse()?;
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.to, "{line}").context("it doesn't listen")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        ensure!(!line.is_empty(), "it has ended");
        Ok(line.trim_end().to_owned())
    }

    fn hear(&mut self, expected: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == expected, "the runtime said {line:?}");
        Ok(())
    }
}

impl Process {
    fn wait(&mut self) {
        match self {
            // It was killed; how it ended says nothing.
            Self::Spawned(child) => drop(child.wait()),
            Self::Cloned(pid) => {
                let mut status = 0;
                // SAFETY: waits for our own child.
                unsafe { libc::waitpid(*pid, &raw mut status, 0) };
            }
        }
    }
}

/// `struct clone_args`, as far as `cgroup`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments([u64; 11]);

/// A child that is born in a cgroup and runs a program.
fn clone_into(
    cgroup: &File,
    program: &File,
    words: &[&str],
    from: &PipeReader,
    to: &PipeWriter,
) -> Result<libc::pid_t> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    let words: Vec<CString> = words
        .iter()
        .map(|word| CString::new(*word))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let mut arguments = CloneArguments::default();
    arguments.0[0] = INTO_CGROUP;
    arguments.0[4] = u64::from(libc::SIGCHLD.cast_unsigned());
    arguments.0[10] = u64::from(cgroup.as_raw_fd().cast_unsigned());
    // SAFETY: as fork, and this process has one thread; the child only makes system calls.
    unsafe {
        let pid = libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<CloneArguments>(),
        );
        if pid == 0 {
            libc::dup2(from.as_raw_fd(), 0);
            libc::dup2(to.as_raw_fd(), 1);
            libc::execv(path.as_ptr(), pointers.as_ptr());
            libc::_exit(127);
        }
        ensure!(pid > 0, "clone3: {}", io::Error::last_os_error());
        Ok(pid as libc::pid_t)
    }
}

/// Fails unless an operation ends as expected: with "0", or an errno.
pub(crate) fn expect(container: &mut Container, operation: &str, expected: &str) -> Result<()> {
    let answer = container.perform(operation)?;
    ensure!(
        answer == expected,
        "{operation}: {answer} instead of {expected}"
    );
    Ok(())
}
