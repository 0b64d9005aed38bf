//! `cargo xtask scale`: what clusters cost the operator that are larger than one can run.

use std::num::NonZeroU32;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::api::{remove_old_folders, with_programs};
use crate::bench::Format;
use crate::command::{cargo, line, run, say};
use crate::paths;
use crate::setup::{ControlPlane, KubernetesRelease};

const OPERATOR: &str = "bartizan-operator";
const EXAMPLE: &str = "scale";
const API: &str = "bartizan-api-tests";
const API_PROGRAM: &str = "bartizan-api-scale";

const HELP: &str = "\
The operator's index and planner are fed with a cluster that is made up, always the same
for the same numbers, and no API server. Policies have the shapes of config/samples: one
in fifty is the cluster's, half of the others are for every pod or many of a namespace
and half for one application. Pods are replicas of applications, ten each.

Printed beside its goal is what it takes from nothing to everything planned, from an edit
of a policy that selects a hundredth of the pods to all of them planned, and from a new
pod to its plan; the memory for it; and the bytes that are written for each pod. Times are
of the machine that runs this: what a busy one adds is in them. A goal that is missed is
marked, and no error.

With --api the operator runs as a process against a real API server and etcd, with pods
that are only objects, policies for ten of them each, and enforcers that are simulated.
Then times go from the request that edits a policy, or creates a pod, to the event that
tells a node what was published.

Examples:
  cargo xtask scale                                        the cluster of the goals
  cargo xtask scale --nodes 50 --pods 500 --policies 20    a small one, in less than a second
  cargo xtask scale --api                                  through an API server
  cargo xtask scale -o json > scale.json                   for programs";

/// What cluster to measure with.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Scale {
    /// Go through a real API server
    #[arg(long, conflicts_with = "policies")]
    api: bool,
    /// Nodes that pods are on [default: 5000; with --api: 500]
    #[arg(long)]
    nodes: Option<NonZeroU32>,
    /// Pods [default: 100000; with --api: 5000]
    #[arg(long)]
    pods: Option<NonZeroU32>,
    /// Policies of both kinds
    #[arg(long, default_value = "1000")]
    policies: NonZeroU32,
    /// How to print the results; progress goes to standard error
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Scale {
    /// Builds the operator as it is released, measures and prints.
    pub(crate) fn run(&self) -> Result<u8> {
        say("building the operator with --release");
        let build = ["build", "--locked", "--quiet", "--release", "--package"];
        let mut measure = self.measure();
        if self.api {
            let plane = ControlPlane::get(KubernetesRelease::ALL[0])?;
            run(cargo().args(build).arg(OPERATOR))?;
            run(cargo().args(build).args([API, "--bin", API_PROGRAM]))?;
            with_programs(&mut measure, &plane, "release");
        } else {
            run(cargo().args(build).args([OPERATOR, "--example", EXAMPLE]))?;
        }
        say(line(&measure));
        // What it prints is the result, so it has our standard output.
        let status = measure.status()?;
        if self.api {
            remove_old_folders()?;
        }
        Ok(u8::from(!status.success()))
    }

    fn measure(&self) -> Command {
        let (program, nodes, pods) = if self.api {
            (API_PROGRAM.to_owned(), 500, 5_000)
        } else {
            (format!("examples/{EXAMPLE}"), 5_000, 100_000)
        };
        let number = |given: Option<NonZeroU32>, default| given.map_or(default, NonZeroU32::get);
        let mut measure = Command::new(paths::target().join("release").join(program));
        measure
            .args(["--nodes", &number(self.nodes, nodes).to_string()])
            .args(["--pods", &number(self.pods, pods).to_string()]);
        if !self.api {
            measure.args(["--policies", &self.policies.to_string()]);
        }
        let output = match self.output {
            Format::Table => "table",
            Format::Json => "json",
        };
        measure.args(["--output", output]);
        measure
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        scale: Scale,
    }

    fn check(args: &[&str], expected: &str) {
        let args = [&["scale"], args].concat();
        let scale = Only::try_parse_from(args).ok().map(|only| only.scale);
        let command = line(&scale.expect("they are arguments").measure());
        assert!(command.ends_with(expected), "{command}");
    }

    #[test]
    fn without_arguments_the_cluster_is_that_of_the_goals() {
        check(
            &[],
            "/release/examples/scale --nodes 5000 --pods 100000 --policies 1000 --output table",
        );
    }

    #[test]
    fn through_an_api_server_the_cluster_is_smaller() {
        check(
            &["--api", "--pods", "100"],
            "/release/bartizan-api-scale --nodes 500 --pods 100 --output table",
        );
    }

    #[test]
    fn the_measuring_program_is_told_what_was_asked_for() {
        check(
            &[
                "--nodes",
                "50",
                "--pods",
                "500",
                "--policies",
                "20",
                "-o",
                "json",
            ],
            "--nodes 50 --pods 500 --policies 20 --output json",
        );
    }
}
