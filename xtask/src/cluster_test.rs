//! `cargo xtask cluster-test`: the tests of tests/cluster in real clusters.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Error, Result, ensure};
use clap::{Args, ValueEnum};

use crate::cluster::{Init, Running, Up};
use crate::command::{cargo, output, run_quietly, say};
use crate::demo;
use crate::images::Image;
use crate::libtest;
use crate::paths;
use crate::setup::KernelLine;
use crate::totals::Totals;

/// What runs in the clusters.
pub(crate) const IMAGES: [Image; 4] = [
    Image::Operator,
    Image::Enforcer,
    Image::Busybox,
    Image::Probe,
];
const PACKAGE: &str = "bartizan-cluster-tests";
/// Of a node that is to hold a hundred pods, in MiB.
const LONG_MEMORY: u32 = 4096;

/// Which tests, and in which clusters.
#[derive(Args, Debug, Default)]
pub(crate) struct ClusterTest {
    /// Only tests whose names contain this, and those that install Bartizan
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Not those whose names contain this
    #[arg(long, value_name = "TEXT")]
    except: Option<String>,
    /// Only in this cluster [default: each in turn, booted beside the one before]
    #[arg(long, value_enum)]
    layout: Option<Layout>,
    /// The nodes' kernel [default: 6.12]
    #[arg(long, value_enum)]
    kernel: Option<KernelLine>,
    /// The long form: as many pods, changes and rounds as the goals say
    #[arg(long)]
    long: bool,
    /// Let the cluster run on; the next run uses it
    #[arg(long, requires = "layout")]
    keep: bool,
}

/// A cluster that tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// One node: a script as init, cgroupfs, NRI
    Plain,
    /// One node: systemd, which makes the cgroups, and no NRI
    Systemd,
    /// Three nodes, the third without BPF-LSM
    Three,
}

impl Layout {
    fn up(self, kernel: KernelLine, is_long: bool) -> Up {
        let mut up = Up::with_kernel(kernel);
        if is_long {
            up.memory = LONG_MEMORY;
        }
        match self {
            Self::Plain => {}
            Self::Systemd => {
                up.init = Init::Systemd;
                up.without_nri = true;
            }
            Self::Three => {
                up.nodes = 3;
                up.without_bpf = Some(3);
            }
        }
        up
    }

    /// The cluster's name.
    fn cluster(self) -> String {
        format!("test-{self}")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Systemd => "systemd",
            Self::Three => "three",
        })
    }
}

impl ClusterTest {
    /// Boots the clusters, unless one has been kept, and tests in each.
    pub(crate) fn run(&self) -> Result<Totals> {
        let archives = Image::build_all(&IMAGES)?;
        let layouts = match &self.layout {
            Some(layout) => std::slice::from_ref(layout),
            None => Layout::value_variants(),
        };
        let mut totals = Totals::default();
        let mut before: Option<Running> = None;
        for layout in layouts {
            say(format!("cluster `{layout}`"));
            let start = Instant::now();
            let booted = match before.take() {
                Some(before) => self.cluster_beside(before, *layout, &mut totals),
                None => self.cluster(*layout),
            };
            let (cluster, is_new) = booted?;
            let of_layout = self.in_layout(*layout, &cluster, is_new, &archives);
            let took = start.elapsed().as_secs();
            match of_layout {
                Ok(of_layout) => {
                    println!("{layout}: {of_layout}, in {took} s with the boot");
                    totals.add(of_layout);
                }
                Err(error) if self.keep => return Err(error),
                Err(error) => return Err(ended(cluster, error)),
            }
            if !self.keep {
                before = Some(cluster);
            }
        }
        before.map_or(Ok(()), Running::end)?;
        Ok(totals)
    }

    /// The next layout's cluster, booted while the one before is still there, which must not
    /// notice.
    fn cluster_beside(
        &self,
        before: Running,
        layout: Layout,
        totals: &mut Totals,
    ) -> Result<(Running, bool)> {
        let nodes = boots(&before);
        let (cluster, is_new) = match self.cluster(layout) {
            Ok(booted) => booted,
            Err(error) => return Err(ended(before, error)),
        };
        let apart = case("clusters_leave_each_other_alone", || {
            are_apart(&before, &nodes?, &cluster)
        });
        if apart.failed > 0 {
            keep_logs(&before);
            keep_logs(&cluster);
        }
        totals.add(apart);
        match before.end() {
            Ok(()) => Ok((cluster, is_new)),
            Err(error) => Err(ended(cluster, error)),
        }
    }

    /// The layout's cluster, and whether it is a new one.
    fn cluster(&self, layout: Layout) -> Result<(Running, bool)> {
        if let Some(kept) = Running::find(&layout.cluster())? {
            return Ok((kept, false));
        }
        let kernel = self.kernel.unwrap_or(KernelLine::V6_12);
        let up = layout.up(kernel, self.long);
        Ok((up.boot(&layout.cluster())?, true))
    }

    fn in_layout(
        &self,
        layout: Layout,
        cluster: &Running,
        is_new: bool,
        archives: &[PathBuf],
    ) -> Result<Totals> {
        let is_whole = self.filter.is_empty() && self.except.is_none();
        let shown = is_new && is_whole && layout == Layout::Plain;
        let result = self.test_in(cluster, layout, archives, shown);
        if !result.as_ref().is_ok_and(|totals| totals.failed == 0) {
            keep_logs(cluster);
        }
        result
    }

    /// `shown`: with the demo first.
    fn test_in(
        &self,
        cluster: &Running,
        layout: Layout,
        archives: &[PathBuf],
        shown: bool,
    ) -> Result<Totals> {
        cluster.load(archives)?;
        let mut totals = Totals::default();
        if shown {
            totals.add(case("demo", || demo(cluster)));
        }
        let xtask = std::env::current_exe().context("can't find this program")?;
        let mut tests = cargo();
        tests
            .args(["run", "--locked", "--quiet", "--package", PACKAGE, "--"])
            .arg(&self.filter)
            .args(&self.except)
            .env("BARTIZAN_XTASK", xtask)
            .env("BARTIZAN_CLUSTER", layout.cluster())
            .env("BARTIZAN_LAYOUT", layout.to_string())
            .env("BARTIZAN_LONG", self.long.to_string())
            .env("BARTIZAN_KUBECTL", cluster.kubectl()?)
            .env("BARTIZAN_CHECKOUT", paths::root())
            .env("KUBECONFIG", cluster.kubeconfig());
        totals.add(libtest::run(&mut tests)?);
        Ok(totals)
    }
}

/// Something that is tested from here, as one case.
fn case(name: &str, test: impl FnOnce() -> Result<()>) -> Totals {
    let start = Instant::now();
    let result = test();
    let took = start.elapsed().as_secs_f32();
    let mut totals = Totals::default();
    match result {
        Ok(()) => {
            println!("ok {name} ({took:.1} s)");
            totals.passed = 1;
        }
        Err(error) => {
            println!("FAIL {name} ({took:.1} s): {error:#}");
            totals.failed = 1;
        }
    }
    totals
}

/// Says where the logs of a cluster in which something failed are.
fn keep_logs(cluster: &Running) {
    match cluster.keep_logs() {
        Ok(logs) => say(format!("logs: {}", logs.display())),
        Err(error) => say(format!("the logs can't be kept: {error:#}")),
    }
}

/// Ends a cluster because of an error; that, and what went wrong at the end.
fn ended(cluster: Running, error: Error) -> Error {
    match cluster.end() {
        Ok(()) => error,
        Err(end) => error.context(format!("and its cluster didn't end: {end:#}")),
    }
}

/// Whether a cluster still has the nodes that it had before another was booted beside it.
fn are_apart(before: &Running, nodes: &BTreeSet<String>, other: &Running) -> Result<()> {
    let (own, others) = (boots(before)?, boots(other)?);
    ensure!(
        !own.is_empty() && own == *nodes && own.is_disjoint(&others),
        "nodes had booted as {nodes:?}, and are {own:?} now, those of the other {others:?}"
    );
    Ok(())
}

/// As what the nodes of a cluster booted, each of which has to be ready.
fn boots(cluster: &Running) -> Result<BTreeSet<String>> {
    const NODES: &str = "jsonpath={range .items[*]}{.status.nodeInfo.bootID} \
                         {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}";
    let mut nodes = Command::new(cluster.kubectl()?);
    nodes
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["get", "nodes", "-o", NODES]);
    let boot = |line: &str| {
        let boot = line.strip_suffix(" True");
        boot.map(str::to_owned)
            .with_context(|| format!("a node is not ready: {line:?}"))
    };
    output(&mut nodes)?.lines().map(boot).collect()
}

/// The commands that documentation shows, in a cluster that has nothing yet.
fn demo(cluster: &Running) -> Result<()> {
    cluster.load(&Image::build_all(&[Image::Nginx])?)?;
    let shown = demo::show_in(cluster);
    let mut clear = Command::new(cluster.kubectl()?);
    clear.env("KUBECONFIG", cluster.kubeconfig()).args([
        "delete",
        "namespace",
        "--ignore-not-found",
        demo::NAMESPACE,
    ]);
    shown.and(run_quietly(&mut clear))
}
