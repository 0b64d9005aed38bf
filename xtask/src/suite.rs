//! `cargo xtask test`: everything that has to hold before a change is merged.
//!
//! All steps run, also after one has failed, so that one run tells all there is to mend.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::ahead::Ahead;
use crate::api::Api;
use crate::bench::Bench;
use crate::cluster_test::{self, ClusterTest};
use crate::command::{cargo, run, run_quietly, say};
use crate::e2e::Batch;
use crate::fuzz::{self, Fuzz};
use crate::images::Image;
use crate::totals::Totals;
use crate::{ebpf, libtest, monitoring, paths, setup};

const CARGO_DENY: &str = "0.20.2";
const FUZZ_SECONDS: u32 = 20;
/// The only package that doesn't build for this machine.
const KERNEL_PROGRAMS: &str = "bartizan-ebpf-lsm";

/// How much to test.
#[derive(Args, Debug)]
pub(crate) struct Suite {
    /// Leave out what takes minutes: fuzzing, API servers, virtual machines and clusters
    #[arg(long)]
    quick: bool,
}

/// A part of the suite: a name and what it does.
type Step = (&'static str, fn() -> Result<Totals>);

/// They take minutes where nothing has been built.
const QUICK: [Step; 8] = [
    ("formatting", formatting),
    ("lockfiles", lockfiles),
    ("lints", lints),
    ("unit and property tests", unit_tests),
    ("kernel programs", kernel_programs),
    ("alerts and dashboards", monitoring::check),
    ("documentation", documentation),
    ("licences, sources, duplicates", deny),
];
const SLOW: [Step; 5] = [
    ("fuzzing", fuzzing),
    ("tests against API servers", api_tests),
    ("tests in real kernels", kernel_tests),
    ("cost of decisions", cost),
    ("tests in real clusters", cluster_tests),
];

impl Suite {
    /// Runs the steps, prints a list of them and then the totals as the last line.
    pub(crate) fn run(&self) -> Result<u8> {
        let mut report = Report::default();
        if self.quick {
            report.of = QUICK.len();
            report.all(&QUICK);
        } else {
            report.of = QUICK.len() + 1 + SLOW.len();
            let ahead = Ahead::start("set-up and images", prepare);
            report.all(&QUICK);
            report.step("set-up and images", || {
                ahead.finish().map(|()| Totals::default())
            });
            report.all(&SLOW);
        }
        let Report { list, totals, .. } = report;
        println!(
            "\n{}\nadvisories are not checked: they need the internet",
            list.join("\n")
        );
        println!("{totals}");
        std::io::stdout().flush().context("can't print")?;
        Ok(totals.status())
    }
}

/// What has been run so far.
#[derive(Default)]
struct Report {
    /// How many steps there will be.
    of: usize,
    /// A line for each.
    list: Vec<String>,
    totals: Totals,
}

impl Report {
    fn all(&mut self, steps: &[Step]) {
        for (name, step) in steps {
            self.step(name, step);
        }
    }

    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<Totals>) {
        say(format!("{}/{}: {name}", self.list.len() + 1, self.of));
        let start = Instant::now();
        let result = step();
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        self.list.push(line(name, start.elapsed(), &result));
        // A step that can't say how many of its cases failed counts as one.
        self.totals.add(result.unwrap_or(Totals {
            failed: 1,
            ..Totals::default()
        }));
    }
}

/// What the slow steps need, the quick ones' tools first.
fn prepare() -> Result<()> {
    setup::cargo_tool("cargo-deny", CARGO_DENY)?;
    setup::all(false)?;
    Image::build_all(&cluster_test::IMAGES).map(|_| ())
}

fn line(name: &str, took: Duration, result: &Result<Totals>) -> String {
    let (verdict, detail) = match result {
        Ok(totals) if *totals == Totals::default() => ("ok", String::new()),
        Ok(totals) if totals.failed == 0 => ("ok", totals.to_string()),
        Ok(totals) => ("FAIL", totals.to_string()),
        Err(_) => ("FAIL", "see above".to_owned()),
    };
    format!(
        "{verdict:<4} {name:<30} {:>6.1} s  {detail}",
        took.as_secs_f32()
    )
    .trim_end()
    .to_owned()
}

fn formatting() -> Result<Totals> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo()
        .args(["fmt", "--check", "--manifest-path"])
        .arg(fuzz::manifest()))?;
    Ok(Totals::default())
}

/// Once this has passed, no later step changes a lockfile.
fn lockfiles() -> Result<Totals> {
    for manifest in [paths::root().join("Cargo.toml"), fuzz::manifest()] {
        let mut metadata = cargo();
        metadata.args([
            "metadata",
            "--locked",
            "--format-version=1",
            "--manifest-path",
        ]);
        run_quietly(metadata.arg(manifest))?;
    }
    Ok(Totals::default())
}

fn lints() -> Result<Totals> {
    run(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--exclude",
        KERNEL_PROGRAMS,
        "--quiet",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Totals::default())
}

fn unit_tests() -> Result<Totals> {
    libtest::run(cargo().args(["test", "--locked", "--quiet", "--no-fail-fast"]))
}

fn kernel_programs() -> Result<Totals> {
    ebpf::Build::default().run()?;
    Ok(Totals::default())
}

fn documentation() -> Result<Totals> {
    let mut doc = cargo();
    // Private items are documented too, for those who work on the code.
    doc.env(
        "RUSTDOCFLAGS",
        "-D warnings -A rustdoc::private-intra-doc-links",
    );
    run(doc.args([
        "doc",
        "--locked",
        "--workspace",
        "--exclude",
        KERNEL_PROGRAMS,
        "--quiet",
        "--no-deps",
        "--document-private-items",
    ]))?;
    Ok(Totals::default())
}

fn deny() -> Result<Totals> {
    let program = setup::cargo_tool("cargo-deny", CARGO_DENY)?;
    let mut deny = Command::new(program);
    deny.current_dir(paths::root());
    run(deny.args([
        "--offline",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    Ok(Totals::default())
}

fn fuzzing() -> Result<Totals> {
    let passed = Fuzz::all(FUZZ_SECONDS).run()?;
    Ok(Totals {
        passed,
        ..Totals::default()
    })
}

fn api_tests() -> Result<Totals> {
    Api::default().test()
}

fn cost() -> Result<Totals> {
    Bench::brief().check()
}

fn cluster_tests() -> Result<Totals> {
    ClusterTest::default().run()
}

fn kernel_tests() -> Result<Totals> {
    Batch::default().run()
}
