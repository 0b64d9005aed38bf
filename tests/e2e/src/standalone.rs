//! `bartizan-enforcer standalone` as a process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::agent::ADDRESS;
use crate::case::Context;
use crate::wait::eventually;

/// A running one, which is killed when it is dropped.
pub(crate) struct Standalone {
    process: Child,
    log: PathBuf,
}

impl Standalone {
    /// Returns when it enforces. Workloads are called like their cgroups' last folders;
    /// metrics are served where [`crate::agent::metric`] asks.
    pub(crate) fn start<'a>(
        context: &Context,
        policies: &Path,
        workloads: impl IntoIterator<Item = &'a Path>,
        output: impl Into<Stdio>,
    ) -> Result<Self> {
        let log = context.scratch.join("log");
        let mut command = Command::new(&context.enforcer);
        command
            .args(["standalone", "--metrics", ADDRESS, "-f"])
            .arg(policies);
        for cgroup in workloads {
            let name = cgroup.file_name().context("a workload is a folder")?;
            let workload = format!("{}={}", name.display(), cgroup.display());
            command.args(["--workload", &workload]);
        }
        command.stdout(output).stderr(File::create(&log)?);
        let process = command.spawn().context("start the enforcer")?;
        let mut enforcer = Self { process, log };
        eventually("it enforces", || {
            enforcer.is_alive()?;
            Ok(enforcer.log()?.contains("enforcing:"))
        })?;
        Ok(enforcer)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Fails if it has ended.
    pub(crate) fn is_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the enforcer has ended with {status}: {}", self.log()?);
        }
        Ok(())
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(&mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the enforcer ended with {status}");
        Ok(())
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
