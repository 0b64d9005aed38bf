//! `bartizan-enforcer node`: what the operator publishes, in the containers of this node.
//!
//! ```text
//!   api ─► PodEnforcements, rule maps ─┐             ┌─► engine ─► kernel
//!   kubelet's cgroups ─────────────────┼─► Pods ─────┤
//!   runtime: names, before they start ─┤             │
//!   kernel: first execs, denials ──────┘             └─► Statuses, Notices ─► api
//!                                    └─ Copies ◄► disk
//! ```
//!
//! [`pods::Pods`] decides and knows neither clock nor API server; one task owns it and the
//! engine, so nothing locks. Whatever happens, the loop looks at everything that is due and
//! then waits.
//!
//! A node that can't enforce is no reason to end: it says so in the status of every pod
//! that counts on it. What was in the way may pass, so it starts itself anew now and then;
//! in the same process, which is no restart to Kubernetes.

pub mod api;
pub mod containers;
pub mod copies;
pub mod enforce;
mod handover;
mod hands;
pub mod hold;
pub mod keys;
pub mod kubelet;
mod load;
pub mod notices;
mod partial;
pub mod pods;
pub mod rule_maps;
mod runtime;
pub mod status;
pub mod statuses;
mod work;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustix::thread::CapabilitySet;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::agent;
use crate::args::Node;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::http;
use crate::privileges;
use crate::selftest::Prober;
use crate::sys;
use hands::Hands;
use work::Work;

/// Denials on their way to events; the log has all of them.
const DENIALS: usize = 64;

/// Enforces until SIGINT or SIGTERM, and leaves in the kernel what is enforced.
pub fn run(args: &Node) -> Result<u8, Failure> {
    sys::keep_little_memory();
    let denials = agent::denials(args.denials.as_deref())?;
    // Forks, so it comes before threads.
    let prober = Prober::start()?;
    privileges::drop_all_but(CapabilitySet::empty())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = LocalSet::new().block_on(&runtime, async {
        let mut questions = http::questions(args.metrics).await?;
        let client = connect(args).await?;
        let node = Some(args.name.clone());
        let (notify, denied) = mpsc::channel(DENIALS);
        let able = load::load(&args.traces.pins, prober, &mut questions).await;
        let (hands, hierarchy) = match able {
            Ok((kernel, hierarchy)) => {
                let hands = Hands::able(Engine::new(kernel), denials, questions, node, notify)?;
                // A node that can't enforce starts anew, with another self-test.
                privileges::refuse_calls()?;
                tracing::info!("enforcing: the self-test's denials were seen");
                (hands, Some(hierarchy))
            }
            Err(failure) => (Hands::unable(&failure, questions), None),
        };
        let is_able = hierarchy.is_some();
        let work = Work::new(hands, hierarchy, client, denied, args)?;
        tokio::select! {
            result = work.run() => result.map(|()| Ended::AsTold),
            () = sleep(Duration::from_secs(args.retry_after)), if !is_able => Ok(Ended::Unable),
        }
    })?;
    match ended {
        Ended::AsTold => Ok(0),
        Ended::Unable => {
            drop(runtime);
            tracing::info!("trying again whether this node can enforce");
            let mut again = Command::new("/proc/self/exe");
            let error = again.args(env::args_os().skip(1)).exec();
            Err(anyhow::Error::new(error)
                .context("cannot start anew")
                .into())
        }
    }
}

/// Why the work is over.
enum Ended {
    /// By a signal.
    AsTold,
    /// The node can't enforce, and it is time to try again.
    Unable,
}

/// A client of the API server, which needn't answer yet.
async fn connect(args: &Node) -> anyhow::Result<Client> {
    let config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("cannot use {}", path.display()))?
        }
        None => Config::incluster()
            .context("no API server is known: run in a pod, or give --kubeconfig")?,
    };
    Client::try_from(config).context("cannot make a client of the API server")
}
