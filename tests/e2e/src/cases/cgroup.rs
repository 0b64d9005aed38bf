//! Who is under a container's rules: its cgroup and all below.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::{Denial, SERVE};
use rustix::io::Errno;

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};
use crate::kernel;
use crate::probe::{self, OUTSIDE, SECRET};

use super::Technique;

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: cgroups, namespace: test }
spec:
  selector: {}
  mode: Enforce
  files:
    deny:
      - { name: no-reading, paths: [/data/secret], operations: [Read] }
";

/// The case that makes all of these attempts.
pub(super) const LEAVING: &str = "cgroup/leaving_it_changes_nothing";

/// Ways out, after which a denied file is read.
pub(super) const WAYS_OUT: [Technique; 9] = [
    (
        "leave",
        "a write of its own pid to the `cgroup.procs` of another cgroup, on a mount of cgroup2",
    ),
    ("leave-to-root", "the same with the root cgroup"),
    ("leave-twice", "and from there to a cgroup made there"),
    ("leave-then-fork", "a child of a process that has left"),
    ("leave-then-exec", "another program in such a process"),
    (
        "leave-then-exec-from-thread",
        "the same, run by a thread that isn't the first",
    ),
    (
        "leave-and-be-moved-on",
        "a child of such a process, moved further by it",
    ),
    ("leave-moved-by-parent", "a child, moved out by its parent"),
    (
        "leave-cloned",
        "a child cloned into another cgroup (`CLONE_INTO_CGROUP`)",
    ),
];

const CALLER: &str = "/bin/probe";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(LEAVING, leaving_changes_nothing),
        Case::new(
            "cgroup/the_node_may_take_a_process_out",
            the_node_takes_a_process_out,
        ),
        Case::new(
            "cgroup/one_that_finds_no_room_for_its_label_has_its_rules",
            no_room_for_a_label,
        ),
    ];
    for case in &mut cases {
        case.time_limit = Duration::from_mins(5);
    }
    cases
}

fn start(context: &Context) -> Result<(Root, Container)> {
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    root.file(SECRET)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    Ok((root, container))
}

fn leaving_changes_nothing(context: &Context) -> Result<()> {
    let (root, mut container) = start(context)?;
    let outside = container.cgroup().with_file_name(OUTSIDE);
    fs::create_dir_all(&outside)?;
    let read = format!("file read {}", root.outside(SECRET).display());
    let program = root.outside(CALLER);
    let mut mistakes = Vec::new();
    for (way, _) in WAYS_OUT {
        match container.perform(CALLER, &["attempt", way]) {
            Ok(errno) if errno == Errno::ACCESS.raw_os_error() => {}
            Ok(errno) => mistakes.push(format!("{way}: {errno}")),
            Err(error) => mistakes.push(format!("{way}: {error:#}")),
        }
        // Who has always been there notices nothing.
        let answer = answer_in(&outside, &program, &read)?;
        if answer != "0" {
            mistakes.push(format!(
                "after {way}, reading there without rules: {answer}"
            ));
        }
    }
    let denials = container.finish()?;
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let denied = |denial: &Denial| denial.rule.as_deref() == Some("no-reading");
    ensure!(denials.iter().any(denied), "reported was {denials:?}");
    Ok(())
}

/// A process of the node moves one of the container.
fn the_node_takes_a_process_out(context: &Context) -> Result<()> {
    let (_root, mut container) = start(context)?;
    let outside = container.cgroup().with_file_name(OUTSIDE);
    fs::create_dir_all(&outside)?;
    let read = ["file", "read", SECRET];
    let before = container.perform(CALLER, &read)?;
    let inside = fs::read_to_string(container.cgroup().join("cgroup.procs"))?;
    for process in inside.lines() {
        fs::write(outside.join("cgroup.procs"), process)?;
    }
    let after = container.perform(CALLER, &read)?;
    for process in inside.lines() {
        fs::write(container.cgroup().join("cgroup.procs"), process)?;
    }
    let again = container.perform(CALLER, &read)?;
    container.finish()?;
    let denied = Errno::ACCESS.raw_os_error();
    let answers = (before, after, again);
    ensure!(answers == (denied, 0, denied), "{answers:?}");
    Ok(())
}

fn no_room_for_a_label(context: &Context) -> Result<()> {
    let (root, container) = start(context)?;
    kernel::fill_labels()?;
    let child = container.cgroup().join("child");
    let grandchild = child.join("grandchild");
    let beside = container.cgroup().with_file_name("beside");
    let read = format!("file read {}", root.outside(SECRET).display());
    let program = root.outside(CALLER);
    let mut answers = Vec::new();
    for cgroup in [&child, &grandchild, &beside] {
        fs::create_dir(cgroup).with_context(|| format!("make {}", cgroup.display()))?;
        answers.push(answer_in(cgroup, &program, &read)?);
    }
    let denials = container.finish()?;
    fs::remove_dir(&beside)?;
    ensure!(
        answers == ["13", "13", "0"],
        "reading ended with {answers:?} below the container, below that, and beside it"
    );
    let denied: Vec<_> = denials
        .iter()
        .filter(|denial| denial.verdict == "deny")
        .collect();
    ensure!(
        denied.len() == 1 && denied[0].rule.as_deref() == Some("no-reading"),
        "reported was {denials:?}"
    );
    Ok(())
}

/// What a new process in a cgroup answers.
pub(super) fn answer_in(cgroup: &Path, program: &Path, operation: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(SERVE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let moved = fs::write(cgroup.join("cgroup.procs"), child.id().to_string());
    let answer = probe::ask(&mut child, operation);
    child.kill()?;
    child.wait()?;
    moved.with_context(|| format!("enter {}", cgroup.display()))?;
    answer
}
