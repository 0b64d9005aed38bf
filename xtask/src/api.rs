//! `cargo xtask api`: the tests of tests/api against real API servers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::command::{cargo, run, say};
use crate::setup::{ControlPlane, KubernetesRelease};
use crate::totals::Totals;
use crate::{libtest, paths};

const PACKAGE: &str = "bartizan-api-tests";

/// Which tests, and against what.
#[derive(Args, Debug, Default)]
pub(crate) struct Api {
    /// A release of Kubernetes to test with (several are possible) [default: all]
    #[arg(long = "kubernetes", value_enum, value_name = "RELEASE")]
    releases: Vec<KubernetesRelease>,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

impl Api {
    /// Builds what is missing and runs the tests with one release after the other.
    pub(crate) fn run(&self) -> Result<Totals> {
        let releases = if self.releases.is_empty() {
            &KubernetesRelease::ALL[..]
        } else {
            &self.releases
        };
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
        remove_old_folders()?;
        let mut totals = Totals::default();
        for (release, plane) in &planes {
            say(format!("testing with Kubernetes {release}"));
            totals.add(self.test(plane)?);
        }
        if totals.failed == 0 {
            remove_old_folders()?;
        }
        println!("{totals}");
        Ok(totals)
    }

    fn test(&self, plane: &ControlPlane) -> Result<Totals> {
        let mut tests = cargo();
        tests
            .args(["test", "--locked", "--quiet", "--package", PACKAGE, "--"])
            .arg(&self.filter)
            .env("BARTIZAN_ETCD", plane.etcd.join("etcd"))
            .env("BARTIZAN_KUBERNETES", &plane.kubernetes);
        libtest::run(&mut tests)
    }
}

/// Removes what runs left below `target/api`: logs of failed tests, and data of servers
/// that ended with their process. Folders are called `PID-NUMBER`.
fn remove_old_folders() -> Result<()> {
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
