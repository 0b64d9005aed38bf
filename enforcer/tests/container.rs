//! Containers made by the enforcer, without a kernel that enforces.
//!
//! A program of its own instead of the test harness: a fork needs a process with a single
//! thread. It needs root; without, it says so and succeeds, because `make test` runs the
//! same in the guests.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bartizan_enforcer::container::{Container, ContainerError, Spec};

/// What came of a command.
struct Outcome {
    status: u8,
    failure: Option<ContainerError>,
    /// What it wrote to its file (`$OUT`).
    output: String,
}

fn run_in(root: Option<&Path>, out: &Path, script: &[&str]) -> Result<Outcome, ContainerError> {
    // Stands for cgroup.procs.
    let procs = File::create(out.with_extension("procs")).expect("a writable directory");
    let command = script.iter().map(OsString::from).collect();
    let mut container = Container::start(
        &Spec {
            command,
            root: root.map(Path::to_owned),
        },
        &procs,
    )?;
    container.wait_ready()?;
    container.release()?;
    let failure = container.exec_failure()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = container.try_wait().expect("the child is ours") {
            break status;
        }
        assert!(Instant::now() < deadline, "the command doesn't end");
        std::thread::yield_now();
    };
    let mut entered = String::new();
    let _ =
        File::open(out.with_extension("procs")).and_then(|mut f| f.read_to_string(&mut entered));
    assert_eq!(
        entered,
        if failure_before_entry(failure.as_ref()) {
            ""
        } else {
            "0"
        }
    );
    let output = fs::read_to_string(out).unwrap_or_default();
    Ok(Outcome {
        status,
        failure,
        output,
    })
}

/// A command that isn't found never enters the cgroup.
fn failure_before_entry(failure: Option<&ContainerError>) -> bool {
    matches!(failure, Some(ContainerError::Setup { source, .. })
        if source.kind() == io::ErrorKind::NotFound)
}

/// Runs a shell script with `$OUT` as its output.
fn shell(dir: &Path, script: &str) -> Outcome {
    let out = dir.join("out");
    let _ = fs::remove_file(&out);
    let script = format!("exec >{}; {script}", out.display());
    run_in(None, &out, &["sh", "-c", &script]).expect("the container starts")
}

fn the_command_is_pid_1_with_a_proc_of_its_own(dir: &Path) {
    let outcome = shell(dir, "echo $$; echo /proc/[0-9]*; exit 3");
    assert_eq!(outcome.output, "1\n/proc/1\n");
    assert_eq!(outcome.status, 3);
}

fn its_mounts_stay_inside(dir: &Path) {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let outcome = shell(dir, "mount -t tmpfs none /mnt && echo done");
    assert_eq!(outcome.output, "done\n");
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").expect("mountinfo"),
        before
    );
}

fn a_signal_ends_as_128_and_its_number(dir: &Path) {
    // Pid 1 can't kill itself; its child can be killed, and the shell passes that on.
    let outcome = shell(dir, "sh -c 'kill -9 $$'; exit $?");
    assert_eq!(outcome.status, 137);
}

fn what_it_left_running_dies_with_it(dir: &Path) {
    let outcome = shell(dir, "sleep 1000 & readlink /proc/self/ns/pid");
    let namespace = outcome.output.trim();
    assert!(namespace.starts_with("pid:["), "{namespace}");
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let link = fs::read_link(entry.path().join("ns/pid")).unwrap_or_default();
        assert_ne!(
            link,
            PathBuf::from(namespace),
            "{} is left",
            entry.path().display()
        );
    }
}

fn a_command_that_is_not_there_ends_as_127(dir: &Path) {
    let outcome = run_in(None, &dir.join("out"), &["no-such-command"]).expect("it starts");
    assert_eq!(outcome.status, 127);
    let message = outcome.failure.expect("a failure").to_string();
    assert_eq!(message, "cannot run no-such-command");
}

fn a_command_that_cannot_be_run_ends_as_126(dir: &Path) {
    let file = dir.join("not-executable");
    fs::write(&file, "").expect("a writable directory");
    let command = file.to_str().expect("UTF-8");
    let outcome = run_in(None, &dir.join("out"), &[command]).expect("it starts");
    assert_eq!(outcome.status, 126);
}

fn its_root_is_the_directory(dir: &Path) {
    let root = dir.join("root");
    for sub in ["bin", "proc", "dev"] {
        fs::create_dir_all(root.join(sub)).expect("a writable directory");
    }
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find(|p| Path::new(p).exists())
    else {
        return;
    };
    fs::copy(busybox, root.join("bin/sh")).expect("a copy");
    let script = "exec >/out; echo / /* /proc/[0-9]*; echo x >/dev/null && echo ok; pwd";
    let out = root.join("out");
    let outcome = run_in(Some(&root), &out, &["/bin/sh", "-c", script]).expect("it starts");
    assert_eq!(
        outcome.output,
        "/ /bin /dev /out /out.procs /proc /proc/1\nok\n/\n"
    );
    assert_eq!(outcome.status, 0);
}

fn a_root_that_cannot_be_is_named(dir: &Path) {
    let missing = dir.join("missing");
    let result = run_in(Some(&missing), &dir.join("out"), &["sh"]);
    let error = result.err().expect("an error").to_string();
    assert_eq!(error, format!("cannot bind {}", missing.display()));
}

type Test = fn(&Path);

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it stands in for the harness"
)]
fn main() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        eprintln!("container: skipped, it needs root for new namespaces");
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, Test); 8] = [
        (
            "the_command_is_pid_1_with_a_proc_of_its_own",
            the_command_is_pid_1_with_a_proc_of_its_own,
        ),
        ("its_mounts_stay_inside", its_mounts_stay_inside),
        (
            "a_signal_ends_as_128_and_its_number",
            a_signal_ends_as_128_and_its_number,
        ),
        (
            "what_it_left_running_dies_with_it",
            what_it_left_running_dies_with_it,
        ),
        (
            "a_command_that_is_not_there_ends_as_127",
            a_command_that_is_not_there_ends_as_127,
        ),
        (
            "a_command_that_cannot_be_run_ends_as_126",
            a_command_that_cannot_be_run_ends_as_126,
        ),
        ("its_root_is_the_directory", its_root_is_the_directory),
        (
            "a_root_that_cannot_be_is_named",
            a_root_that_cannot_be_is_named,
        ),
    ];
    for (name, test) in tests {
        let dir = tempfile::tempdir().expect("a temporary directory");
        test(dir.path());
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}
