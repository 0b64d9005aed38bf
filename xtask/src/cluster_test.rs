//! `cargo xtask cluster-test`: the tests of tests/cluster in a real cluster.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cluster::{Running, Up};
use crate::command::{cargo, say};
use crate::images::Image;
use crate::libtest;
use crate::paths;
use crate::totals::Totals;

/// The cluster's name.
const CLUSTER: &str = "test";
const IMAGES: [Image; 3] = [Image::Operator, Image::Enforcer, Image::Busybox];
const PACKAGE: &str = "bartizan-cluster-tests";

/// Which tests, and in which cluster.
#[derive(Args, Debug, Default)]
pub(crate) struct ClusterTest {
    /// Only tests whose names contain this, and those that install Bartizan
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Let the cluster run on; the next run uses it
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    up: Up,
}

impl ClusterTest {
    /// Boots a cluster, unless one has been kept, and tests in it.
    pub(crate) fn run(&self) -> Result<Totals> {
        let archives: Vec<_> = IMAGES
            .map(Image::build)
            .into_iter()
            .collect::<Result<_>>()?;
        let cluster = match Running::find(CLUSTER)? {
            Some(kept) => kept,
            None => self.up.boot(CLUSTER)?,
        };
        let result = self.test_in(&cluster, &archives);
        if !result.as_ref().is_ok_and(|totals| totals.failed == 0) {
            say(format!("logs: {}", cluster.keep_logs()?.display()));
        }
        if !self.keep {
            cluster.end()?;
        }
        result
    }

    fn test_in(&self, cluster: &Running, archives: &[PathBuf]) -> Result<Totals> {
        cluster.load(archives)?;
        let mut tests = cargo();
        tests
            .args(["run", "--locked", "--quiet", "--package", PACKAGE, "--"])
            .arg(&self.filter)
            .env("BARTIZAN_KUBECTL", cluster.kubectl()?)
            .env("BARTIZAN_CHECKOUT", paths::root())
            .env("KUBECONFIG", cluster.kubeconfig());
        let totals = libtest::run(&mut tests)?;
        println!("{totals}");
        Ok(totals)
    }
}
