//! `cargo xtask cluster`: a real Kubernetes whose nodes are virtual machines.
//!
//! ```text
//!  up ──► keys, disks, plan.json ──► unshare ──► supervisor (first process of its own
//!                                                 network and process namespaces)
//!                                                   ├── etcd, API server, controllers, scheduler
//!                                                   ├── bridge ── taps ── QEMU: node-1, node-2 ...
//!  kubectl ──► 127.0.0.1:PORT (a socket of up's) ───┴── forwarded to the API server
//!  exec ──► nsenter ──► ssh to a node
//! ```
//! Everything that runs is in the supervisor's process namespace, and every address and
//! device in its network namespace: when the supervisor ends, however it does, the kernel
//! removes all of it. So `down` only kills one process and removes a folder, clusters can't
//! collide, and a cluster whose supervisor was killed leaves nothing but its folder.

mod access;
mod addresses;
mod folder;
mod forward;
mod keys;
mod node;
mod plan;
mod scrape;
mod servers;
mod supervisor;
mod up;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::command::say;
use crate::images::Image;
use crate::monitoring;
use crate::prometheus::Prometheus;
use folder::Folder;
pub(crate) use node::Init;
pub(crate) use up::Up;

/// Which cluster, and what to do with it.
#[derive(Args, Debug)]
pub(crate) struct Cluster {
    /// The cluster's name: several can run side by side
    #[arg(long, default_value = "default")]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot a cluster; returns when its nodes are ready
    Up(Up),
    /// Run kubectl as the cluster's administrator
    #[command(disable_help_flag = true)]
    Kubectl {
        /// What kubectl is to do
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// List the logs, or print one
    Logs {
        /// For example `kube-apiserver` or `node-1.kubelet`
        log: Option<String>,
    },
    /// Run a command on a node
    Exec {
        /// The node
        #[arg(long, default_value = "node-1")]
        node: String,
        /// A command for the node's shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Give all nodes images
    Load {
        /// Images to build and load [default: all]
        #[arg(value_enum)]
        images: Vec<Image>,
    },
    /// Ask a Prometheus that scrapes the cluster all that alerts and the dashboard ask
    Monitoring,
    /// Stop a server or a node until it is started again: `kube-apiserver`, `node-1`
    Stop {
        /// As its log is called
        server: String,
    },
    /// Start what was stopped; a node starts with a new disk
    Start {
        /// As its log is called
        server: String,
    },
    /// End the cluster and remove all that it made
    Down,
    /// What a cluster's first process does
    #[command(hide = true)]
    Supervise,
}

impl Cluster {
    /// Does what was asked for; returns the exit status.
    pub(crate) fn run(&self) -> Result<u8> {
        let folder = Folder::of(&self.name)?;
        match &self.command {
            Command::Up(up) => up.run(&folder)?,
            Command::Kubectl { arguments } => return access::kubectl(&folder, arguments),
            Command::Logs { log } => match log {
                Some(log) => print!("{}", folder.log(log)?),
                None => folder.logs()?.iter().for_each(|log| println!("{log}")),
            },
            Command::Exec { node, command } => return access::exec(&folder, node, command),
            Command::Load { images } if images.is_empty() => load(&folder, &Image::ALL)?,
            Command::Load { images } => load(&folder, images)?,
            Command::Monitoring => {
                folder.supervisor()?;
                return Ok(monitoring::check_in(&Running(folder))?.status());
            }
            Command::Stop { server } => folder.stop_server(server)?,
            Command::Start { server } => folder.start_server(server)?,
            Command::Down => {
                if !folder.exists() {
                    bail!("there is no cluster {}", self.name);
                }
                folder.remove()?;
                say(format!("removed cluster {}", self.name));
            }
            Command::Supervise => supervisor::run(&folder)?,
        }
        Ok(0)
    }
}

/// A cluster that is up, for other commands.
pub(crate) struct Running(Folder);

impl Running {
    /// The cluster of that name, if it is up.
    pub(crate) fn find(name: &str) -> Result<Option<Self>> {
        let folder = Folder::of(name)?;
        Ok(folder.is_up().then_some(Self(folder)))
    }

    /// The path of the administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.file("kubeconfig")
    }

    /// The path of a kubectl of the cluster's release.
    pub(crate) fn kubectl(&self) -> Result<PathBuf> {
        access::kubectl_program(&self.0)
    }

    /// Gives all nodes the images of archives.
    pub(crate) fn load(&self, archives: &[PathBuf]) -> Result<()> {
        let load = |archive: &PathBuf| access::load(&self.0, archive);
        archives.iter().try_for_each(load)
    }

    /// Copies the logs to where they outlive the cluster; returns the path.
    pub(crate) fn keep_logs(&self) -> Result<PathBuf> {
        self.0.keep_logs()
    }

    /// Starts a Prometheus that scrapes Bartizan in it, and ends with the value.
    pub(crate) fn prometheus(&self) -> Result<Prometheus> {
        scrape::start(&self.0)
    }

    /// Ends it and removes all that it made.
    pub(crate) fn end(self) -> Result<()> {
        self.0.remove()
    }
}

/// Builds images and gives them to all nodes.
fn load(folder: &Folder, images: &[Image]) -> Result<()> {
    folder.supervisor()?;
    for archive in Image::build_all(images)? {
        access::load(folder, &archive)?;
    }
    Ok(())
}
