//! A server process that can be stopped, killed, paused and started again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::spawner;

/// How long a server may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name of the log, without `.log`.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it gets besides those of the test.
    pub environment: Vec<(String, OsString)>,
}

/// A server, killed when this is dropped.
#[derive(Debug)]
pub struct Component {
    recipe: Recipe,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Component {
    /// Starts a server whose output is appended to a log in `logs`.
    pub fn start_in(logs: &Path, recipe: Recipe) -> Result<Self> {
        let component = Self {
            log: logs.join(format!("{}.log", recipe.name)),
            recipe,
            child: Mutex::new(None),
        };
        component.start()?;
        Ok(component)
    }

    /// Starts it again after it was stopped or killed.
    pub fn start(&self) -> Result<()> {
        let name = &self.recipe.name;
        let mut child = self.child();
        if child.is_some() {
            bail!("{name} runs already");
        }
        let open = || -> std::io::Result<(File, File)> {
            let log = File::options().create(true).append(true).open(&self.log)?;
            Ok((log.try_clone()?, log))
        };
        let (stdout, stderr) =
            open().with_context(|| format!("can't open {}", self.log.display()))?;
        let mut command = Command::new(&self.recipe.program);
        command
            .args(&self.recipe.arguments)
            .envs(
                self.recipe
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        *child =
            Some(spawner::spawn(command).with_context(|| {
                format!("can't start {name} ({})", self.recipe.program.display())
            })?);
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits; returns how it ended.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.end(Signal::TERM)
    }

    /// Ends it without a chance to clean up (SIGKILL).
    pub fn kill(&self) -> Result<ExitStatus> {
        self.end(Signal::KILL)
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing is answered. All of its threads
    /// stand still when this returns.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let child = self.child();
        let Some(child) = child.as_ref() else {
            bail!("{} doesn't run", self.recipe.name);
        };
        let which = WaitId::Pid(Pid::from_child(child));
        waitid(which, WaitIdOptions::STOPPED)
            .with_context(|| format!("can't wait until {} is paused", self.recipe.name))?;
        Ok(())
    }

    /// Lets it go on after [`Component::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Fails, with the end of its log, if it has ended by itself.
    pub fn check(&self) -> Result<()> {
        let mut child = self.child();
        let name = &self.recipe.name;
        match child.as_mut().map(Child::try_wait) {
            None => bail!("{name} was stopped"),
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(status))) => bail!("{name} has ended ({status}):\n{}", self.last_words()),
            Some(Err(error)) => Err(error).with_context(|| format!("can't ask for {name}'s state")),
        }
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let name = &self.recipe.name;
        let child = self.child();
        let Some(child) = child.as_ref() else {
            bail!("{name} doesn't run");
        };
        kill_process(Pid::from_child(child), signal)
            .with_context(|| format!("can't send {signal:?} to {name}"))
    }

    fn end(&self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        let name = &self.recipe.name;
        let mut slot = self.child();
        let Some(mut child) = slot.take() else {
            bail!("{name} doesn't run");
        };
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            if let Some(status) = child.try_wait().context("can't wait")? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        child.kill().with_context(|| format!("can't kill {name}"))?;
        child
            .wait()
            .with_context(|| format!("can't wait for {name}"))
    }

    /// Nothing that is held here can be left half changed by a panic.
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if let Some(child) = self.child().as_mut() {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
