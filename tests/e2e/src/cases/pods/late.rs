//! Containers that are labelled late, or by their id.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_enforcer::engine::{FirstExec, How};

use super::node::{Node, kubelets, root, serving, start};
use super::{ENTRY, NOTHING, OPEN, OTHER, SHUT, STRICT, UID};
use crate::case::Context;
use crate::pod::{Container, Layout, expect};

pub(super) fn late(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let pod = &node.pod(Layout::Kind)?;
    let _sandbox = node.sandbox(pod)?;
    let mut container = node.create(pod, "a", OTHER)?;
    start(&mut container, "ready")?;
    let nested = container.cgroup().join("nested");
    fs::create_dir(&nested)?;
    expect(&mut container, &format!("file read {SHUT}"), "0")?;

    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    expect(&mut container, &format!("file read {SHUT}"), "13")?;
    expect(&mut container, &format!("exec {OTHER}"), "13")?;
    let label = node.label_of(&nested)?;
    ensure!(
        label == Some(strict.number()),
        "below it is label {label:?}"
    );
    let arming = node.engine.arming(strict)?.context("it is not armed")?;
    println!("{arming:?}");
    ensure!(arming.how == How::Late, "{arming:?}");
    ensure!(arming.unprotected() > Some(Duration::ZERO), "{arming:?}");
    ensure!(node.found(pod, "5")?.is_sandbox, "the sandbox is not known");
    // A command that comes later is set up as if nothing had been late.
    let mut command = container.exec(&serving(ENTRY))?;
    start(&mut command, "ready")?;
    Ok(())
}

pub(super) fn before(context: &Context) -> Result<()> {
    let (kubelets, root) = (kubelets()?, root(context)?);
    let pod = kubelets[Layout::Systemd as usize].pod(UID)?;
    let mut sandbox = Container::create(&pod.container("5"), &root, &serving(OTHER))?;
    start(&mut sandbox, "ready")?;
    let mut container = Container::create(&pod.container("a"), &root, &serving(ENTRY))?;
    start(&mut container, "ready")?;

    let mut node = Node::start(kubelets, root)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    expect(&mut container, &format!("file read {SHUT}"), "13")?;
    let arming = node.engine.arming(strict)?.context("it is not armed")?;
    ensure!(arming.first_exec == Some(FirstExec::Unknown), "{arming:?}");
    ensure!(arming.unprotected().is_none(), "{arming:?}");
    // It has its sandbox: what comes is a container.
    ensure!(
        node.found(&pod, "5")?.is_sandbox,
        "the sandbox is not known"
    );
    let mut next = node.create(&pod, "b", OTHER)?;
    ensure!(!node.found(&pod, "b")?.is_sandbox, "a second sandbox");
    start(&mut next, "13")?;
    let mut command = container.exec(&serving(ENTRY))?;
    start(&mut command, "ready")?;
    Ok(())
}

pub(super) fn late_in_set_up(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let strict = node.workload("strict", STRICT)?;
    let pod = &node.pod(Layout::Systemd)?;
    let mut sandbox = node.create(pod, "5", OTHER)?;
    let mut container = node.create(pod, "a", ENTRY)?;
    let mut denied = node.create(pod, "b", OTHER)?;
    node.engine.expect_pod(UID.parse()?, strict)?;
    node.expect_denials(0).context("of the set-up")?;
    start(&mut denied, "13")?;
    node.expect_denials(1)?;
    start(&mut sandbox, "ready").context("the sandbox")?;
    start(&mut container, "ready")?;
    for digit in ["a", "b", "5"] {
        let arming = node.found(pod, digit)?.arming.context("it is not armed")?;
        ensure!(arming.how == How::Late, "{arming:?}");
        ensure!(arming.unprotected() == Some(Duration::ZERO), "{arming:?}");
    }
    Ok(())
}

pub(super) fn expected(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let nothing = node.workload("nothing", NOTHING)?;
    node.engine.expect_pod(UID.parse()?, nothing)?;
    let pod = &node.pod(Layout::Cgroupfs)?;
    let strict = node.workload("strict", STRICT)?;
    node.engine
        .expect_container(pod.id("a").parse()?, strict, How::Nri)?;
    let _sandbox = node.sandbox(pod)?;
    let mut container = node.create(pod, "a", ENTRY)?;
    let arming = node.engine.arming(strict)?.context("it is not armed")?;
    ensure!(arming.how == How::Nri, "{arming:?}");
    start(&mut container, "ready")?;
    expect(&mut container, &format!("file read {OPEN}"), "0")?;
    let _listed = {
        let id = pod.id("d").parse()?;
        node.engine.expect_container(id, strict, How::Cri)?;
        node.create(pod, "d", ENTRY)?
    };
    let how = node.found(pod, "d")?.arming.map(|arming| arming.how);
    ensure!(how == Some(How::Cri), "{how:?}");
    // One whose name is known later has its pod's rules until then.
    let mut second = node.create(pod, "b", ENTRY)?;
    let found = node.found(pod, "b")?;
    ensure!(found.workload == Some(nothing), "{found:?}");
    node.engine
        .expect_container(pod.id("b").parse()?, strict, How::Nri)?;
    let found = node.found(pod, "b")?;
    ensure!(found.workload == Some(strict), "{found:?}");
    start(&mut second, "ready")?;
    node.engine.remove(strict, Instant::now())?;
    expect(&mut container, &format!("file read {SHUT}"), "0")?;
    Ok(())
}
