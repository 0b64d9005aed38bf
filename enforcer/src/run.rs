//! `bartizan-enforcer run`: one command under the policies, from its cgroup to its exit
//! status.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bartizan_policy::printable::Printable;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::agent::{self, Agent, PolicyState};
use crate::args::Run;
use crate::bpf::Kernel;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::container::{Container, ContainerError, Spec};
use crate::engine::{Engine, WorkloadId};
use crate::failure::Failure;
use crate::http;
use crate::mounts::{self, MountTable};
use crate::policies::Policies;
use crate::privileges;
use crate::report::Record;
use crate::selftest::{self, Prober};
use crate::sys::Readable;

/// How long what the command left behind may take to die.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command; its exit status.
pub fn run(args: &Run) -> Result<u8, Failure> {
    let identity = args.identity().map_err(anyhow::Error::from)?;
    let policies = Policies::read(&args.common.files)?;
    let hierarchy = Hierarchy::find()?;
    let denials = agent::denials(args.common.denials.as_deref())?;
    let root = args
        .root
        .as_ref()
        .map(|root| {
            root.canonicalize()
                .with_context(|| format!("cannot use {} as root", root.display()))
        })
        .transpose()?;
    let prober = Prober::start()?;
    let mut engine = Engine::new(Kernel::load()?);
    policies.warn_of_gaps(engine.maps().gaps());
    let id = engine.add(identity, &policies, Instant::now())?;
    let judged = engine.judged();
    selftest::run(engine.maps(), &hierarchy, prober, judged)?;

    let cgroup = hierarchy.create(&format!("bartizan-run-{}", std::process::id()))?;
    let spec = Spec {
        command: args.command.clone(),
        root,
    };
    // No threads up to here: the fork needs that.
    let result = cgroup
        .procs()
        .map_err(Failure::from)
        .and_then(|procs| Ok(Container::start(&spec, &procs)?))
        .and_then(|mut container| {
            arm(&mut engine, id, &cgroup, &mut container)?;
            Ok(container)
        })
        .and_then(|container| {
            privileges::drop_all_but(privileges::SIGNALS)?;
            privileges::refuse_calls()?;
            let state = PolicyState {
                policies: policies.len(),
                ..PolicyState::default()
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let work = async {
                let node = agent::node(args.common.node.as_deref());
                let questions = http::questions(args.common.metrics).await?;
                let agent = Agent::start(engine, state, denials, questions, node)?;
                supervise(agent, container, id, &cgroup).await
            };
            LocalSet::new().block_on(&runtime, work)
        });
    // Whatever went wrong: nothing is left behind.
    let emptied = empty(&cgroup);
    let status = result?;
    emptied?;
    Ok(status)
}

/// Puts the container's rules into the kernel while it waits for its exec.
fn arm(
    engine: &mut Engine<Kernel>,
    id: WorkloadId,
    cgroup: &Cgroup,
    container: &mut Container,
) -> Result<(), Failure> {
    container.wait_ready()?;
    let visible = mounts::of_process(container.pid())?;
    engine.set_mounts(id, MountTable::new(&visible)?)?;
    engine.label(id, cgroup)?;
    engine.maps().mark_runtime(container.pidfd())?;
    Ok(())
}

/// From the command's exec to its last denial.
async fn supervise(
    mut agent: Agent,
    mut container: Container,
    id: WorkloadId,
    cgroup: &Cgroup,
) -> Result<u8, Failure> {
    let exited = Readable::new(container.pidfd())?;
    let mut signals = Signals::new()?;
    container.release()?;
    let failed = container.exec_failure()?;
    if let Some(error) = failed {
        let message = exec_message(&error, agent.denied_exec());
        tracing::error!("{message}");
    }
    let status = loop {
        if let Some(status) = container.try_wait()? {
            break status;
        }
        let cause = async {
            tokio::select! {
                result = exited.ready() => { result?; Ok(None) }
                signal = signals.next() => std::io::Result::Ok(Some(signal)),
            }
        };
        if let Some(signal) = agent.work_until(cause).await? {
            signals.pass_on(signal, &container);
        }
    };
    drop(container);
    empty_while_working(&mut agent, cgroup).await?;
    agent.engine.remove(id, Instant::now())?;
    agent.finish();
    Ok(status)
}

/// Kills what the command left and waits until it is gone; its denials are reported.
async fn empty_while_working(agent: &mut Agent, cgroup: &Cgroup) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while cgroup.is_populated() && Instant::now() < deadline {
        cgroup.kill()?;
        agent
            .work_until(tokio::time::sleep(Duration::from_millis(5)))
            .await;
    }
    Ok(())
}

/// Removes the cgroup, and what is still in it.
fn empty(cgroup: &Cgroup) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match cgroup.remove() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            // The kernel takes a moment to forget its last process.
            Err(_) => {
                cgroup.kill()?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Why the command didn't start, with the rule if one did it.
fn exec_message(error: &ContainerError, denied: Option<&Record>) -> String {
    let is_denial = match error {
        ContainerError::Setup { source, .. } => source.raw_os_error() == Some(libc::EACCES),
        _ => false,
    };
    let Some(record) = denied.filter(|_| is_denial) else {
        return agent::chain(error);
    };
    let target = Printable(record.target.as_deref().unwrap_or("the command"));
    match (&record.rule, &record.policy) {
        (Some(rule), Some(policy)) => {
            format!(
                "{target} was denied by rule {rule} of policy {}",
                policy.reference()
            )
        }
        _ => format!("{target} was denied"),
    }
}

/// Signals that are the command's, not ours.
struct Signals {
    streams: [(Signal, tokio::signal::unix::Signal); 4],
    /// Ctrl-C reaches the command from the terminal as well.
    terminal: bool,
    seen: u32,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let stream = |number, kind| Ok::<_, std::io::Error>((number, signal(kind)?));
        Ok(Self {
            streams: [
                stream(Signal::INT, SignalKind::interrupt())?,
                stream(Signal::TERM, SignalKind::terminate())?,
                stream(Signal::HUP, SignalKind::hangup())?,
                stream(Signal::QUIT, SignalKind::quit())?,
            ],
            terminal: std::io::stdin().is_terminal(),
            seen: 0,
        })
    }

    async fn next(&mut self) -> Signal {
        let [a, b, c, d] = &mut self.streams;
        tokio::select! {
            _ = a.1.recv() => a.0,
            _ = b.1.recv() => b.0,
            _ = c.1.recv() => c.0,
            _ = d.1.recv() => d.0,
        }
    }

    fn pass_on(&mut self, signal: Signal, container: &Container) {
        self.seen += 1;
        if self.seen > 1 {
            container.signal(Signal::KILL);
            return;
        }
        // Pid 1 of a namespace ignores what it has no handler for.
        tracing::warn!("the command was asked to end; a second signal kills it");
        if !(self.terminal && matches!(signal, Signal::INT | Signal::QUIT)) {
            container.signal(signal);
        }
    }
}
