//! The product: a real cluster, from `kubectl apply` to a denied system call.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::cluster_steps::STEPS;
use super::conclude;
use super::transcript::{self, Transcript};
use crate::ahead::Ahead;
use crate::cluster::{Running, Up};
use crate::command::say;
use crate::images::Image;
use crate::paths;
use crate::prometheus::program;
use crate::setup::KernelLine;
use crate::vm::Lines;

/// The cluster's name.
const CLUSTER: &str = "demo";
/// Where the steps have what they protect.
pub(crate) const NAMESPACE: &str = "shop";
/// What the steps need.
const IMAGES: [Image; 3] = [Image::Operator, Image::Enforcer, Image::Nginx];

/// Boots a cluster and shows all steps in it.
pub(super) fn run(kernel: KernelLine, keep: bool) -> Result<()> {
    let parts = Ahead::start("what clusters are made of", prepare);
    let archives = Image::build_all(&IMAGES);
    parts.finish()?;
    let archives = archives?;
    let start = Instant::now();
    let cluster = Up::with_kernel(kernel).boot(CLUSTER)?;
    say("giving the node the images");
    // Whatever fails, the cluster has to end.
    let transcript = cluster.load(&archives).and_then(|()| show(&cluster));
    let failed = transcript
        .as_ref()
        .map_or(true, |transcript| !transcript.mismatches().is_empty());
    let logs = if failed {
        Some(cluster.keep_logs()?.display().to_string())
    } else {
        None
    };
    if keep {
        say(format!(
            "the cluster runs on; KUBECONFIG is {}",
            cluster.kubeconfig().display()
        ));
    } else {
        cluster.end()?;
    }
    conclude(&transcript?, start.elapsed(), logs.as_deref())
}

/// Shows all steps in a cluster that has the images and nothing else; an error if one of them
/// didn't do what it should.
pub(crate) fn show_in(cluster: &Running) -> Result<()> {
    let start = Instant::now();
    conclude(&show(cluster)?, start.elapsed(), None)
}

fn prepare() -> Result<()> {
    Up::default().prepare().map(|_| ())
}

/// Runs the script in a shell of this machine, beside a Prometheus.
fn show(cluster: &Running) -> Result<Transcript> {
    let prometheus = cluster.prometheus()?;
    let mut path = Vec::new();
    for program in [cluster.kubectl()?, program("promtool")?] {
        let folder = program.parent().context("a program in no folder")?;
        path.push(folder.to_owned());
    }
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut shell = Command::new("sh")
        .args(["-c", &transcript::script(STEPS)])
        .current_dir(paths::root())
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PROMETHEUS", prometheus.url())
        .env(
            "PATH",
            std::env::join_paths(path).context("an unusual PATH")?,
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't run a shell")?;
    let mut transcript = Transcript::new(STEPS);
    let mut lines = Lines::new(|line| {
        if let Some(text) = transcript.line(line) {
            println!("{text}");
        }
    });
    let mut output = shell.stdout.take().context("the shell has no output")?;
    std::io::copy(&mut output, &mut lines).context("can't read the shell's output")?;
    drop(lines);
    shell.wait().context("can't wait for the shell")?;
    Ok(transcript)
}
