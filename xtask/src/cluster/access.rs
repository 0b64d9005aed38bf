//! Ways into a running cluster: kubectl, and commands on its nodes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::addresses::NodeNumber;
use super::folder::Folder;
use super::plan::Plan;
use crate::command::line;

/// Runs kubectl as the administrator with our standard streams; returns its exit status.
pub(super) fn kubectl(folder: &Folder, arguments: &[String]) -> Result<u8> {
    folder.supervisor()?;
    status(kubectl_command(folder)?.args(arguments))
}

/// The program of the cluster's release.
pub(super) fn kubectl_program(folder: &Folder) -> Result<PathBuf> {
    // The API server's program is in the same folder.
    let plan = Plan::read(folder)?;
    let mut programs = plan
        .servers
        .iter()
        .map(|server| PathBuf::from(&server.line[0]));
    let server = programs.find(|program| program.ends_with("kube-apiserver"));
    let server = server.context("this cluster has no API server")?;
    Ok(server.with_file_name("kubectl"))
}

/// kubectl as the administrator.
pub(super) fn kubectl_command(folder: &Folder) -> Result<Command> {
    let mut command = Command::new(kubectl_program(folder)?);
    command
        .arg("--kubeconfig")
        .arg(folder.file("kubeconfig"))
        .arg("--cache-dir")
        .arg(folder.file("kubectl-cache"));
    Ok(command)
}

/// Runs a command on a node with our standard streams; returns its exit status.
pub(super) fn exec(folder: &Folder, node: &str, command: &[String]) -> Result<u8> {
    let node = NodeNumber::of_name(node).with_context(|| format!("there is no node {node}"))?;
    status(ssh(folder, node)?.args(command))
}

/// Gives all nodes the images of an archive.
pub(super) fn load(folder: &Folder, archive: &Path) -> Result<()> {
    let plan = Plan::read(folder)?;
    let names = plan.servers.iter().map(|server| server.name.as_str());
    for node in names.filter_map(NodeNumber::of_name) {
        let file =
            File::open(archive).with_context(|| format!("can't open {}", archive.display()))?;
        let mut command = ssh(folder, node)?;
        command.arg("ctr --namespace k8s.io images import --all-platforms -");
        let done = command.stdin(file).output();
        let done = done.with_context(|| format!("can't run {}", line(&command)))?;
        if !done.status.success() {
            bail!(
                "{} can't import {}: {}",
                node.name(),
                archive.display(),
                String::from_utf8_lossy(&done.stderr)
            );
        }
    }
    Ok(())
}

/// A shell on a node.
fn ssh(folder: &Folder, node: NodeNumber) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command
        .args(["--net", "--target", &folder.supervisor()?, "--"])
        .args(["ssh", "-q", "-F", "none", "-i"])
        .arg(folder.file("keys/ssh"))
        // The node's key is new at each start, and nobody else has its address.
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "ConnectTimeout=30", "-o", "BatchMode=yes"])
        .arg(format!("root@{}", node.address()))
        .arg("--");
    Ok(command)
}

fn status(command: &mut Command) -> Result<u8> {
    let status = command
        .status()
        .with_context(|| format!("can't run {}", line(command)))?;
    // Killed by a signal counts as 255.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(u8::MAX))
}
