//! The first process of a cluster's namespaces: makes the network, keeps the servers
//! running, and takes all of them with it when it ends.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::folder::Folder;
use super::forward;
use super::plan::{self, Plan};
use crate::command::{run_quietly, say};

/// Until a server that has ended is started again.
const PAUSE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);

/// Never returns, unless it can't start the cluster.
pub(super) fn run(folder: &Folder) -> Result<()> {
    let _lock = folder.lock()?;
    let plan = Plan::read(folder)?;
    for line in &plan.network {
        let (program, arguments) = line.split_first().context("an empty command")?;
        run_quietly(Command::new(program).args(arguments))?;
    }
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("no listening socket as standard input")?;
    forward::start(TcpListener::from(socket), plan.forward);
    let mut servers: Vec<_> = plan.servers.into_iter().map(Server::new).collect();
    loop {
        for server in &mut servers {
            server.tend(folder)?;
        }
        thread::sleep(POLL);
    }
}

struct Server {
    plan: plan::Server,
    child: Option<Child>,
    ended: Option<Instant>,
}

impl Server {
    fn new(plan: plan::Server) -> Self {
        Self {
            plan,
            child: None,
            ended: None,
        }
    }

    /// Starts what has to run, and ends what has to be down.
    fn tend(&mut self, folder: &Folder) -> Result<()> {
        let name = &self.plan.name;
        let stopped = folder.is_stopped(name);
        let Some(child) = &mut self.child else {
            if !stopped && self.ended.is_none_or(|ended| ended.elapsed() > PAUSE) {
                self.child = Some(self.start(folder)?);
            }
            return Ok(());
        };
        if stopped {
            // It fails only when the process is gone already.
            let _ = child.kill();
        }
        let status = child
            .try_wait()
            .with_context(|| format!("can't ask for the state of {name}"))?;
        if let Some(status) = status {
            say(format!("{name} has ended ({status})"));
            self.child = None;
            self.ended = Some(Instant::now());
        }
        Ok(())
    }

    fn start(&self, folder: &Folder) -> Result<Child> {
        let name = &self.plan.name;
        let (program, arguments) = self.plan.line.split_first().context("an empty command")?;
        let open = || -> io::Result<(File, File)> {
            let log = File::options()
                .create(true)
                .append(true)
                .open(folder.log_file(name))?;
            Ok((log.try_clone()?, log))
        };
        let (stdout, stderr) = open().with_context(|| format!("can't open the log of {name}"))?;
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("can't start {name} ({program})"))
    }
}
