//! `bartizan-enforcer node`, which is killed, replaced and uninstalled.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::api_server::ApiServer;
use crate::case::Context;

/// Where it keeps links and maps.
pub(crate) const PINS: &str = "/sys/fs/bpf/bartizan";
/// Where enforcers serve their metrics.
pub(crate) const ADDRESS: &str = "127.0.0.1:9464";
/// Until something that has to happen counts as not happening; a guest can be slow.
const PATIENCE: Duration = Duration::from_mins(4);
const POLL: Duration = Duration::from_millis(20);

/// Where agents of one case have their files.
pub(crate) struct Place<'a> {
    context: &'a Context,
    /// What they ask.
    pub(crate) api: ApiServer,
    /// The kernel programs they load, if not those of the guest.
    pub(crate) object: Option<PathBuf>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(context: &'a Context) -> Result<Self> {
        Ok(Self {
            context,
            api: ApiServer::start(&context.scratch)?,
            object: None,
        })
    }

    fn state(&self) -> PathBuf {
        self.context.scratch.join("state")
    }

    /// How many objects the local copy has. What is being written has another ending.
    pub(crate) fn copied(&self) -> Result<usize> {
        let mut count = 0;
        for kind in ["pods", "rulemaps"] {
            for file in fs::read_dir(self.state().join("v1").join(kind))? {
                count += usize::from(file?.path().extension().is_some_and(|it| it == "json"));
            }
        }
        Ok(count)
    }

    /// Starts an agent, which needs a while until it enforces.
    pub(crate) fn start(&self) -> Result<Agent> {
        let log = self.context.scratch.join("log");
        let mut command = Command::new(&self.context.enforcer);
        command.args(["node", "--node", "guest", "--metrics", ADDRESS]);
        command.arg("--kubeconfig").arg(&self.api.kubeconfig);
        command.arg("--state").arg(self.state());
        command.args(["--pins", PINS, "--nri-socket", "/nonexistent"]);
        command.args(["--cri-socket", "/nonexistent", "--retry-after", "1"]);
        if let Some(object) = &self.object {
            command.env("BARTIZAN_LSM_OBJECT", object);
        }
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let started = Instant::now();
        let child = command.spawn().context("start the enforcer")?;
        Ok(Agent {
            child,
            log,
            started,
        })
    }

    /// Runs `bartizan-enforcer uninstall`.
    pub(crate) fn uninstall(&self) -> Result<Output> {
        let mut command = Command::new(&self.context.enforcer);
        command.args(["uninstall", "--pins", PINS, "--state"]);
        let output = command.arg(self.state()).output().context("uninstall")?;
        println!(
            "uninstall: {}, {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }
}

/// Whatever the case came to, the next one starts with nothing in the kernel.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        if Path::new(PINS).exists() {
            let _ = self.uninstall();
        }
    }
}

/// One that runs.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Agent {
    /// Waits until it says something in its log; how long that took from its start.
    pub(crate) fn said(&mut self, what: &str) -> Result<Duration> {
        self.until(what, |agent| Ok(agent.text()?.contains(what)))
    }

    /// Waits until its page says that it enforces in so many containers.
    pub(crate) fn enforces_in(&mut self, workloads: usize) -> Result<Duration> {
        let text = format!("enforcing in {workloads} containers");
        self.until(&text, |_| {
            Ok(get("/readyz").is_some_and(|page| page.contains(&text)))
        })
    }

    /// Waits for a page; how long after the start it was there.
    pub(crate) fn answers(&mut self, path: &str, with: &str) -> Result<Duration> {
        self.until(with, |_| {
            Ok(get(path).is_some_and(|page| page.contains(with)))
        })
    }

    fn until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<Duration> {
        loop {
            if is_so(self)? {
                return Ok(self.started.elapsed());
            }
            if self.child.try_wait()?.is_some() || self.started.elapsed() > PATIENCE {
                let page = get("/readyz").unwrap_or_default();
                bail!("never {what:?}: {page}\n{}", self.text()?);
            }
            thread::sleep(POLL);
        }
    }

    fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// As out of memory, or by mistake.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// As a `DaemonSet` ends it.
    pub(crate) fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page with its head; `None` while nobody answers.
pub(crate) fn get(path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(ADDRESS).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// The sum of all series of a metric.
pub(crate) fn metric(name: &str) -> Result<u64> {
    let page = get("/metrics").context("no metrics")?;
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_series = rest.starts_with('{') || rest.starts_with(' ');
        is_series.then(|| rest.rsplit(' ').next()).flatten()
    });
    values
        .map(|value| value.parse::<u64>().with_context(|| name.to_owned()))
        .sum()
}
