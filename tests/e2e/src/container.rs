//! A container under `bartizan-enforcer run`, with a copy of the probe for every caller.
//!
//! ```text
//!   enforcer run --root DIR ── exec ──► probe as the first caller
//!   setns, exec, cgroup.procs ────────► probe as any other caller
//! ```
//!
//! Other callers join as `docker exec` does: outside of the rules, so that a program may
//! be a caller that the rules wouldn't let run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, io};

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::{Agent, Denial, SERVE};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::case::Context;
use crate::probe;

/// A directory that is, or becomes, a container's root.
pub(crate) struct Root(PathBuf);

impl Root {
    /// One that is there.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// An empty one, with what every container has.
    pub(crate) fn new(at: PathBuf) -> Result<Self> {
        let root = Self(at);
        for directory in ["/proc", "/dev", "/tmp"] {
            root.directory(directory)?;
        }
        // With a null device the enforcer leaves /dev as it is.
        root.file("/dev/null")?;
        Ok(root)
    }

    /// Where a path of the container is outside of it.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Makes a directory that everybody may use, and those above.
    pub(crate) fn directory(&self, path: &str) -> Result<()> {
        let path = self.outside(path);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))
    }

    /// Makes a file of [`probe::OWNER`] that everybody may use.
    pub(crate) fn file(&self, path: &str) -> Result<()> {
        let outside = self.made_above(path)?;
        fs::write(&outside, "content\n").with_context(|| format!("write {}", outside.display()))?;
        open_to_all(&outside)
    }

    /// Makes a copy of this program.
    pub(crate) fn program(&self, path: &str) -> Result<()> {
        let outside = self.made_above(path)?;
        let program = env::current_exe()?;
        fs::copy(program, &outside).with_context(|| format!("copy to {}", outside.display()))?;
        open_to_all(&outside)
    }

    /// Makes a copy of a file of the guest.
    pub(crate) fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let outside = self.made_above(path)?;
        fs::copy(from, &outside).with_context(|| format!("copy {}", from.display()))?;
        open_to_all(&outside)
    }

    /// Makes a script.
    pub(crate) fn script(&self, path: &str, text: &str) -> Result<()> {
        let outside = self.made_above(path)?;
        fs::write(&outside, text)?;
        open_to_all(&outside)
    }

    fn made_above(&self, path: &str) -> Result<PathBuf> {
        let outside = self.outside(path);
        if let Some(above) = outside.parent() {
            fs::create_dir_all(above).with_context(|| format!("make {}", above.display()))?;
        }
        Ok(outside)
    }
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    chown(path, Some(probe::OWNER), Some(probe::OWNER))?;
    Ok(())
}

/// Whose rules a container is under.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) container: String,
}

/// A running container.
pub(crate) struct Container {
    enforcer: Child,
    denials: PathBuf,
    cgroup: PathBuf,
    callers: BTreeMap<String, Agent>,
    /// Those that joined.
    children: Vec<Child>,
}

impl Container {
    /// Starts a container whose first program is `caller`.
    pub(crate) fn start(
        context: &Context,
        policies: &Path,
        identity: &Identity,
        root: &Root,
        caller: &str,
    ) -> Result<Self> {
        let denials = context.scratch.join("denials");
        let mut command = Command::new(&context.enforcer);
        command.arg("run");
        if !identity.container.is_empty() {
            command.args(["--container", &identity.container]);
        }
        command
            .arg("--denials")
            .arg(&denials)
            .arg("-f")
            .arg(policies)
            .arg("--root")
            .arg(&root.0);
        for (key, value) in &identity.labels {
            command.args(["--label", &format!("{key}={value}")]);
        }
        command.args(["--", caller]).args(SERVE);
        let mut enforcer = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the enforcer")?;
        let cgroup = PathBuf::from(format!("/sys/fs/cgroup/bartizan-run-{}", enforcer.id()));
        let agent = agent(&mut enforcer).context("the container didn't start")?;
        println!("the container is running");
        Ok(Self {
            enforcer,
            denials,
            cgroup,
            callers: BTreeMap::from([(caller.to_owned(), agent)]),
            children: Vec::new(),
        })
    }

    /// The enforcer's process id.
    pub(crate) fn enforcer(&self) -> u32 {
        self.enforcer.id()
    }

    /// The container's cgroup.
    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Lets a caller do an operation: the errno, 0 for success.
    pub(crate) fn perform(&mut self, caller: &str, words: &[&str]) -> Result<i32> {
        if !self.callers.contains_key(caller) {
            let agent = self
                .join(caller)
                .with_context(|| format!("{caller} can't join"))?;
            self.callers.insert(caller.to_owned(), agent);
        }
        let agent = self
            .callers
            .get_mut(caller)
            .context("it was just put there")?;
        agent.perform(words)
    }

    /// Runs a program in the container that was not there from the start.
    fn join(&mut self, caller: &str) -> Result<Agent> {
        let inside = fs::read_to_string(self.cgroup.join("cgroup.procs"))?;
        let inside = inside.lines().next().context("the container is empty")?;
        let mounts = fs::File::open(format!("/proc/{inside}/ns/mnt"))?;
        let mut command = Command::new(caller);
        command
            .args(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let kind = Some(LinkNameSpaceType::Mount);
                move_into_link_name_space(mounts.as_fd(), kind).map_err(io::Error::from)
            });
        }
        let mut child = command.spawn()?;
        let agent = agent(&mut child)?;
        fs::write(self.cgroup.join("cgroup.procs"), child.id().to_string())?;
        self.children.push(child);
        Ok(agent)
    }

    /// Ends the container; everything it has reported, each once.
    pub(crate) fn finish(mut self) -> Result<Vec<Denial>> {
        self.callers.clear();
        for mut child in std::mem::take(&mut self.children) {
            child.wait()?;
        }
        println!("the callers have ended");
        let status = self.enforcer.wait()?;
        println!("the container has ended");
        ensure!(status.success(), "the enforcer ended with {status}");
        let text = fs::read_to_string(&self.denials).context("read the denials")?;
        println!("{text}");
        let denials = text
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")));
        let denials: BTreeSet<Denial> = denials.collect::<Result<_>>()?;
        Ok(denials.into_iter().collect())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Ends the container, too; fails if it is over.
        let _ = self.enforcer.kill();
        let _ = self.enforcer.wait();
    }
}

/// The agent that a child is.
fn agent(child: &mut Child) -> Result<Agent> {
    let to = child.stdin.take().context("it has no standard input")?;
    let from = child.stdout.take().context("it has no standard output")?;
    Agent::new(to, from)
}
