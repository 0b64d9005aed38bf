//! Who is under a container's rules: its cgroup and all below.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::SERVE;

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};
use crate::kernel;
use crate::probe::{self, SECRET};

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

const CALLER: &str = "/bin/probe";

pub(super) fn cases() -> Vec<Case> {
    let mut case = Case::new(
        "cgroup/one_that_finds_no_room_for_its_label_has_its_rules",
        no_room_for_a_label,
    );
    case.time_limit = Duration::from_mins(5);
    vec![case]
}

fn no_room_for_a_label(context: &Context) -> Result<()> {
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    root.file(SECRET)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
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
fn answer_in(cgroup: &Path, program: &Path, operation: &str) -> Result<String> {
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
