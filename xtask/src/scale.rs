//! `cargo xtask scale`: what clusters cost the operator that are larger than one can run.

use std::num::NonZeroU32;
use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::command::{cargo, line, run, say};
use crate::paths;

const PACKAGE: &str = "bartizan-operator";
const EXAMPLE: &str = "scale";

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

Examples:
  cargo xtask scale                                        the cluster of the goals
  cargo xtask scale --nodes 50 --pods 500 --policies 20    a small one, in less than a second
  cargo xtask scale -o json > scale.json                   for programs";

/// What cluster to measure with.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Scale {
    /// Nodes that pods are on
    #[arg(long, default_value = "5000")]
    nodes: NonZeroU32,
    /// Pods
    #[arg(long, default_value = "100000")]
    pods: NonZeroU32,
    /// Policies of both kinds
    #[arg(long, default_value = "1000")]
    policies: NonZeroU32,
    /// How to print the results; progress goes to standard error
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Scale {
    /// Builds the operator as it is released, measures and prints.
    pub(crate) fn run(&self) -> Result<u8> {
        say("building the operator with --release");
        run(cargo()
            .args(["build", "--locked", "--quiet", "--release"])
            .args(["--package", PACKAGE, "--example", EXAMPLE]))?;
        let mut measure = self.measure();
        say(line(&measure));
        // What it prints is the result, so it has our standard output.
        let status = measure.status()?;
        Ok(u8::from(!status.success()))
    }

    fn measure(&self) -> Command {
        let program = paths::target().join("release/examples").join(EXAMPLE);
        let mut measure = Command::new(program);
        for (option, number) in [
            ("--nodes", self.nodes),
            ("--pods", self.pods),
            ("--policies", self.policies),
        ] {
            measure.arg(option).arg(number.to_string());
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
