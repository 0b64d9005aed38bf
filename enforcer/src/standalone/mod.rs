//! `bartizan-enforcer standalone`: policies from files, workloads in cgroups that exist.

mod files;
mod workload;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::thread::CapabilitySet;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::agent::{self, Agent, PolicyState};
use crate::args::Standalone;
use crate::bpf::Kernel;
use crate::cgroup::Hierarchy;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::http;
use crate::policies::Policies;
use crate::privileges;
use crate::selftest::{self, Prober};
use crate::sys;
use crate::watch::Watch;
use files::Files;
use workload::Watched;

/// How often everything is looked at although nothing was notified: cgroups and files can
/// appear in directories that don't exist yet.
const CHECK: Duration = Duration::from_secs(2);

/// Enforces until SIGINT or SIGTERM.
pub fn run(args: &Standalone) -> Result<u8, Failure> {
    sys::keep_little_memory();
    for file in &args.common.files {
        files::can_be_read_again(file)?;
    }
    let policies = Policies::read(&args.common.files)?;
    policies.warn_of_holds();
    let hierarchy = Hierarchy::find()?;
    let denials = agent::denials(args.common.denials.as_deref())?;
    // A typo in a path must not look like a workload that hasn't started.
    for workload in &args.workloads {
        hierarchy.open(&workload.cgroup)?;
    }
    let prober = Prober::start()?;
    let mut engine = Engine::new(Kernel::load()?);
    policies.warn_of_gaps(engine.maps().gaps());
    let mut workloads = Vec::new();
    for workload in &args.workloads {
        let id = engine.add(workload.identity(&args.common), &policies, Instant::now())?;
        workloads.push(Watched::new(id, workload));
    }
    let judged = engine.judged();
    selftest::run(engine.maps(), &hierarchy, prober, judged)?;
    let state = PolicyState {
        policies: policies.len(),
        ..PolicyState::default()
    };
    let files = Files::new(args.common.files.clone(), &policies);
    privileges::drop_all_but(CapabilitySet::empty())?;
    privileges::refuse_calls()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let node = agent::node(args.common.node.as_deref());
        let questions = http::questions(args.common.metrics).await?;
        let mut agent = Agent::start(engine, state, denials, questions, node)?;
        let result = serve(&mut agent, files, workloads, &hierarchy).await;
        agent.finish();
        result
    })?;
    Ok(0)
}

async fn serve(
    agent: &mut Agent,
    mut files: Files,
    mut workloads: Vec<Watched>,
    hierarchy: &Hierarchy,
) -> Result<(), Failure> {
    let mut policy_watch = Watch::new().context("cannot watch the policy files")?;
    let mut cgroup_watch = Watch::new().context("cannot watch the cgroups")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    for workload in &mut workloads {
        workload.start(agent, hierarchy)?;
    }
    tracing::info!(
        workloads = workloads.len(),
        policies = agent.policies.policies,
        "enforcing: the self-test's denials were seen"
    );
    let mut files_due = Instant::now();
    let mut noticed = None;
    loop {
        policy_watch
            .set(&files.watches())
            .context("cannot watch the policy files")?;
        let cgroups: BTreeMap<_, _> = workloads
            .iter()
            .flat_map(|workload| workload.watches(hierarchy))
            .collect();
        cgroup_watch
            .set(&cgroups)
            .context("cannot watch the cgroups")?;
        // What changed before the watch was in place is seen here.
        let now = Instant::now();
        if now >= files_due {
            files.check(agent, noticed.take().unwrap_or(now));
            files_due = now + CHECK;
        }
        let mut next = files_due;
        for workload in &mut workloads {
            next = next.min(workload.check(agent, hierarchy, now).unwrap_or(next));
        }
        let cause = async {
            tokio::select! {
                result = policy_watch.changed(|path, event, name| files.notice(path, event, name)) =>
                    result.map(|()| Cause::Edit),
                result = cgroup_watch.changed(|_, _, _| true) => result.map(|()| Cause::Check),
                () = tokio::time::sleep_until(next.into()) => Ok(Cause::Check),
                _ = hangup.recv() => Ok(Cause::Edit),
                _ = interrupt.recv() => Ok(Cause::End),
                _ = terminate.recv() => Ok(Cause::End),
            }
        };
        match agent.work_until(cause).await? {
            Cause::End => break,
            Cause::Edit => {
                noticed = Some(Instant::now());
                // An editor's rename and write come as several events. What is notified
                // meanwhile is looked at next.
                agent.work_until(tokio::time::sleep(files::DEBOUNCE)).await;
                files_due = Instant::now();
            }
            Cause::Check => {}
        }
    }
    tracing::info!("ending: nothing is enforced any more");
    let now = Instant::now();
    for workload in &workloads {
        agent.engine.remove(workload.id(), now)?;
    }
    Ok(())
}

enum Cause {
    /// Something happened to the policy files that can matter.
    Edit,
    /// Look at everything.
    Check,
    /// End.
    End,
}
