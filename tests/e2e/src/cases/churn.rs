//! Pods that come and go, and as many workloads as fit: no label outlives its pod, and
//! nothing is left in the kernel or in memory.

use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_abi::limits::MAX_WORKLOADS;
use bartizan_enforcer::bpf::Kernel;
use bartizan_enforcer::cgroup::Hierarchy;
use bartizan_enforcer::engine::{Engine, EngineError, Identity, WorkloadId};
use bartizan_enforcer::policies::Policies;
use bartizan_policy::load::Source;

use crate::case::Case;
use crate::kernel;
use crate::pod::{Kubelet, Layout, remove};
use crate::process::heap;

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: churn }
spec:
  selector: {}
  mode: Enforce
  files: { deny: [{ paths: [/data/shut], operations: [Read] }] }
";
/// Pods a minute where 50 come and go each second.
const A_MINUTE: u32 = 3_000;
/// Pods until memory is what it stays.
const WARM: u32 = 50;
/// What memory may grow by, in KiB.
const GROWTH: u64 = 4_096;

pub(super) fn cases() -> Vec<Case> {
    [
        (Case::new("churn/pods_come_and_go", |_| come_and_go(200)), 5),
        (
            Case::new("soak/pods_come_and_go", |_| come_and_go(A_MINUTE)),
            60,
        ),
        (Case::new("soak/a_node_is_full", |_| full()), 60),
    ]
    .map(|(mut case, minutes)| {
        case.time_limit = Duration::from_mins(minutes);
        case
    })
    .into()
}

/// An engine on a node with one kubelet.
struct Node {
    engine: Engine<Kernel>,
    kubelet: Kubelet,
    policies: Policies,
}

impl Node {
    fn start() -> Result<Self> {
        let kubelet = Kubelet::new(Layout::Cgroupfs)?;
        let mut engine = Engine::new(Kernel::load()?);
        engine.find_kubelets(&Hierarchy::find()?)?;
        Ok(Self {
            engine,
            kubelet,
            policies: Policies::check(&[Source::new("policy.yaml", POLICY)])?,
        })
    }

    fn add(&mut self, number: u32) -> Result<WorkloadId, EngineError> {
        let identity = Identity {
            name: format!("pod-{number}"),
            ..Identity::default()
        };
        self.engine.add(identity, &self.policies, Instant::now())
    }

    fn label(&mut self, cgroup: &Path) -> Result<Option<u32>> {
        let id = fs::metadata(cgroup).context("look at a cgroup")?.st_ino();
        Ok(self.engine.maps().label_of(id)?)
    }
}

/// A pod's UID.
fn uid(number: u32) -> String {
    format!("{number:08x}-0000-4111-8222-333344445555")
}

fn come_and_go(pods: u32) -> Result<()> {
    let mut node = Node::start()?;
    let mut before = None;
    let start = Instant::now();
    for number in 1..=pods {
        if number == WARM {
            before = Some(heap(std::process::id())?);
        }
        let workload = node.add(number)?;
        node.engine.expect_pod(uid(number).parse()?, workload)?;
        let pod = node.kubelet.pod(&uid(number))?;
        let container = pod.container("a");
        fs::create_dir(&container)?;
        let label = node.label(&container)?;
        ensure!(
            label == Some(workload.number()),
            "pod {number} has label {label:?}"
        );
        remove(pod.path());
        node.engine.remove(workload, Instant::now())?;
        // One that nobody expects, in the same place.
        let stranger = node.kubelet.pod(&uid(number))?;
        fs::create_dir(&container)?;
        let label = node.label(&container)?;
        ensure!(
            label.is_none(),
            "after pod {number}, its label {label:?} is still there"
        );
        remove(stranger.path());
        node.engine.sweep(Instant::now())?;
    }
    let took = start.elapsed();
    let before = before.context("there are few pods")?;
    let after = heap(std::process::id())?;
    println!(
        "figure: {pods} pods came and went in {took:.1?}, {:.0} a second; heap {before} KiB \
         after {WARM}, {after} at the end",
        f64::from(pods) / took.as_secs_f64()
    );
    nothing_is_left()?;
    ensure!(after < before + GROWTH, "heap {before} KiB became {after}");
    Ok(())
}

/// As many as fit are enforced, the next is refused, and those that are there don't notice.
fn full() -> Result<()> {
    let mut node = Node::start()?;
    let mut workloads = Vec::new();
    let start = Instant::now();
    for number in 1..=MAX_WORKLOADS {
        let workload = node
            .add(number)
            .with_context(|| format!("workload {number}"))?;
        node.engine.expect_pod(uid(number).parse()?, workload)?;
        workloads.push(workload);
    }
    println!(
        "figure: {MAX_WORKLOADS} workloads after {:.1?}",
        start.elapsed()
    );
    let refused = node.add(MAX_WORKLOADS + 1);
    ensure!(
        matches!(refused, Err(EngineError::TooManyWorkloads)),
        "one more: {refused:?}"
    );
    for number in [1, MAX_WORKLOADS / 2, MAX_WORKLOADS] {
        let pod = node.kubelet.pod(&uid(number))?;
        let container = pod.container("a");
        fs::create_dir(&container)?;
        let label = node.label(&container)?;
        ensure!(
            label == Some(workloads[number as usize - 1].number()),
            "pod {number} has label {label:?}"
        );
        remove(pod.path());
    }
    for workload in workloads {
        node.engine.remove(workload, Instant::now())?;
    }
    nothing_is_left()
}

fn nothing_is_left() -> Result<()> {
    for map in [c"CGROUPS", c"POD_UIDS", c"CTR_IDS", c"OWNERS"] {
        let left = kernel::entries(map)?;
        ensure!(left == 0, "{left} entries are left in {map:?}");
    }
    Ok(())
}
