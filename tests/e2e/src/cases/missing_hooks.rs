//! Kernels that lack a hook: everything else is enforced, and what isn't is said.
//!
//! No kernel of ours lacks one, so its name is hidden from those who look for it: a copy of
//! the kernel's type information, with another name of the same length in its place, is
//! mounted over it. The enforcer and aya read nothing else.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_abi::hooks::HOOKS;
use bartizan_crds::{
    ContainerEnforcement, ContainerKind, ContainerReport, ContainerState, PodEnforcementSpec,
    Startup,
};
use bartizan_enforcer::bpf::Kernel;
use bartizan_enforcer::cgroup::Hierarchy;
use bartizan_enforcer::engine::{Engine, How};
use bartizan_enforcer::node::containers::Named;
use bartizan_enforcer::node::keys::PodKey;
use bartizan_enforcer::node::kubelet::scan;
use bartizan_enforcer::node::pods::{Pods, Wanted};
use bartizan_enforcer::policies::Policies;
use bartizan_policy::link::Workload;
use bartizan_policy::load::Source;
use bartizan_policy::published;
use bartizan_policy::rule_map::RuleMap;
use bartizan_samples::SERVE;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::agent::Place;
use crate::case::{Case, Context};
use crate::container::Root;
use crate::pod::{Container, Kubelet, Layout, Pod};
use crate::runtime::USERS;

const UID: &str = "0a1b2c3d-0000-4111-8222-333344445555";
const ENTRY: &str = "/bin/entry";
const OTHER: &str = "/bin/other";
const SHUT: &str = "/data/shut";
const FIXED: &str = "/data/fixed";
/// Anybody but root.
const NOBODY: u32 = 65_534;

/// Needs the hook that is missing for one of its rules.
const LACKING: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: lacking, namespace: test }
spec:
  selector: {}
  mode: Enforce
  process: { deny: [{ paths: [/bin/other] }] }
  files:
    deny:
      - { name: fixed, paths: [/data/fixed], operations: [Chmod] }
      - { paths: [/data/fixed], operations: [Chown, Delete] }
";
/// Needs others alone.
const COMPLETE: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: complete, namespace: test }
spec:
  selector: {}
  mode: Enforce
  files: { deny: [{ paths: [/data/shut], operations: [Read] }] }
";

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("missing-hooks/all_else_is_enforced", all_else),
        Case::new("missing-hooks/a_kernel_without_those_on_paths", no_paths),
        Case::new("missing-hooks/a_node_says_what_it_lacks", node_says),
    ];
    cases
        .into_iter()
        .map(|mut case| {
            case.time_limit = Duration::from_mins(10);
            case
        })
        .collect()
}

/// Has this process, and those that it starts, not find some hooks.
pub(super) fn hide(context: &Context, hooks: &[&str]) -> Result<()> {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    let mut types = fs::read(BTF)?;
    for hook in hooks {
        let name = format!("\0bpf_lsm_{hook}\0");
        let places = types.windows(name.len()).enumerate();
        let mut places = places.filter(|(_, bytes)| *bytes == name.as_bytes());
        let (at, _) = places.next().with_context(|| format!("no {hook}"))?;
        ensure!(places.next().is_none(), "{hook} is there twice");
        types[at + name.len() - 2] = b'X';
    }
    let patched = context.scratch.join("vmlinux");
    fs::write(&patched, types)?;
    // SAFETY: this process has no other threads, and it takes no memory apart.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    Ok(mount_bind(&patched, BTF)?)
}

fn rules(policies: &[&str]) -> Result<RuleMap> {
    let source = Source::new("policy.yaml", policies.join("---\n"));
    Ok(Policies::check(&[source])?.rules_for(&Workload::default())?)
}

/// The pods of a node as its agent has them, and containers in cgroups of a kubelet.
struct Node {
    engine: Engine<Kernel>,
    pods: Pods,
    pod: Pod,
    root: Root,
    // Ends what runs in the pod.
    _kubelet: Kubelet,
}

impl Node {
    fn new(context: &Context, containers: &[(&str, &RuleMap)]) -> Result<Self> {
        let root = Root::new(context.scratch.join("root"))?;
        for program in [ENTRY, OTHER] {
            root.program(program)?;
        }
        for file in [SHUT, FIXED, USERS] {
            root.file(file)?;
        }
        let kubelet = Kubelet::new(Layout::Systemd)?;
        let mut engine = Engine::new(Kernel::load()?);
        engine.find_kubelets(&Hierarchy::find()?)?;
        let mut node = Self {
            pods: Pods::new(engine.maps().gaps().clone()),
            engine,
            pod: kubelet.pod(UID)?,
            root,
            _kubelet: kubelet,
        };
        node.want(containers);
        Ok(node)
    }

    /// As if the operator had planned these containers.
    fn want(&mut self, containers: &[(&str, &RuleMap)]) {
        let plan = |(name, rules): &(&str, &RuleMap)| ContainerEnforcement {
            name: (*name).to_owned(),
            kind: ContainerKind::Regular,
            image: None,
            rule_map: Some(published::name(&published::publish(rules))),
            startup: Startup::Report,
            withheld: Vec::new(),
        };
        let spec = PodEnforcementSpec {
            node: Some("guest".to_owned()),
            pod_uid: UID.to_owned(),
            containers: containers.iter().map(plan).collect(),
        };
        let key = PodKey {
            namespace: "test".to_owned(),
            name: "web".to_owned(),
        };
        self.pods.want(&key, Some(Wanted { owner: None, spec }));
        self.settle();
        for (_, rules) in containers {
            let name = published::name(&published::publish(rules));
            let rules = Ok((*rules).clone());
            self.pods.put_rule_map(&name, rules, Instant::now());
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.pods.settle(&mut self.engine, Instant::now());
    }

    /// A container whose name the runtime tells before it makes it, started.
    fn start(&mut self, digit: &str, name: Option<&str>) -> Result<Container> {
        self.pods.name(Named {
            id: self.pod.id(digit).parse()?,
            pod: UID.parse()?,
            name: name.map(str::to_owned),
            ended: false,
            how: How::Nri,
        });
        self.settle();
        let entry = [&[ENTRY][..], &SERVE].concat();
        let mut container = Container::create(&self.pod.container(digit), &self.root, &entry)?;
        let answer = container.start()?;
        ensure!(answer == "ready", "{name:?} started with {answer}");
        Ok(container)
    }

    /// What the pod's status says of its containers.
    fn reports(&mut self, armed: &str) -> Result<Vec<ContainerReport>> {
        self.pods
            .observe(&scan(&Hierarchy::find()?), &mut self.engine);
        self.settle();
        let statuses = self.pods.changed_statuses(None);
        let (_, status) = statuses.into_iter().next().context("no status")?;
        println!("{}", serde_json::to_string(&status)?);
        ensure!(
            status.armed.as_deref() == Some(armed),
            "armed: {:?}",
            status.armed
        );
        Ok(status.containers)
    }
}

fn expect(container: &mut Container, operation: &str, expected: &str) -> Result<()> {
    let answer = container.perform(operation)?;
    ensure!(
        answer == expected,
        "{operation}: {answer} instead of {expected}"
    );
    Ok(())
}

/// What the hook would judge isn't, and the status says so of the one policy with a rule
/// about it; all other rules of both are enforced.
fn all_else(context: &Context) -> Result<()> {
    hide(context, &["path_chmod"])?;
    let both = rules(&[LACKING, COMPLETE])?;
    let complete = rules(&[COMPLETE])?;
    let mut node = Node::new(context, &[("main", &both), ("log", &complete)])?;
    let _sandbox = node.start("5", None)?;
    let mut main = node.start("a", Some("main"))?;
    let mut log = node.start("b", Some("log"))?;
    for container in [&mut main, &mut log] {
        expect(container, &format!("file read {SHUT}"), "13")?;
        expect(container, &format!("file chmod {FIXED}"), "0")?;
    }
    for denied in [
        format!("exec {OTHER}"),
        format!("file chown {FIXED}"),
        format!("file delete {FIXED}"),
    ] {
        expect(&mut main, &denied, "13")?;
    }

    let reports = node.reports("1/2")?;
    ensure!(reports[0].state == ContainerState::Partial, "main");
    let reason = reports[0].reason.as_deref();
    ensure!(reason == Some("NotEnforceableHere"), "{reason:?}");
    let lacking = &reports[0].unenforceable;
    ensure!(lacking.len() == 1, "other policies are named: {lacking:?}");
    ensure!(
        lacking[0].policy == "test/lacking"
            && lacking[0].rules == ["fixed"]
            && lacking[0].operations == ["Chmod"]
            && lacking[0].hooks == ["path_chmod"],
        "{lacking:?}"
    );
    ensure!(
        reports[1].state == ContainerState::Armed && reports[1].unenforceable.is_empty(),
        "log"
    );
    Ok(())
}

/// As one that was built without `CONFIG_SECURITY_PATH`: programs and opening are judged,
/// and nothing is armed in full whose names could be taken away.
fn no_paths(context: &Context) -> Result<()> {
    let hooks = HOOKS.iter().map(|hook| hook.name);
    let hooks: Vec<_> = hooks.filter(|name| name.starts_with("path_")).collect();
    ensure!(hooks.len() == 10, "{hooks:?}");
    hide(context, &hooks)?;
    let both = rules(&[LACKING, COMPLETE])?;
    let mut node = Node::new(context, &[("main", &both)])?;
    let mut main = node.start("a", Some("main"))?;
    for (operation, expected) in [
        (format!("exec {OTHER}"), "13"),
        (format!("file read {SHUT}"), "13"),
        (format!("file chown {FIXED}"), "0"),
        (format!("file delete {FIXED}"), "0"),
    ] {
        expect(&mut main, &operation, expected)?;
    }
    let reports = node.reports("0/1")?;
    let lacking = reports[0].unenforceable.iter();
    let lacking: Vec<_> = lacking
        .map(|it| (it.policy.as_str(), it.operations.join(" ")))
        .collect();
    let of = |policy, operations: &str| (policy, operations.to_owned());
    ensure!(
        lacking
            == [
                of("test/complete", "Rename Link"),
                of("test/lacking", "Delete Rename Link Chmod Chown"),
            ],
        "{lacking:?}"
    );
    Ok(())
}

/// The node's agent enforces, and says what it can't in its log and its metrics. The same is
/// said of its kernel elsewhere, by the file that anybody there can make.
fn node_says(context: &Context) -> Result<()> {
    hide(context, &["path_chmod"])?;
    let place = Place::new(context)?;
    let mut agent = place.start()?;
    // The self-test has seen denials.
    agent.enforces_in(0)?;
    agent.said("not judged wherever they happen: Chmod (path_chmod)")?;
    let metric = r#"bartizan_unenforceable_operations{operation="Chmod",hook="path_chmod"} 1"#;
    agent.answers("/metrics", metric)?;
    agent.answers("/metrics", "bartizan_partial_containers 0")?;
    agent.end()?;

    // Without a cluster it is the log that says so, of the policy that it is about.
    let file = context.scratch.join("policy.yaml");
    fs::write(&file, [LACKING, COMPLETE].join("---\n"))?;
    let mut command = Command::new(&context.enforcer);
    command.arg("run").arg("-f").arg(&file);
    let output = command.args(["--", "/nonexistent"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{}: {said}", output.status);
    let about = said
        .lines()
        .filter(|line| line.contains("not enforceable here"));
    let about: Vec<_> = about.collect();
    ensure!(
        about.len() == 1 && about[0].contains("test/lacking") && about[0].contains("fixed"),
        "{about:?}"
    );

    let mut command = Command::new(&context.enforcer);
    command.arg("kernel-features").uid(NOBODY).gid(NOBODY);
    let output = succeeded(command.current_dir("/").output()?)?;
    let features = context.scratch.join("features.json");
    fs::write(&features, output.stdout)?;
    for (policy, code, expected) in [
        (LACKING, 3, "Chmod of rule fixed of test/lacking"),
        (COMPLETE, 0, "1 policy in 1 file is valid"),
    ] {
        fs::write(&file, policy)?;
        let mut command = Command::new(&context.cli);
        command.arg("check").arg(&file);
        let output = command.arg("--kernel-features").arg(&features).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{}: {said}", output.status);
        ensure!(output.status.code() == Some(code), "{}", output.status);
        ensure!(said.contains(expected), "it doesn't say {expected:?}");
    }
    Ok(())
}

fn succeeded(output: Output) -> Result<Output> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(output)
}
