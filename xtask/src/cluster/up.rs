//! `cargo xtask cluster up`: from nothing to ready nodes.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::Running;
use super::access::kubectl_command;
use super::addresses::NodeNumber;
use super::folder::Folder;
use super::keys::{Keys, api_server};
use super::node::{Init, Layout, network};
use super::plan::Plan;
use super::servers::control_plane;
use crate::command::{is_root, output, say};
use crate::setup::{
    ControlPlane, Kernel, KernelLine, KubernetesRelease, NodePrograms, Package, ensure, node_disk,
    qemu,
};

/// Longer than a part of the start ever took on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(250);
/// Of a node, in MiB.
const MEMORY: u32 = 2048;

/// What the cluster is made of.
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// How many nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(NodeNumber::MAX)))]
    pub(crate) nodes: u8,
    /// The nodes' kernel
    #[arg(long, value_enum, default_value_t = KernelLine::V6_12)]
    kernel: KernelLine,
    /// The release of Kubernetes
    #[arg(long, value_enum, default_value_t = KubernetesRelease::V1_37)]
    kubernetes: KubernetesRelease,
    /// Memory of a node
    #[arg(long, value_name = "MIB", default_value_t = MEMORY)]
    pub(crate) memory: u32,
    /// What a node starts with, and who makes its cgroups
    #[arg(long, value_enum, default_value = "script")]
    pub(crate) init: Init,
    /// containerd without its plugin interface (NRI)
    #[arg(long)]
    pub(crate) without_nri: bool,
    /// The number of a node whose kernel has BPF-LSM switched off
    #[arg(long, value_name = "NODE")]
    pub(crate) without_bpf: Option<u8>,
}

/// Programs and disks of a cluster.
pub(crate) struct Parts {
    plane: ControlPlane,
    programs: NodePrograms,
    kernel: Kernel,
    disk: PathBuf,
}

impl Default for Up {
    /// As without options.
    fn default() -> Self {
        Self {
            nodes: 1,
            kernel: KernelLine::V6_12,
            kubernetes: KubernetesRelease::V1_37,
            memory: MEMORY,
            init: Init::Script,
            without_nri: false,
            without_bpf: None,
        }
    }
}

impl Up {
    /// One node with a kernel.
    pub(crate) fn with_kernel(kernel: KernelLine) -> Self {
        Self {
            kernel,
            ..Self::default()
        }
    }

    /// Boots a cluster of that name.
    pub(crate) fn boot(&self, name: &str) -> Result<Running> {
        let folder = Folder::of(name)?;
        self.run(&folder)?;
        Ok(Running(folder))
    }

    /// Builds what is missing of what it is made of.
    pub(crate) fn prepare(&self) -> Result<Parts> {
        ensure(&[
            Package::BUSYBOX,
            Package::XZ,
            Package::IPROUTE,
            Package::OPENSSL,
            Package::SSH,
        ])?;
        qemu()?;
        let plane = ControlPlane::get(self.kubernetes)?;
        let programs = NodePrograms::get(self.kubernetes)?;
        let kernel = Kernel::get(self.kernel)?;
        let disk = node_disk(&kernel, &programs)?;
        Ok(Parts {
            plane,
            programs,
            kernel,
            disk,
        })
    }

    /// Boots the cluster. Fails with nothing left of it but its logs.
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        if !is_root() {
            bail!("a cluster has a network of its own, which only root can make");
        }
        let Parts {
            plane,
            programs,
            kernel,
            disk,
        } = self.prepare()?;
        let layout = Layout {
            kernel,
            disk,
            memory_mib: self.memory,
            nodes: self.nodes,
            init: self.init,
            nri: !self.without_nri,
            without_bpf: self.without_bpf,
        };
        folder.make()?;
        let started = start(folder, &layout, &plane, &programs);
        if let Err(error) = started {
            folder.end()?;
            let logs = folder.keep_logs()?;
            folder.remove()?;
            return Err(error.context(format!("no cluster; its logs: {}", logs.display())));
        }
        Ok(())
    }
}

fn start(
    folder: &Folder,
    layout: &Layout,
    plane: &ControlPlane,
    programs: &NodePrograms,
) -> Result<()> {
    let since = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    let address = listener.local_addr().context("a socket without address")?;
    let keys = Keys::make(folder)?;
    folder.write(
        "kubeconfig",
        &keys.kubeconfig("admin", &address.to_string()),
    )?;
    let mut servers = control_plane(folder, &keys, plane, programs)?;
    for node in layout.nodes() {
        servers.push(layout.node(folder, &keys, node)?);
    }
    let plan = Plan {
        network: network(layout),
        forward: api_server(),
        servers,
    };
    plan.write(folder)?;
    say(format!(
        "starting the control plane and {} node(s) with kernel {}",
        layout.nodes, layout.kernel.release
    ));
    let mut supervisor = supervise(folder, listener)?;
    let mut wait = |what: &str, ask: &dyn Fn() -> Result<bool>| -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = ask();
            if matches!(answer, Ok(true)) {
                say(format!(
                    "{what} after {:.1} s",
                    since.elapsed().as_secs_f32()
                ));
                return Ok(());
            }
            if supervisor.try_wait().is_ok_and(|status| status.is_some()) {
                bail!("the cluster has ended:\n{}", folder.log("supervisor")?);
            }
            if let Some(words) = layout
                .nodes()
                .find_map(|node| panicked(folder, &node.name()))
            {
                bail!("{words}");
            }
            if Instant::now() > deadline {
                let late = format!("still not after {PATIENCE:?}: {what}");
                return answer
                    .map(|_| ())
                    .and_then(|()| bail!("{late}"))
                    .context(late.clone());
            }
            thread::sleep(POLL);
        }
    };
    wait("the API server is ready", &|| {
        let mut kubectl = kubectl_command(folder)?;
        Ok(output(kubectl.args(["get", "--raw", "/readyz"]))? == "ok")
    })?;
    for node in layout.nodes() {
        let name = node.name();
        wait(&format!("{name} is ready"), &|| is_ready(folder, &name))?;
    }
    say(format!(
        "cluster {} is up; KUBECONFIG is {}",
        folder.name(),
        folder.file("kubeconfig").display()
    ));
    Ok(())
}

/// Starts the supervisor, which outlives us, with namespaces of its own.
fn supervise(folder: &Folder, listener: TcpListener) -> Result<Child> {
    let log = folder.log_file("supervisor");
    let log = File::create(&log).with_context(|| format!("can't make {}", log.display()))?;
    let program = std::env::current_exe().context("can't find this program")?;
    let mut command = Command::new("setsid");
    command
        .args(["unshare", "--net", "--mount", "--pid", "--mount-proc"])
        .args(["--fork", "--kill-child=KILL", "--"])
        .arg(program)
        .args(["cluster", "--name", folder.name(), "supervise"])
        .stdin(OwnedFd::from(listener))
        .stdout(log.try_clone().context("can't copy a file descriptor")?)
        .stderr(log);
    let child = command.spawn().context("can't run setsid and unshare")?;
    folder.write("pid", &child.id().to_string())?;
    Ok(child)
}

/// The kernel's last words, if a node's kernel has panicked.
fn panicked(folder: &Folder, node: &str) -> Option<String> {
    let console = folder.log(&format!("{node}.console")).ok()?;
    let lines: Vec<_> = console.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.contains("Kernel panic"))?;
    let words = lines[at.saturating_sub(3)..=at].join("\n");
    Some(format!("the kernel of {node} has panicked:\n{words}"))
}

fn is_ready(folder: &Folder, node: &str) -> Result<bool> {
    let mut kubectl = kubectl_command(folder)?;
    let said = output(kubectl.args(["get", "node", node, "--output", "json"]))?;
    let node: Value = serde_json::from_str(&said).context("kubectl gave no JSON")?;
    let conditions = node["status"]["conditions"].as_array();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    Ok(conditions.is_some_and(|conditions| conditions.iter().any(ready)))
}
