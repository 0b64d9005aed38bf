//! Every sample policy's table of cases, done for real.
//!
//! The reference and the compiled tables have passed the same tables on the host
//! (`policy/tests/samples.rs`). Here the kernel's answer is an errno, and who decided
//! is what the denial log says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_abi::op::{Category, Operation};
use bartizan_policy::explain;
use bartizan_policy::operation::{Caller, Name, Object, Request};
use bartizan_policy::request::parse_request;
use rustix::io::Errno;

use crate::case::{Case, Context};
use crate::container::{Container, Denial, Identity, Root};
use crate::probe;
use crate::table::{self, Table};

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        const NAMES: &[&str] = &[$($name),*];

        /// A case for each sample, and one that none is forgotten.
        pub(super) fn cases() -> Vec<Case> {
            let mut cases = vec![Case::new("samples/all_are_here", all_are_here)];
            $({
                let mut case = Case::new(concat!("samples/", $name), |context| run(context, $name));
                case.time_limit = Duration::from_mins(5);
                cases.push(case);
            })*
            cases
        }
    };
}

samples![
    "audit-trail",
    "database",
    "drop-capabilities",
    "dry-run",
    "egress-by-cidr",
    "no-dropped-programs",
    "no-package-managers",
    "no-raw-sockets",
    "read-only-etc",
    "service-account-token",
    "shell-less",
    "web-server",
];

fn all_are_here(context: &Context) -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&context.samples)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    let listed: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    ensure!(
        found == listed,
        "the samples are {found:?}, the cases {listed:?}"
    );
    Ok(())
}

/// A line of the table, understood.
struct Step<'a> {
    case: &'a table::Case,
    request: Request,
    caller: String,
}

impl Step<'_> {
    fn path(&self) -> Option<String> {
        match &self.request.object {
            Object::File {
                name: Name::Path(path),
                ..
            } => Some(String::from_utf8_lossy(path).into_owned()),
            _ => None,
        }
    }

    fn words(&self) -> Vec<&str> {
        self.case.words.iter().map(String::as_str).collect()
    }

    /// The line in the denial log, with the operations it may be about: a rename also
    /// deletes the old name.
    fn reported(&self) -> Vec<Denial> {
        let operation = self.request.operation;
        let operations = match operation {
            Operation::Rename => vec![operation, Operation::Delete],
            _ => vec![operation],
        };
        operations
            .into_iter()
            .map(|operation| Denial {
                verdict: self.case.verdict.clone(),
                rule: self.case.rule.clone(),
                operation: operation.name().to_owned(),
                target: Some(explain::target(&self.request.object)),
                executable: Some(self.caller.clone()),
            })
            .collect()
    }

    /// Whether no other case does the same to the same object by the same caller.
    fn is_told_apart_from(&self, steps: &[Step<'_>]) -> bool {
        let reported = self.reported();
        let same = |step: &&Step<'_>| step.reported().iter().any(|one| about(one, &reported));
        steps.iter().filter(same).count() == 1
    }

    /// What the call must answer.
    fn check(&self, errno: i32) -> Result<()> {
        let denied = match self.request.operation.category() {
            Category::Process | Category::Files => Errno::ACCESS,
            Category::Network | Category::Capabilities => Errno::PERM,
        };
        let text = std::io::Error::from_raw_os_error(errno);
        if self.case.verdict == "deny" {
            ensure!(
                errno == denied.raw_os_error(),
                "denied with {text} instead of {denied}"
            );
            return Ok(());
        }
        // Nobody listens where the samples connect to, and not every kernel has every
        // kind of socket; what counts is that it isn't the rules that say no.
        let is_refusal = [Errno::ACCESS, Errno::PERM]
            .iter()
            .any(|no| no.raw_os_error() == errno);
        let may_fail = self.request.operation.category() == Category::Network
            || self.request.operation == Operation::Capable;
        ensure!(
            errno == 0 || (may_fail && !is_refusal),
            "should go on, but fails: {text}"
        );
        Ok(())
    }
}

fn run(context: &Context, name: &str) -> Result<()> {
    let text = fs::read_to_string(context.samples.join(format!("cases/{name}.txt")))?;
    let table = table::parse(&text);
    let steps = steps(&table)?;
    let root = Root::new(context.scratch.join("root"))?;
    populate(&root, &steps)?;
    let identity = Identity {
        labels: table.labels.clone(),
        container: table.container.clone(),
    };
    let policies = context.samples.join(format!("{name}.yaml"));
    let mut container = Container::start(context, &policies, &identity, &root, &table.caller)?;
    let mut mistakes = Vec::new();
    for step in &steps {
        before(&root, step)?;
        let result = container
            .perform(&step.caller, &step.words())
            .and_then(|errno| step.check(errno));
        after(&root, step)?;
        if let Err(error) = result {
            mistakes.push(format!(
                "{}: {}: {error:#}",
                step.case.line,
                step.case.operation()
            ));
        }
    }
    let reported = container.finish()?;
    for step in &steps {
        let expected = step.reported();
        let there = expected
            .iter()
            .any(|denial| reported.iter().any(|seen| same(seen, denial)));
        let line = step.case.line;
        let operation = step.case.operation();
        match step.case.verdict.as_str() {
            // The log doesn't tell an owner from others, so a line may be another case's.
            "allow" if step.is_told_apart_from(&steps) => {
                if let Some(seen) = reported.iter().find(|seen| about(seen, &expected)) {
                    mistakes.push(format!(
                        "{line}: {operation}: allowed, but reported: {seen:?}"
                    ));
                }
            }
            "allow" => {}
            _ if !there => mistakes.push(format!("{line}: {operation}: not reported so")),
            _ => {}
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        bail!("{}", mistakes.join("\n"))
    }
}

/// Whether a line is the expected one. What has no name has one of its own in the log.
fn same(seen: &Denial, expected: &Denial) -> bool {
    let target = match expected.target.as_deref() {
        Some("unnamed") => seen
            .target
            .as_deref()
            .is_some_and(|target| target.starts_with('?')),
        Some(path) if path.starts_with('/') => seen.target.as_deref() == Some(path),
        // `TCP` as policies write it, `tcp` as operations are written.
        other => seen.target.as_deref().map(str::to_lowercase) == other.map(str::to_lowercase),
    };
    target
        && seen.verdict == expected.verdict
        && seen.rule == expected.rule
        && seen.operation == expected.operation
        && seen.executable == expected.executable
}

/// Whether a line is about one of these operations, whatever its verdict.
fn about(seen: &Denial, operations: &[Denial]) -> bool {
    operations.iter().any(|one| {
        let as_if = Denial {
            verdict: seen.verdict.clone(),
            rule: seen.rule.clone(),
            ..one.clone()
        };
        same(seen, &as_if)
    })
}

fn steps(table: &Table) -> Result<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for case in &table.cases {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let request = parse_request(&words).with_context(|| case.operation())?;
        let Caller::Executable(Name::Path(caller)) = &request.caller else {
            bail!("line {}: no caller with a name", case.line);
        };
        let caller = String::from_utf8_lossy(caller).into_owned();
        steps.push(Step {
            case,
            request,
            caller,
        });
    }
    Ok(steps)
}

/// Makes everything that the steps run, open and call from.
fn populate(root: &Root, steps: &[Step<'_>]) -> Result<()> {
    let paths: BTreeSet<String> = steps.iter().filter_map(Step::path).collect();
    for step in steps {
        root.program(&step.caller)?;
        if let Some(path) = step.path()
            && step.request.operation.category() == Category::Process
        {
            root.program(&path)?;
        }
    }
    for path in &paths {
        let below = format!("{path}/");
        let is_directory = paths.iter().any(|other| other.starts_with(&below));
        if is_directory {
            root.directory(path)?;
        } else if !root.outside(path).exists() {
            root.file(path)?;
        }
    }
    Ok(())
}

/// What is made by an operation must not be there.
fn before(root: &Root, step: &Step<'_>) -> Result<()> {
    if let Some(path) = step.path()
        && step.request.operation == Operation::Create
    {
        fs::remove_file(root.outside(&path))?;
    }
    Ok(())
}

/// Puts everything back.
fn after(root: &Root, step: &Step<'_>) -> Result<()> {
    let moved = root.outside(probe::MOVED);
    let Some(path) = step.path() else {
        return if moved.exists() {
            Ok(fs::remove_file(moved)?)
        } else {
            Ok(())
        };
    };
    let path_outside: &Path = &root.outside(&path);
    if moved.exists() {
        if path_outside.exists() {
            fs::remove_file(moved)?;
        } else {
            fs::rename(moved, path_outside)?;
        }
    } else if !path_outside.exists() {
        root.file(&path)?;
    }
    Ok(())
}
