//! Enforcement outlives the enforcer: killed, ended, replaced by another version, and only
//! uninstalled it is over.
//!
//! Processes of a pod do denied and allowed operations all the time. Whatever happens to the
//! enforcer, none that is denied gets through, and none that is allowed is denied.

mod reboot;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_enforcer::cgroup::Hierarchy;
use bartizan_enforcer::policies::Policies;
use bartizan_policy::link::Workload;
use bartizan_policy::load::Source;
use bartizan_policy::published;
use bartizan_samples::SERVE;
use serde_json::json;

use super::cgroup::answer_in;
use crate::agent::{Agent, PINS, Place, metric};
use crate::case::{Case, Context};
use crate::container::Root;
use crate::kernel;
use crate::pod::{Container, Kubelet, Layout, Pod, expect};
use crate::probe::{HAMMER, OUTSIDE, counted};
use crate::runtime::USERS;
use crate::wait::eventually;

const UID: &str = "0a1b2c3d-0000-4111-8222-333344445555";
const ENTRY: &str = "/bin/entry";
const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: survival, namespace: test }
spec:
  selector: {}
  mode: Enforce
  process: { deny: [{ paths: [/bin/other] }] }
  files: { deny: [{ paths: [/data/shut], operations: [Read] }] }
  network: { deny: [{ addresses: [127.0.0.2], operations: [Connect] }] }
";
const OPERATIONS: [&str; 6] = [
    "!file,read,/data/shut",
    "=file,read,/data/open",
    "!connect,tcp,127.0.0.2:9",
    "=connect,tcp,127.0.0.3:9",
    "!exec,/bin/other",
    "=exec,/bin/entry",
];
/// Operations of each kind between two steps of a case.
const ENOUGH: u64 = 30;
/// How often the enforcer is killed.
const ROUNDS: usize = 3;
const SOAK_ROUNDS: usize = 10;

pub(super) fn cases() -> Vec<Case> {
    // Few, since a kernel takes long to verify the programs: each starts with nothing there.
    let cases = [
        Case::new("survival/killed_enforcers_open_no_gap", |context| {
            from_start_to_end(context, ROUNDS)
        }),
        Case::new("soak/killed_enforcers_open_no_gap", |context| {
            from_start_to_end(context, SOAK_ROUNDS)
        }),
        Case::new("survival/another_version_replaces_without_a_gap", upgraded),
        Case::new(
            "survival/without_an_api_server_the_copy_is_enforced",
            reboot::without_an_api_server,
        ),
    ];
    cases
        .into_iter()
        .map(|mut case| {
            case.time_limit = Duration::from_mins(15);
            case
        })
        .collect()
}

/// A node with a pod that is enforced in.
struct Node<'a> {
    place: Place<'a>,
    pod: Pod,
    root: Root,
    // Ends what runs in the pod.
    _kubelet: Kubelet,
}

impl<'a> Node<'a> {
    fn new(context: &'a Context) -> Result<Self> {
        let place = Place::new(context)?;
        let policies = Policies::check(&[Source::new("policy.yaml", POLICY)])?;
        let rules = policies.rules_for(&Workload::default())?;
        let spec = published::publish(&rules);
        let name = published::name(&spec);
        let rule_map = json!({
            "apiVersion": "bartizan.dev/v1alpha1",
            "kind": "RuleMap",
            "metadata": { "name": name },
            "spec": spec,
        });
        place.api.put("rulemaps", &name, &rule_map)?;
        let enforcement = json!({
            "apiVersion": "bartizan.dev/v1alpha1",
            "kind": "PodEnforcement",
            "metadata": { "name": "web", "namespace": "test", "resourceVersion": "1" },
            "spec": {
                "node": "guest",
                "podUID": UID,
                "containers": [{ "name": "main", "kind": "Regular", "ruleMap": name }],
            },
        });
        place.api.put("podenforcements", "web", &enforcement)?;
        let root = Root::new(context.scratch.join("root"))?;
        for program in [ENTRY, "/bin/other"] {
            root.program(program)?;
        }
        for file in ["/data/open", "/data/shut", USERS] {
            root.file(file)?;
        }
        let kubelet = Kubelet::new(Layout::Systemd)?;
        Ok(Self {
            place,
            pod: kubelet.pod(UID)?,
            root,
            _kubelet: kubelet,
        })
    }

    /// Starts an agent and waits until it enforces: in the container, and in those of the
    /// pod that have no name.
    fn enforce(&self) -> Result<Agent> {
        let mut agent = self.place.start()?;
        let took = agent.enforces_in(2)?;
        println!("figure: it enforces {took:?} after its start");
        Ok(agent)
    }

    fn container(&self, digit: &str, words: &[&str]) -> Result<Container> {
        let entry = [&[ENTRY][..], words].concat();
        let mut container = Container::create(&self.pod.container(digit), &self.root, &entry)?;
        let answer = container.start()?;
        ensure!(answer == "ready", "it started with {answer}");
        Ok(container)
    }

    /// Starts the pod: its sandbox, and two processes that never rest.
    fn hammer(&self) -> Result<Hammer> {
        let sandbox = self.container("5", &SERVE)?;
        let words = [&HAMMER[..], &OPERATIONS].concat();
        let container = self.container("a", &words)?;
        let entry = [&[ENTRY][..], &words].concat();
        let mut command = container.exec(&entry)?;
        ensure!(command.start()? == "ready", "the command doesn't start");
        Ok(Hammer {
            processes: vec![container, command],
            sandbox,
        })
    }
}

/// A cgroup of the node that no rules are for.
fn outside() -> Result<PathBuf> {
    let outside = Hierarchy::find()?.root().join(OUTSIDE);
    fs::create_dir_all(&outside)?;
    Ok(outside)
}

struct Hammer {
    processes: Vec<Container>,
    sandbox: Container,
}

impl Hammer {
    /// Lets every process do its operations some more times.
    fn go_on(&mut self) -> Result<()> {
        for process in &mut self.processes {
            let enough = counts(process, "count")?.0 + ENOUGH;
            eventually("it makes progress", || {
                Ok(counts(process, "count")?.0 >= enough)
            })?;
        }
        Ok(())
    }

    /// A process of the container that has moved itself to a cgroup beside its own, which is
    /// there or which it makes.
    fn leave(&self, cgroup: &Path, is_there: bool) -> Result<Container> {
        let entry = [&[ENTRY][..], &SERVE].concat();
        let mut process = self.processes[0].exec(&entry)?;
        ensure!(process.start()? == "ready", "the command doesn't start");
        // As with the node's hierarchy mounted.
        let seen = format!("/proc/{}/root{}", std::process::id(), cgroup.display());
        if !is_there {
            expect(&mut process, &format!("mkdir {seen}"), "0")?;
        }
        expect(&mut process, &format!("enter {seen}"), "0")?;
        expect(&mut process, "file read /data/shut", "13").context("as it has left")?;
        Ok(process)
    }

    /// Stops it; how many operations were denied.
    fn stop(&mut self) -> Result<u64> {
        let mut denied = 0;
        for process in &mut self.processes {
            let (own, allowed) = counts(process, "stop")?;
            println!("figure: {own} denied, {allowed} allowed, none otherwise");
            denied += own;
        }
        Ok(denied)
    }

    /// Removes the containers.
    fn delete(mut self) -> Result<()> {
        // The first is the container, and the others are in its cgroup.
        self.processes.truncate(1);
        for container in self.processes {
            container.delete()?;
        }
        self.sandbox.delete()
    }
}

/// How many operations were denied and allowed; fails if one should not have been.
fn counts(process: &mut Container, order: &str) -> Result<(u64, u64)> {
    counted(&process.perform(order)?)
}

/// Directories of versions.
fn versions() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(PINS).context(PINS)? {
        found.push(entry?.path());
    }
    Ok(found)
}

fn from_start_to_end(context: &Context, rounds: usize) -> Result<()> {
    let node = Node::new(context)?;
    let mut agent = node.place.start()?;
    let took = agent.answers("/readyz", "loading")?;
    println!("figure: it answers {took:?} after its start");
    agent.answers("/healthz", "200 OK")?;
    let took = agent.enforces_in(2)?;
    println!("figure: it enforces {took:?} after its start");
    let mut hammer = node.hammer()?;
    let agent = killed(&node, agent, &mut hammer, rounds).context("killed")?;
    let agent = went(&node, agent, hammer).context("while pods went")?;
    uninstalled(&node, agent).context("uninstalled")
}

fn killed(node: &Node<'_>, mut agent: Agent, hammer: &mut Hammer, rounds: usize) -> Result<Agent> {
    hammer.go_on()?;
    let links = kernel::links();
    let programs = kernel::programs();
    for round in 1..=rounds {
        let before = metric("bartizan_denials_total")?;
        agent.kill()?;
        hammer.go_on().context("without an enforcer")?;
        agent = node.enforce()?;
        hammer.go_on()?;
        let after = metric("bartizan_denials_total")?;
        println!("figure: round {round}: {before} denials before, {after} after");
        ensure!(after > before, "counters went from {before} to {after}");
        ensure!(kernel::links() == links, "something was attached again");
        // Probing what the kernel can loads programs, which end some time later.
        eventually("the programs are the same", || {
            Ok(kernel::programs() == programs)
        })?;
    }
    let denied = hammer.stop()?;
    let counted = metric("bartizan_denials_total")?;
    ensure!(
        counted == denied,
        "{counted} denials were counted of {denied}"
    );
    Ok(agent)
}

/// The pod goes while there is no enforcer.
fn went(node: &Node<'_>, agent: Agent, hammer: Hammer) -> Result<Agent> {
    let kept = [
        c"OWNERS",
        c"DIGESTS",
        c"POD_UIDS",
        c"CGROUPS",
        c"CONTAINERS",
    ];
    for map in kept {
        ensure!(kernel::entries(map)? > 0, "nothing is in {map:?}");
    }
    agent.kill()?;
    hammer.delete()?;
    fs::remove_dir(node.pod.path())?;
    node.place.api.remove("podenforcements", "web")?;
    let mut agent = node.place.start()?;
    agent.said("is replaced")?;
    for map in kept {
        eventually(&format!("nothing is in {map:?}"), || {
            Ok(kernel::entries(map).is_ok_and(|entries| entries == 0))
        })?;
    }
    ensure!(metric("bartizan_armed_containers")? == 0, "still armed");
    Ok(agent)
}

fn uninstalled(node: &Node<'_>, agent: Agent) -> Result<()> {
    let output = node.place.uninstall()?;
    ensure!(output.status.code() == Some(2), "uninstalled while in use");
    agent.end()?;
    ensure!(kernel::is_anything_attached(), "nothing is attached");
    let output = node.place.uninstall()?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains("links") && said.contains("copies in"),
        "{said}"
    );
    ensure!(!fs::exists(PINS)?, "{PINS} is still there");
    eventually(
        "nothing is attached",
        || Ok(!kernel::is_anything_attached()),
    )?;
    eventually("no program is left", || Ok(kernel::programs().is_empty()))?;
    let output = node.place.uninstall()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said.contains("nothing was in the kernel"),
        "{said}"
    );
    Ok(())
}

fn upgraded(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let agent = node.enforce()?;
    let mut hammer = node.hammer()?;
    hammer.go_on()?;
    let mut left = hammer.leave(&outside()?, true)?;
    let mut made = hammer.leave(&outside()?.with_file_name("made"), false)?;
    let [old] = &versions()?[..] else {
        anyhow::bail!("not one version: {:?}", versions()?);
    };
    let links = kernel::links();
    let programs = kernel::programs();
    // Bytes behind an object change nothing but that it is another one: whatever else
    // differs, nothing of it is shared.
    let object = std::env::var("BARTIZAN_LSM_OBJECT").context("no object is named")?;
    let mut bytes = fs::read(object)?;
    bytes.extend_from_slice(b"another");
    let other = context.scratch.join("other.o");
    fs::write(&other, bytes)?;
    node.place.object = Some(other);
    agent.end()?;
    hammer.go_on().context("without an enforcer")?;
    let mut agent = node.place.start()?;
    // It understands what the other has left.
    agent.said("the enforcer before workloads=2 ")?;
    let took = agent.said("is replaced")?;
    println!("figure: another version replaced the first {took:?} after its start");
    hammer.go_on()?;
    let [new] = &versions()?[..] else {
        anyhow::bail!("not one version: {:?}", versions()?);
    };
    ensure!(new != old, "the version is the same");
    eventually("the old programs end", || {
        Ok(kernel::programs().iter().all(|id| !programs.contains(id)))
    })?;
    let now = kernel::links();
    ensure!(
        now.len() == links.len() && now.iter().all(|id| !links.contains(id)),
        "attached were {links:?}, now {now:?}"
    );
    for (what, process) in [("left", &mut left), ("made", &mut made)] {
        expect(process, "file read /data/shut", "13").context(what)?;
        expect(process, "file read /data/open", "0").context(what)?;
    }
    hammer.stop()?;
    agent.end()?;
    // Nobody else in that cgroup has rules.
    let read = format!("file read {}", node.root.outside("/data/shut").display());
    let answer = answer_in(&outside()?, &node.root.outside(ENTRY), &read)?;
    ensure!(answer == "0", "without rules: {answer}");
    Ok(())
}
