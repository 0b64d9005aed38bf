//! Runs cases one after the other and prints a line for each.
//!
//! ```text
//! ok exec/denied_by_path (1.3 s)
//! FAIL exec/denied_by_glob: expected EACCES, got success
//!     | what the case printed
//! skip files/io_uring: no io_uring in this kernel
//! 1 passed, 1 failed, 1 skipped
//! ```

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::case::{Case, Context, Guest, Skipped};
use crate::cases;

/// Each case has `NAME/` for its files, `NAME.output` and `NAME.reason` in here.
const SCRATCH: &str = "/tmp/e2e";
const SKIPPED: u8 = 77;
/// The topic of cases that `cargo xtask soak` runs.
const SOAK: &str = "soak/";
/// In front of lines that are printed of a case that has passed, too.
const FIGURE: &str = "figure: ";
const POLL: Duration = Duration::from_millis(10);

/// How a case ended.
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Prints `GUEST NAME` for each case.
pub(crate) fn list(filter: &str) -> ExitCode {
    for case in selected(filter) {
        println!("{} {}", case.guest.name(), case.name);
    }
    ExitCode::SUCCESS
}

/// Runs the cases for one kind of guest whose names contain `filter` and none of `except`.
pub(crate) fn run(guest: &str, filter: &str, except: &[&str]) -> ExitCode {
    let Some(guest) = Guest::ALL.into_iter().find(|kind| kind.name() == guest) else {
        eprintln!("unknown guest {guest}");
        return ExitCode::from(2);
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let is_left_out = |case: &Case| except.iter().any(|part| case.name.contains(part));
    let of_guest = selected(filter).filter(|case| case.guest == guest);
    for case in of_guest.filter(|case| !is_left_out(case)) {
        let start = Instant::now();
        let verdict = judge(&case);
        let took = start.elapsed().as_secs_f32();
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("ok {} ({took:.1} s)", case.name);
                let output = fs::read(beside(&case, "output")).unwrap_or_default();
                let output = String::from_utf8_lossy(&output);
                for line in output.lines().filter(|line| line.starts_with(FIGURE)) {
                    println!("    | {line}");
                }
            }
            Verdict::Failed(reason) => {
                failed += 1;
                println!("FAIL {}: {}", case.name, reason.replace('\n', "\n    "));
                let output = fs::read(beside(&case, "output")).unwrap_or_default();
                for line in String::from_utf8_lossy(&output).lines() {
                    println!("    | {line}");
                }
            }
            Verdict::Skipped(reason) => {
                skipped += 1;
                println!("skip {}: {reason}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one case in this process; its reason goes to a file, its status says the rest.
pub(crate) fn run_one(name: &str) -> ExitCode {
    let Some(case) = selected(name).find(|case| case.name == name) else {
        eprintln!("unknown case {name}");
        return ExitCode::from(2);
    };
    let Err(error) = (case.run)(&Context::new(scratch(&case))) else {
        return ExitCode::SUCCESS;
    };
    // A reason that can't be written is printed: it is then part of the case's output.
    let reason = format!("{error:#}");
    if fs::write(beside(&case, "reason"), &reason).is_err() {
        eprintln!("{reason}");
    }
    if error.is::<Skipped>() {
        ExitCode::from(SKIPPED)
    } else {
        ExitCode::FAILURE
    }
}

/// Cases that take long are asked for by their topic's name.
fn selected(filter: &str) -> impl Iterator<Item = Case> {
    let all = cases::all().into_iter();
    all.filter(move |case| case.name.contains(filter))
        .filter(move |case| !case.name.starts_with(SOAK) || filter.contains(SOAK))
}

fn judge(case: &Case) -> Verdict {
    let status = match start(case) {
        Ok(child) => wait(child, case.time_limit),
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    // Programs are large, and the guest's files are in its memory.
    let _ = fs::remove_dir_all(scratch(case));
    let Some(status) = status else {
        return Verdict::Failed(format!("still running after {:?}", case.time_limit));
    };
    let reason = fs::read_to_string(beside(case, "reason")).unwrap_or_default();
    match status.code() {
        Some(0) => Verdict::Passed,
        Some(code) if code == i32::from(SKIPPED) => Verdict::Skipped(reason),
        Some(_) if !reason.is_empty() => Verdict::Failed(reason),
        Some(code) => Verdict::Failed(format!("exit status {code}")),
        None => Verdict::Failed(format!("ended by signal {}", status.signal().unwrap_or(0))),
    }
}

/// Output goes to a file: a pipe would stay open in whatever the case leaves running.
fn start(case: &Case) -> Result<Child> {
    let scratch = scratch(case);
    fs::create_dir_all(&scratch).with_context(|| format!("can't make {}", scratch.display()))?;
    let output = File::create(beside(case, "output")).context("can't make the output file")?;
    let mut command = Command::new(std::env::current_exe().context("where am I?")?);
    command
        .args(["case", case.name])
        .current_dir(&scratch)
        .process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("can't share the output")?);
    command
        .stderr(output)
        .spawn()
        .context("can't start the case")
}

/// The status, or `None` if the time is up. Ends whatever the case has left running.
fn wait(mut child: Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    let mut status = None;
    while status.is_none() && Instant::now() < deadline {
        thread::sleep(POLL);
        status = child.try_wait().ok().flatten();
    }
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // Fails if nothing is left of the group.
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        let _ = child.wait();
    }
    status
}

fn scratch(case: &Case) -> PathBuf {
    Path::new(SCRATCH).join(case.name.replace('/', "-"))
}

fn beside(case: &Case, kind: &str) -> PathBuf {
    let mut path = scratch(case).into_os_string();
    path.push(".");
    path.push(kind);
    PathBuf::from(path)
}
