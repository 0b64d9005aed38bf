//! Under load: rules that change all the time, storms of denials, and a log that nobody reads.
//!
//! Each case has a short form for the suite, and a long one for `cargo xtask soak`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::agent::metric;
use crate::case::{Case, Context};
use crate::kernel;
use crate::probe::{HAMMER, counted};
use crate::process::heap;
use crate::standalone::Standalone;
use crate::wait::eventually;

const CGROUP: &str = "/sys/fs/cgroup/load";
/// Processes that do operations all the time.
const PROCESSES: usize = 4;
/// More denials of different files than a pipe has room for lines.
const FILES: usize = 400;
/// What the enforcer's memory may grow by, in KiB, whatever it has done: far less than a
/// thousand tables take.
const GROWTH: u64 = 4_096;
/// The same in a storm, when it reads events as fast as it can.
const STORM_GROWTH: u64 = 16_384;

pub(super) fn cases() -> Vec<Case> {
    let minutes = |mut case: Case, minutes| {
        case.time_limit = Duration::from_mins(minutes);
        case
    };
    vec![
        minutes(
            Case::new("load/rules_change", |context| rules_change(context, 8)),
            5,
        ),
        minutes(
            Case::new("load/a_storm_of_denials", |context| storm(context, 3_000)),
            5,
        ),
        minutes(Case::new("load/nobody_reads_the_log", nobody_reads), 5),
        minutes(
            Case::new("soak/rules_change", |context| rules_change(context, 1_000)),
            60,
        ),
        minutes(
            Case::new("soak/a_storm_of_denials", |context| storm(context, 100_000)),
            60,
        ),
    ]
}

/// A container's processes, all in one cgroup.
struct Processes(Vec<Hammer>);

struct Hammer {
    child: Child,
    from: BufReader<ChildStdout>,
}

/// What the processes have done.
#[derive(Default)]
struct Counts {
    denied: u64,
    allowed: u64,
}

impl Processes {
    /// They wait in their cgroup: the enforcer that comes knows their mounts from the
    /// beginning, and so names for what is on volumes.
    fn wait(operations: &[String]) -> Result<Self> {
        fs::create_dir_all(CGROUP)?;
        (0..PROCESSES)
            .map(|_| Hammer::wait(operations))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Fails if an operation went through that should have been denied, or the reverse.
    fn ask(&mut self, order: &str) -> Result<Counts> {
        let mut counts = Counts::default();
        for hammer in &mut self.0 {
            hammer.say(order)?;
            let answer = hammer.line()?;
            let (denied, allowed) = counted(&answer)?;
            counts.denied += denied;
            counts.allowed += allowed;
        }
        Ok(counts)
    }

    /// Lets them begin.
    fn go(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Hammer::go)
    }

    /// Waits until they have been denied some more times.
    fn go_on(&mut self, more: u64) -> Result<()> {
        let enough = self.ask("count")?.denied + more;
        eventually("they are denied more", || {
            Ok(self.ask("count")?.denied >= enough)
        })
    }
}

impl Hammer {
    fn wait(operations: &[String]) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe()?)
            .args(HAMMER)
            .args(operations)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let from = child.stdout.take().context("it has no output")?;
        let hammer = Self {
            child,
            from: BufReader::new(from),
        };
        let id = hammer.child.id().to_string();
        fs::write(Path::new(CGROUP).join("cgroup.procs"), id)?;
        Ok(hammer)
    }

    fn go(&mut self) -> Result<()> {
        self.say("go")?;
        ensure!(self.line()? == "ready", "it doesn't start");
        Ok(())
    }

    fn say(&mut self, what: &str) -> Result<()> {
        let to = self.child.stdin.as_mut().context("it has no input")?;
        Ok(writeln!(to, "{what}")?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files that rules are about, and the folder with the policy.
struct Stage {
    shut: PathBuf,
    open: PathBuf,
    policies: PathBuf,
}

impl Stage {
    fn new(context: &Context) -> Result<Self> {
        let stage = Self {
            shut: context.scratch.join("shut"),
            open: context.scratch.join("open"),
            policies: context.scratch.join("policies"),
        };
        fs::create_dir(&stage.shut)?;
        fs::create_dir(&stage.policies)?;
        fs::write(stage.shut.join("0"), "content")?;
        fs::write(&stage.open, "content")?;
        stage.edit(context, 0)?;
        Ok(stage)
    }

    /// Writes the policy: always the same rule, and one that `number` makes different.
    fn edit(&self, context: &Context, number: usize) -> Result<()> {
        let new = context.scratch.join("new.yaml");
        let policy = format!(
            "apiVersion: bartizan.dev/v1alpha1\n\
             kind: SecurityPolicy\n\
             metadata: {{ name: load }}\n\
             spec:\n  \
               selector: {{}}\n  \
               mode: Enforce\n  \
               files: {{ deny: [{{ paths: [\"{}/*\", \"/other/{number}/**\"], operations: [Read] }}] }}\n",
            self.shut.display()
        );
        fs::write(&new, policy)?;
        Ok(fs::rename(new, self.policies.join("policy.yaml"))?)
    }

    /// Reading the files that are shut, 0 to `files`, and the one that is open.
    fn operations(&self, files: usize) -> Vec<String> {
        let shut = (0..files).map(|file| format!("!file,read,{}/{file}", self.shut.display()));
        let open = format!("=file,read,{}", self.open.display());
        shut.chain([open]).collect()
    }

    fn enforce(&self, context: &Context, output: impl Into<Stdio>) -> Result<Standalone> {
        Standalone::start(context, &self.policies, [Path::new(CGROUP)], output)
    }
}

/// Every decision is by the old rules or the new, and nothing of the old ones is left.
fn rules_change(context: &Context, edits: usize) -> Result<()> {
    let stage = Stage::new(context)?;
    let mut processes = Processes::wait(&stage.operations(1))?;
    let mut enforcer = stage.enforce(context, Stdio::null())?;
    processes.go()?;
    // The first edits take what is kept for further ones.
    let warm = 10.min(edits / 2);
    let mut before = None;
    for edit in 1..=edits {
        if edit == warm {
            before = Some((kernel::maps().len(), heap(enforcer.pid())?));
        }
        stage.edit(context, edit)?;
        is_edited(&mut enforcer, edit)?;
    }
    processes.go_on(1)?;
    let counts = processes.ask("stop")?;
    let (maps, memory) = before.context("there are edits")?;
    // What is replaced ends some time later. The first two edits that follow closely upon
    // each other need a map that stays.
    eventually("there are as many maps as before", || {
        Ok(kernel::maps().len() <= maps + 1)
    })?;
    let now = heap(enforcer.pid())?;
    println!(
        "figure: {edits} edits, {} denied, {} allowed, none otherwise; heap {memory} KiB after \
         {warm} edits, {now} at the end",
        counts.denied, counts.allowed
    );
    ensure!(now < memory + GROWTH, "heap {memory} KiB became {now}");
    enforcer.stop()
}

/// Counters are exact, and lines are few and add up.
fn storm(context: &Context, denials: u64) -> Result<()> {
    let stage = Stage::new(context)?;
    let lines = context.scratch.join("lines");
    let mut processes = Processes::wait(&stage.operations(1))?;
    let mut enforcer = stage.enforce(context, File::create(&lines)?)?;
    let before = heap(enforcer.pid())?;
    processes.go()?;
    let start = Instant::now();
    let steps = 10;
    for _ in 0..steps {
        processes.go_on(denials / steps)?;
    }
    let took = start.elapsed();
    let counts = processes.ask("stop")?;
    ensure_counted(counts.denied)?;
    let after = heap(enforcer.pid())?;
    let drops = metric("bartizan_ring_drops_total")?;
    // A program may look at its own `/proc`, which has no name in a container.
    let unresolved = metric("bartizan_unresolved_total")?;
    enforcer.stop()?;
    let text = fs::read_to_string(&lines)?;
    let mut reported = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        reported += line["count"].as_u64().context("a line without a count")?;
    }
    println!(
        "figure: {} denials in {took:.1?}, {} lines, {drops} dropped; heap {before} KiB, then \
         {after}",
        counts.denied,
        text.lines().count()
    );
    ensure!(
        reported + drops == counts.denied + unresolved,
        "{reported} are in the lines and {drops} were dropped, of {} and {unresolved}: {text}",
        counts.denied
    );
    // One a second, and one for what is unresolved of each process.
    let seconds = took.as_secs() as usize + 3;
    ensure!(
        text.lines().count() <= seconds + PROCESSES,
        "{} lines in {seconds} s",
        text.lines().count()
    );
    ensure!(
        after < before + STORM_GROWTH,
        "heap {before} KiB became {after}"
    );
    Ok(())
}

/// A reader that is stuck, a full disk, a reader that has gone: enforcement and counters
/// don't depend on them, and what could not be written is counted.
fn nobody_reads(context: &Context) -> Result<()> {
    let stage = Stage::new(context)?;
    for file in 1..FILES {
        fs::write(stage.shut.join(file.to_string()), "content")?;
    }
    {
        let (mut reader, writer) = std::io::pipe()?;
        let mut processes = Processes::wait(&stage.operations(FILES))?;
        let mut enforcer = stage.enforce(context, writer)?;
        processes.go()?;
        processes.go_on(2 * FILES as u64)?;
        // Edits reach the kernel all the same.
        stage.edit(context, 1)?;
        is_edited(&mut enforcer, 1)?;
        let mut some = [0; 1];
        reader
            .read_exact(&mut some)
            .context("nothing was written")?;
        drop(reader);
        processes.go_on(FILES as u64)?;
        let counts = processes.ask("stop")?;
        ensure_counted(counts.denied)?;
        let lost = metric("bartizan_report_drops_total")? + metric("bartizan_ring_drops_total")?;
        println!(
            "figure: {} denials, {lost} not written to a pipe",
            counts.denied
        );
        ensure!(lost > 0, "nobody read, and nothing counts as lost");
        enforcer.is_alive()?;
    }
    let full = File::options().write(true).open("/dev/full")?;
    let mut processes = Processes::wait(&stage.operations(FILES))?;
    let mut enforcer = stage.enforce(context, full)?;
    processes.go()?;
    processes.go_on(FILES as u64)?;
    let counts = processes.ask("stop")?;
    ensure_counted(counts.denied)?;
    eventually("a full disk loses lines", || {
        Ok(metric("bartizan_report_drops_total")? > 0)
    })?;
    enforcer.is_alive()
}

/// Waits until an enforcer has taken that many edits.
fn is_edited(enforcer: &mut Standalone, edits: usize) -> Result<()> {
    eventually("the edit is enforced", || {
        enforcer.is_alive()?;
        Ok(metric("bartizan_policy_edits_total")? >= edits as u64)
    })
}

/// The counters say what was denied, neither more nor less.
fn ensure_counted(denied: u64) -> Result<()> {
    eventually("all denials are counted", || {
        let counted = metric("bartizan_denials_total")?;
        ensure!(
            counted <= denied,
            "{denied} were denied, {counted} are counted"
        );
        Ok(counted == denied)
    })
}
