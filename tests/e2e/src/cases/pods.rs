//! Containers of pods, armed before their first instruction, and set up unjudged.

mod late;
mod node;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_abi::maps::SETUP_LIMIT;
use bartizan_enforcer::engine::{FirstExec, How, WorkloadId};

use self::late::{before, expected, late, late_in_set_up};
use self::node::{Node, serving, start};
use crate::case::{Case, Context};
use crate::pod::{Layout, Pod, expect};
use crate::runtime::READ_AGAIN;

/// The entry point, which `STRICT` lets run.
const ENTRY: &str = "/bin/entry";
/// A program that it doesn't.
const OTHER: &str = "/bin/other";
const OPEN: &str = "/data/open";
const SHUT: &str = "/data/shut";

const UID: &str = "0a1b2c3d-0000-4111-8222-333344445555";
/// Of a pod that is not there.
const OTHER_UID: &str = "11111111-0000-4111-8222-333344445555";
/// The hash of a static pod.
const STATIC_UID: &str = "0a1b2c3d00004111822233334444555f";

/// Allow lists that leave a runtime no step.
const STRICT: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: strict, namespace: test }
spec:
  selector: {}
  mode: Enforce
  process: { default: Deny, allow: [{ paths: [/bin/entry] }] }
  files: { default: Deny, allow: [{ paths: [/data/open] }] }
  capabilities: { default: Deny, allow: [{ capabilities: [SYS_PTRACE] }] }
  restrict: { mounts: Deny }
";

/// Nothing runs at all.
const NOTHING: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: nothing, namespace: test }
spec: { selector: {}, mode: Enforce, process: { default: Deny }, files: { default: Deny } }
";

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("pods/armed_before_the_first_instruction", first_instruction),
        Case::new("pods/exec_is_judged_from_its_command_on", exec),
        Case::new(
            "pods/an_entry_point_of_proc_self_exe_is_judged",
            own_executable,
        ),
        Case::new("pods/a_task_in_set_up_can_not_be_traced", traced),
        Case::new("pods/a_sandbox_starts_under_any_rules", sandbox),
        Case::new("pods/what_a_container_makes_is_its_own", made_inside),
        Case::new("pods/one_that_runs_is_labelled_late", late),
        Case::new("pods/one_in_set_up_is_labelled_late", late_in_set_up),
        Case::new("pods/one_that_was_there_before_is_labelled", before),
        Case::new("pods/an_expected_container_has_its_own_rules", expected),
        Case::new("pods/odd_names_are_read_safely", odd_names),
        Case::new("soak/a_set_up_that_never_ends_is_judged", endless_set_up),
    ];
    cases
        .into_iter()
        .map(|mut case| {
            case.time_limit = Duration::from_mins(10);
            case
        })
        .collect()
}

fn first_instruction(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    node.engine.expect_pod(STATIC_UID.parse()?, strict)?;
    for layout in Layout::ALL {
        let pod = node.pod(layout)?;
        armed_in_time(&mut node, strict, &pod)?;
    }
    let pod = node.kubelets[Layout::Systemd as usize].pod(STATIC_UID)?;
    armed_in_time(&mut node, strict, &pod)
}

fn armed_in_time(node: &mut Node, strict: WorkloadId, pod: &Pod) -> Result<()> {
    println!("{}", pod.path().display());
    let sandbox = node.sandbox(pod)?;
    node.denials()?;
    let mut denied = node.create(pod, "a", OTHER)?;
    node.expect_denials(0).context("of the set-up")?;
    start(&mut denied, "13")?;
    node.expect_denials(1)?;
    denied.delete()?;

    let mut allowed = node.create(pod, "b", ENTRY)?;
    let arming = node.engine.arming(strict)?.context("it is not armed")?;
    ensure!(
        (arming.how, arming.first_exec) == (How::Mkdir, None),
        "{arming:?}"
    );
    node.expect_denials(0).context("of the set-up")?;
    start(&mut allowed, "ready")?;
    node.denials()?;
    expect(&mut allowed, &format!("file read {OPEN}"), "0")?;
    expect(&mut allowed, &format!("file read {SHUT}"), "13")?;
    expect(&mut allowed, &format!("exec {OTHER}"), "13")?;
    node.expect_denials(2)?;
    let arming = node.engine.arming(strict)?.context("it is not armed")?;
    println!("{arming:?}");
    ensure!(
        matches!(arming.first_exec, Some(FirstExec::At(time)) if time > arming.armed),
        "{arming:?}"
    );
    ensure!(arming.unprotected() == Some(Duration::ZERO), "{arming:?}");
    allowed.delete()?;
    sandbox.delete()?;
    ensure!(node.engine.containers()?.is_empty(), "containers are left");
    Ok(())
}

fn exec(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    let pod = &node.pod(Layout::Systemd)?;
    let _sandbox = node.sandbox(pod)?;
    let mut container = node.create(pod, "a", ENTRY)?;
    start(&mut container, "ready")?;
    node.denials()?;
    let mut allowed = container.exec(&serving(ENTRY))?;
    let mut denied = container.exec(&serving(OTHER))?;
    node.expect_denials(0).context("of the set-up")?;
    start(&mut denied, "13")?;
    node.expect_denials(1)?;
    start(&mut allowed, "ready")?;
    node.denials()?;
    expect(&mut allowed, &format!("file read {SHUT}"), "13")?;
    // Nobody comes back to the runtime's state.
    expect(&mut allowed, &format!("exec {OTHER}"), "13")?;
    node.expect_denials(2)?;
    Ok(())
}

fn own_executable(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    let own = serving("/proc/self/exe");
    let pod = &node.pod(Layout::Cgroupfs)?;
    let _sandbox = node.sandbox(pod)?;
    let mut first = node.create_with(pod, "a", &own)?;
    start(&mut first, "13").context("as the entry point")?;
    let mut container = node.create(pod, "b", ENTRY)?;
    start(&mut container, "ready")?;
    let mut command = container.exec(&own)?;
    start(&mut command, "13").context("as a command")?;
    Ok(())
}

fn traced(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let id = node.workload(
        "strict",
        &STRICT.replace("files: { default: Deny,", "files: {"),
    )?;
    node.engine.expect_pod(UID.parse()?, id)?;
    let pod = &node.pod(Layout::Kind)?;
    let _sandbox = node.sandbox(pod)?;
    // In the host's pid namespace, and root: all that stands in its way is the guard.
    let mut container = node.create(pod, "a", ENTRY)?;
    start(&mut container, "ready")?;
    let own = format!("file read /proc/{}/environ", std::process::id());
    expect(&mut container, &own, "0")?;
    let mut second = node.create(pod, "b", ENTRY)?;
    let mut command = container.exec(&serving(ENTRY))?;
    for (what, target) in [("a container", &mut second), ("a command", &mut command)] {
        let environ = format!("/proc/{}/environ", target.pid());
        let read = format!("file read {environ}");
        expect(&mut container, &read, "13").context(what)?;
        ensure!(fs::read(&environ).is_ok(), "the host can't read {what}");
        start(target, "ready").context(what)?;
        expect(&mut container, &read, "0").context(what)?;
    }
    Ok(())
}

/// A WebAssembly engine is such a one: it never runs the entry point.
fn endless_set_up(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    let pod = node.pod(Layout::Cgroupfs)?;
    let _sandbox = node.sandbox(&pod)?;
    node.denials()?;
    let mut container = node.create(&pod, "a", ENTRY)?;
    let created = Instant::now();
    let limit = Duration::from_nanos(SETUP_LIMIT);
    let wait_until = |time: Duration| thread::sleep(time.saturating_sub(created.elapsed()));
    expect(&mut container, READ_AGAIN, "0")?;
    wait_until(limit.saturating_sub(Duration::from_secs(5)));
    expect(&mut container, READ_AGAIN, "0").context("shortly before the limit")?;
    node.expect_denials(0)?;
    wait_until(limit + Duration::from_secs(1));
    for _ in 0..2 {
        expect(&mut container, READ_AGAIN, "13").context("after the limit")?;
    }
    node.expect_denials(2)?;
    start(&mut container, "ready")
}

fn sandbox(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let nothing = node.workload("nothing", NOTHING)?;
    node.engine.expect_pod(UID.parse()?, nothing)?;
    let pod = &node.pod(Layout::Systemd)?;
    // As CRI-O does: its monitor comes first and is no container.
    let monitor = format!("crio-conmon-{}.scope", pod.id("5"));
    fs::create_dir(pod.path().join(monitor))?;
    for _ in 0..2 {
        let mut sandbox = node.sandbox(pod)?;
        node.denials()?;
        let found = node.found(pod, "5")?;
        ensure!(
            found.is_sandbox && found.workload == Some(nothing),
            "{found:?}"
        );
        // The exemption is that of its entry point.
        expect(&mut sandbox, &format!("exec {ENTRY}"), "13")?;
        expect(&mut sandbox, &format!("file read {SHUT}"), "13")?;
        let mut second = node.create(pod, "a", ENTRY)?;
        ensure!(!node.found(pod, "a")?.is_sandbox, "a second sandbox");
        start(&mut second, "13")?;
        node.expect_denials(3)?;
        second.delete()?;
        sandbox.delete()?;
    }
    // Who is expected as a container is no sandbox, even if it is the first.
    node.engine
        .expect_container(pod.id("c").parse()?, nothing, How::Nri)?;
    let mut first = node.create(pod, "c", ENTRY)?;
    ensure!(
        !node.found(pod, "c")?.is_sandbox,
        "an expected one is the sandbox"
    );
    start(&mut first, "13")?;
    node.expect_denials(1)?;
    Ok(())
}

fn made_inside(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", &STRICT.replace("default: Deny, ", ""))?;
    let nothing = node.workload("nothing", NOTHING)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    node.engine.expect_pod(OTHER_UID.parse()?, nothing)?;
    let pod = node.pod(Layout::Cgroupfs)?;
    let _sandbox = node.sandbox(&pod)?;
    let mut container = node.create(&pod, "a", ENTRY)?;
    start(&mut container, "ready")?;
    // Below itself, whoever makes it.
    let nested = container.cgroup().join("kubepods/burstable");
    let nested = nested.join(format!("pod{OTHER_UID}"));
    fs::create_dir_all(nested.join(pod.id("b")))?;
    // Beside itself, by its own hand: as with the host's hierarchy mounted.
    let other = node.kubelets[0].pods().join(format!("pod{OTHER_UID}"));
    let beside = [pod.container("d"), other.clone(), other.join(pod.id("e"))];
    for path in &beside {
        let seen = format!("/proc/{}/root{}", std::process::id(), path.display());
        expect(&mut container, &format!("mkdir {seen}"), "0")?;
    }
    for path in [nested.clone(), nested.join(pod.id("b"))]
        .iter()
        .chain(&beside)
    {
        let label = node.label_of(path)?;
        ensure!(
            label == Some(strict.number()),
            "{}: {label:?}",
            path.display()
        );
    }
    let seen = node.engine.containers()?;
    ensure!(
        seen.len() == 2,
        "more were seen than the sandbox and the container: {seen:?}"
    );
    Ok(())
}

fn odd_names(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let nothing = node.workload("nothing", NOTHING)?;
    node.engine.expect_pod(UID.parse()?, nothing)?;
    let pods = node.kubelets[0].pods().to_owned();
    let id = |digit: &str| digit.repeat(64);
    let long = |tail: &str| format!("{}{tail}", "x".repeat(255 - tail.len()));
    let short = format!("pod{}", &UID[1..]);
    for name in ["x", "pod", "podx", &long(""), &long(".slice"), &short] {
        fs::create_dir_all(pods.join(name).join(id("a"))).context(name.to_owned())?;
    }
    let seen = node.engine.containers()?.len();
    ensure!(seen == 0, "{seen} containers below what is no pod");
    // The longest name that ends in the UID is the pod's.
    let pod = pods.join(long(&format!("pod{}.slice", UID.replace('-', "_"))));
    fs::create_dir(&pod)?;
    for (name, with_id) in [
        ("y".to_owned(), false),
        (".scope".to_owned(), false),
        (id("A"), false),
        (long(""), false),
        (long(&format!("{}.scope", id("b"))), true),
        (format!("conmon-{}", &id("c")[1..]), false),
        (id("c"), true),
    ] {
        let before = node.engine.containers()?.len();
        let cgroup = pod.join(&name);
        fs::create_dir(&cgroup)?;
        let found = node.engine.containers()?;
        ensure!(found.len() == before + 1, "{name} was not seen");
        let label = node.label_of(&cgroup)?;
        ensure!(
            label == Some(nothing.number()),
            "{name} has label {label:?}"
        );
        let newest = found
            .iter()
            .max_by_key(|found| found.cgroup)
            .context("none")?;
        ensure!(newest.id.is_some() == with_id, "{name}: {:?}", newest.id);
        ensure!(newest.pod == UID.parse()?, "{name} is of {}", newest.pod);
    }
    Ok(())
}
