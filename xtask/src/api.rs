//! `cargo xtask api`: the tests of tests/api against real API servers.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::command::{cargo, run, say};
use crate::setup::{self, ControlPlane, KubernetesRelease, Package};
use crate::totals::Totals;
use crate::{libtest, paths};

const PACKAGE: &str = "bartizan-api-tests";
/// Its program that only serves.
const SERVER: &str = "bartizan-cluster";
/// Tests at once: they wait for servers much of the time.
const THREADS: usize = 8;

/// Which tests, and against what.
#[derive(Args, Debug, Default)]
pub(crate) struct Api {
    /// A release of Kubernetes to test with (several are possible) [default: all]
    #[arg(long = "kubernetes", value_enum, value_name = "RELEASE")]
    releases: Vec<KubernetesRelease>,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Instead of testing, keep an API server with Bartizan's kinds running, to try things on
    #[arg(long, conflicts_with = "filter")]
    serve: bool,
}

impl Api {
    /// Builds what is missing, and tests or serves; returns the exit status.
    pub(crate) fn run(&self) -> Result<u8> {
        if self.serve {
            return self.serve();
        }
        Ok(self.test()?.status())
    }

    /// Runs the tests, with all releases at once.
    pub(crate) fn test(&self) -> Result<Totals> {
        let releases = if self.releases.is_empty() {
            &KubernetesRelease::ALL[..]
        } else {
            &self.releases
        };
        setup::ensure(&[Package::FAKETIME])?;
        let mut planes = Vec::new();
        for release in releases {
            planes.push((release, ControlPlane::get(*release)?));
        }
        run(cargo().args([
            "build",
            "--locked",
            "--quiet",
            "--tests",
            "--package",
            PACKAGE,
        ]))?;
        build_operator()?;
        remove_old_folders()?;
        let threads = THREADS.div_ceil(planes.len());
        let mut totals = Totals::default();
        thread::scope(|scope| -> Result<()> {
            let mut runs = Vec::new();
            for (release, plane) in &planes {
                say(format!("testing with Kubernetes {release}"));
                runs.push(scope.spawn(move || self.test_with(**release, plane, threads)));
            }
            for run in runs {
                totals.add(run.join().expect("it returns its errors")?);
            }
            Ok(())
        })?;
        if totals.failed == 0 {
            remove_old_folders()?;
        }
        println!("{totals}");
        Ok(totals)
    }

    fn test_with(
        &self,
        release: KubernetesRelease,
        plane: &ControlPlane,
        threads: usize,
    ) -> Result<Totals> {
        let mut tests = cargo();
        tests
            .args(["test", "--locked", "--quiet", "--no-fail-fast"])
            .args(["--package", PACKAGE, "--"])
            .args(["--test-threads", &threads.to_string()])
            .arg(&self.filter);
        libtest::run_labelled(&format!("{release} "), with_servers(&mut tests, plane))
    }

    fn serve(&self) -> Result<u8> {
        let release = self.releases.first();
        let plane = ControlPlane::get(*release.unwrap_or(&KubernetesRelease::ALL[0]))?;
        say("starting; the line below is the path for KUBECONFIG, Ctrl-C ends it");
        say(format!(
            "kubectl is {}",
            plane.kubernetes.join("kubectl").display()
        ));
        let mut server = cargo();
        server.args(["run", "--locked", "--quiet", "--package", PACKAGE]);
        server.args(["--bin", SERVER]);
        let status = with_servers(&mut server, &plane)
            .status()
            .context("can't run cargo")?;
        remove_old_folders()?;
        Ok(u8::from(!status.success()))
    }
}

/// The operator as it is now: the tests run it as a process.
fn build_operator() -> Result<()> {
    run(cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "bartizan-operator",
    ]))
}

/// Tells the tests where the servers' programs are.
fn with_servers<'a>(command: &'a mut Command, plane: &ControlPlane) -> &'a mut Command {
    with_programs(command, plane, "debug")
}

/// The same, with the operator of a profile.
pub(crate) fn with_programs<'a>(
    command: &'a mut Command,
    plane: &ControlPlane,
    profile: &str,
) -> &'a mut Command {
    command
        .env("BARTIZAN_ETCD", plane.etcd.join("etcd"))
        .env("BARTIZAN_KUBERNETES", &plane.kubernetes)
        .env(
            "BARTIZAN_OPERATOR",
            paths::target().join(profile).join("bartizan-operator"),
        )
}

/// Removes what runs left below `target/api`: logs of failed tests, and data of servers
/// that ended with their process. Folders are called `PID-NUMBER`.
pub(crate) fn remove_old_folders() -> Result<()> {
    let dir = paths::target().join("api");
    let Ok(entries) = fs::read_dir(&dir) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((process, _)) = name.split_once('-') else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("can't remove {}", path.display()))?;
        }
    }
    Ok(())
}
