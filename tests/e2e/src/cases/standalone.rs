//! `bartizan-enforcer standalone`: policies that are edited while they are enforced.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::SERVE;

use crate::case::{Case, Context};
use crate::standalone::Standalone;

const WORKLOADS: usize = 20;
const CGROUPS: &str = "/sys/fs/cgroup/standalone";
/// Until something that has to happen counts as not happening; a guest can be slow.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

pub(super) fn cases() -> Vec<Case> {
    let mut case = Case::new(
        "standalone/an_edit_reaches_all_workloads",
        an_edit_reaches_all,
    );
    case.time_limit = Duration::from_mins(5);
    vec![case]
}

fn an_edit_reaches_all(context: &Context) -> Result<()> {
    let files = ["a", "b"].map(|name| context.scratch.join(name));
    for file in &files {
        fs::write(file, "content")?;
    }
    let folder = context.scratch.join("policies");
    fs::create_dir(&folder)?;
    let edit = |denied: &Path| -> Result<()> {
        let new = context.scratch.join("new.yaml");
        fs::write(&new, policy(denied))?;
        Ok(fs::rename(new, folder.join("policy.yaml"))?)
    };
    edit(&files[0])?;
    let mut workloads = (0..WORKLOADS)
        .map(Workload::start)
        .collect::<Result<Vec<_>>>()?;
    let places = workloads.iter().map(|workload| workload.cgroup.as_path());
    let mut enforcer = Standalone::start(context, &folder, places, Stdio::null())?;
    // There and back: the third and fourth find their tables in the kernel, and each
    // workload's second place for a binding is used again at once.
    for denied in [0, 1, 0, 1] {
        let start = Instant::now();
        edit(&files[denied])?;
        let last = workloads.last_mut().context("there are some")?;
        while last.read(&files[denied])? != "13" {
            enforcer.is_alive()?;
            ensure!(start.elapsed() < PATIENCE, "the edit is not enforced");
            thread::sleep(POLL);
        }
        println!("the edit was enforced after {:?}", start.elapsed());
        for workload in &mut workloads {
            let answers = [
                workload.read(&files[denied])?,
                workload.read(&files[1 - denied])?,
            ];
            ensure!(
                answers == ["13", "0"],
                "{} answers {answers:?}",
                workload.name
            );
        }
    }
    enforcer.stop()
}

fn policy(denied: &Path) -> String {
    format!(
        "apiVersion: bartizan.dev/v1alpha1\n\
         kind: SecurityPolicy\n\
         metadata: {{ name: edited }}\n\
         spec:\n  \
           selector: {{}}\n  \
           mode: Enforce\n  \
           files: {{ deny: [{{ paths: [\"{}\"], operations: [Read] }}] }}\n",
        denied.display()
    )
}

/// A process that does what it is told, in a cgroup of its own.
struct Workload {
    name: String,
    cgroup: PathBuf,
    child: Child,
    from: BufReader<ChildStdout>,
}

impl Workload {
    fn start(number: usize) -> Result<Self> {
        let name = format!("w{number}");
        let cgroup = Path::new(CGROUPS).join(&name);
        fs::create_dir_all(&cgroup)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let from = child.stdout.take().context("it has no standard output")?;
        let mut workload = Self {
            name,
            cgroup,
            child,
            from: BufReader::new(from),
        };
        ensure!(workload.line()? == "ready", "it doesn't answer");
        let procs = workload.cgroup.join("cgroup.procs");
        fs::write(procs, workload.child.id().to_string())?;
        Ok(workload)
    }

    /// The errno of reading a file.
    fn read(&mut self, file: &Path) -> Result<String> {
        let to = self.child.stdin.as_mut().context("it has no input")?;
        writeln!(to, "file read {}", file.display())?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.cgroup);
    }
}
