//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::api::Api;
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::cluster_test::ClusterTest;
use crate::command::say;
use crate::demo::Demo;
use crate::e2e::{Batch, Soak};
use crate::fuzz::Fuzz;
use crate::guest::Guest;
use crate::images::Images;
use crate::scale::Scale;
use crate::suite::Suite;
use crate::throughput::Throughput;
use crate::trial::Trial;
use crate::{ebpf, generate, monitoring, setup};

/// Builds, tests and tries Bartizan.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install and download everything that the other commands need
    Setup {
        /// Look for newer kernels although some are in the cache
        #[arg(long)]
        update: bool,
    },
    /// Compile the BPF programs to target/bpf/bartizan-lsm.o
    BuildEbpf(ebpf::Build),
    /// Write the files that are made from the code: kinds, scrapes and reference pages
    Generate,
    /// Run a shell script in a real kernel
    Guest(Guest),
    /// Run a command under policies in a real kernel; prints its denials as JSON lines
    Vm(Trial),
    /// Show what Bartizan does, as a checked transcript from a real cluster
    Demo(Demo),
    /// Run the kernel tests (tests/e2e) in real kernels
    E2e(Batch),
    /// Run the tests against API servers (tests/api)
    Api(Api),
    /// Build container images into target/images
    Images(Images),
    /// Boot a real cluster with nodes in virtual machines, and work with it
    Cluster(Cluster),
    /// Run the tests in a real cluster (tests/cluster)
    ClusterTest(ClusterTest),
    /// Check alerts, their tests and the dashboard with a real Prometheus
    Monitoring,
    /// Count the instructions that decisions cost
    Bench(Bench),
    /// Run the long forms of tests under load in a real kernel; takes an hour and more
    Soak(Soak),
    /// Measure whether processes that no policy is about get slower
    Throughput(Throughput),
    /// Measure the operator with a large cluster that is made up
    Scale(Scale),
    /// Run the fuzzers for a bounded time
    Fuzz(Fuzz),
    /// Run all tests and checks
    Test(Suite),
}

impl Cli {
    /// Does what was asked for; returns the exit status.
    pub(crate) fn run(self) -> Result<u8> {
        match self.command {
            Command::Setup { update } => setup::all(update)?,
            Command::BuildEbpf(build) => say(format!("built {}", build.run()?.display())),
            Command::Generate => generate::all()?,
            Command::Guest(guest) => return guest.run(),
            Command::Vm(trial) => return trial.run(),
            Command::Demo(demo) => demo.run()?,
            Command::E2e(batch) => return Ok(batch.run()?.status()),
            Command::Api(api) => return api.run(),
            Command::Images(images) => images.run()?,
            Command::Cluster(cluster) => return cluster.run(),
            Command::ClusterTest(test) => return Ok(test.run()?.status()),
            Command::Monitoring => return Ok(monitoring::check()?.status()),
            Command::Bench(bench) => return bench.run(),
            Command::Soak(soak) => return Ok(soak.run()?.status()),
            Command::Throughput(throughput) => throughput.run()?,
            Command::Scale(scale) => return scale.run(),
            Command::Fuzz(fuzz) => say(format!("{} fuzz targets found nothing", fuzz.run()?)),
            Command::Test(suite) => return suite.run(),
        }
        Ok(0)
    }
}
