//! A node as the cases see it: an engine, kubelets of all layouts, and containers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bartizan_enforcer::bpf::Kernel;
use bartizan_enforcer::cgroup::Hierarchy;
use bartizan_enforcer::engine::{Engine, Found, Identity, WorkloadId};
use bartizan_enforcer::policies::Policies;
use bartizan_policy::load::Source;
use bartizan_samples::SERVE;

use super::{ENTRY, OPEN, OTHER, SHUT, UID};
use crate::case::Context;
use crate::container::Root;
use crate::pod::{Container, Kubelet, Layout, Pod};
use crate::runtime::USERS;

/// A node with an enforcer's engine, and a kubelet of each layout.
pub(super) struct Node {
    pub(super) engine: Engine<Kernel>,
    pub(super) kubelets: [Kubelet; 3],
    root: Root,
    /// Denials that were looked at.
    seen: BTreeMap<String, u64>,
}

impl Node {
    pub(super) fn new(context: &Context) -> Result<Self> {
        Self::start(kubelets()?, root(context)?)
    }

    /// Starts the engine on a node that is in use.
    pub(super) fn start(kubelets: [Kubelet; 3], root: Root) -> Result<Self> {
        let mut engine = Engine::new(Kernel::load()?);
        let found = engine.find_kubelets(&Hierarchy::find()?)?;
        ensure!(found == 6, "{found} cgroups of kubelets were found");
        Ok(Self {
            engine,
            kubelets,
            root,
            seen: BTreeMap::new(),
        })
    }

    pub(super) fn workload(&mut self, name: &str, policy: &str) -> Result<WorkloadId> {
        let policies = Policies::check(&[Source::new("policy.yaml", policy)])?;
        let identity = Identity {
            name: name.to_owned(),
            ..Identity::default()
        };
        Ok(self.engine.add(identity, &policies, Instant::now())?)
    }

    /// Makes a pod of a layout.
    pub(super) fn pod(&self, layout: Layout) -> Result<Pod> {
        self.kubelets[layout as usize].pod(UID)
    }

    /// A container whose entry point is `program`, which then does what it is told.
    pub(super) fn create(&self, pod: &Pod, digit: &str, program: &str) -> Result<Container> {
        self.create_with(pod, digit, &serving(program))
    }

    pub(super) fn create_with(&self, pod: &Pod, digit: &str, entry: &[&str]) -> Result<Container> {
        Container::create(&pod.container(digit), &self.root, entry)
    }

    /// A pod's sandbox, started.
    pub(super) fn sandbox(&self, pod: &Pod) -> Result<Container> {
        let mut sandbox = self.create(pod, "5", OTHER)?;
        start(&mut sandbox, "ready").context("the sandbox")?;
        Ok(sandbox)
    }

    /// What was denied, or reported, since it was looked at last.
    pub(super) fn denials(&mut self) -> Result<Vec<(String, u64)>> {
        let counts = self.engine.counts()?.into_iter();
        let counts = counts.map(|(series, count)| {
            let text = format!("{:?} {} {}", series.counted, series.rule, series.operation);
            (text, count)
        });
        let before = std::mem::replace(&mut self.seen, counts.collect());
        let fresh = self.seen.iter().map(|(text, count)| {
            let before = before.get(text).copied().unwrap_or(0);
            (text.clone(), count - before)
        });
        Ok(fresh.filter(|(_, count)| *count > 0).collect())
    }

    pub(super) fn expect_denials(&mut self, expected: u64) -> Result<()> {
        let found = self.denials()?;
        let sum: u64 = found.iter().map(|(_, count)| count).sum();
        ensure!(
            sum == expected,
            "{expected} denials were expected: {found:?}"
        );
        Ok(())
    }

    pub(super) fn found(&self, pod: &Pod, digit: &str) -> Result<Found> {
        let containers = self.engine.containers()?;
        let expected = Some(pod.id(digit).parse()?);
        let found = containers.into_iter().find(|found| found.id == expected);
        found.with_context(|| format!("the kernel has not seen container {digit}"))
    }

    /// A cgroup's label.
    pub(super) fn label_of(&mut self, path: &Path) -> Result<Option<u32>> {
        let id = fs::metadata(path).with_context(|| path.display().to_string())?;
        Ok(self.engine.maps().label_of(id.ino())?)
    }
}

pub(super) fn kubelets() -> Result<[Kubelet; 3]> {
    let [cgroupfs, systemd, kind] = Layout::ALL.map(Kubelet::new);
    Ok([cgroupfs?, systemd?, kind?])
}

/// A container's root.
pub(super) fn root(context: &Context) -> Result<Root> {
    let root = Root::new(context.scratch.join("root"))?;
    for program in [ENTRY, OTHER] {
        root.program(program)?;
    }
    for file in [OPEN, SHUT, USERS] {
        root.file(file)?;
    }
    Ok(root)
}

pub(super) fn serving(program: &str) -> Vec<&str> {
    [&[program][..], &SERVE].concat()
}

/// Lets it run its entry point: "ready", or the errno.
pub(super) fn start(container: &mut Container, expected: &str) -> Result<()> {
    let answer = container.start()?;
    ensure!(
        answer == expected,
        "started: {answer} instead of {expected}"
    );
    Ok(())
}
