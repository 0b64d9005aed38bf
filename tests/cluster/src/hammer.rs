//! A pod that does allowed and denied operations without a pause, and says what went wrong.
//!
//! It is under its policy before it starts, so that a single denied operation that got
//! through, or an allowed one that was denied, is a mistake whenever it happens.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cases::policies::waiting_pod;
use crate::kubectl::{Kubectl, Namespace};
use crate::wait::{eventually, within};

/// How many rounds show that it goes on.
const ROUNDS: u64 = 20;

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata:
  name: hammered
spec:
  selector: {}
  mode: Enforce
  process:
    deny:
      - paths: [\"**/wget\"]
  files:
    deny:
      - paths: [/etc/shadow]
        operations: [Read]
";

/// How many denials a round has.
pub(crate) const DENIALS: u64 = 3;

/// The shell says 126 when a program is there and may not be run; without a path it would
/// not even try, but be the program itself. It opens files itself and pauses without running
/// a program, since a node whose processor is emulated has little time for others beside a
/// hammer that only runs programs. What it writes is in memory, and not in its log, since the
/// node's disk may be full.
const LOOP: &str = r#"mkfifo /dev/shm/never
exec 9<> /dev/shm/never
n=0
wrong() {
  echo "round $n: $*" >> /dev/shm/wrong
}
opens() {
  { true < /etc/passwd; } 2> /dev/null || wrong "/etc/passwd was not opened"
  { true < /etc/shadow; } 2> /dev/null && wrong "/etc/shadow was opened"
  read -r -t 0.05 nothing <&9
}
while :; do
  n=$((n + 1))
  said=$(/usr/bin/cat /etc/passwd 2>&1 > /dev/null) || wrong "allowed, but: $said"
  opens
  /usr/bin/wget --help > /dev/null 2>&1
  test $? = 126 || wrong "wget ran"
  opens
  echo $n > /dev/shm/rounds
done"#;

/// The pod waits for its rules, and for an enforcer that answers the runtime.
const HOLD: &str = r#"  annotations:
    bartizan.dev/startup: Hold
    required-plugins.noderesource.dev: '["bartizan"]'
"#;

/// After a change, how long until what it is about is so.
pub(crate) struct Recovery {
    /// The policy's status speaks of the change, and says that it is enforced.
    pub(crate) status: Duration,
    /// The kernel denies by it.
    pub(crate) kernel: Duration,
}

/// The pod, in a namespace of its own.
pub(crate) struct Hammer<'a> {
    pub(crate) namespace: Namespace<'a>,
}

impl<'a> Hammer<'a> {
    /// Starts it, and waits until it has done some rounds.
    pub(crate) fn start(kubectl: &'a Kubectl, name: &str) -> Result<Self> {
        Self::start_with(kubectl, name, "")
    }

    /// Starts one that never runs without its rules, whatever became of the enforcer.
    pub(crate) fn start_held(kubectl: &'a Kubectl, name: &str) -> Result<Self> {
        Self::start_with(kubectl, name, HOLD)
    }

    fn start_with(kubectl: &'a Kubectl, name: &str, metadata: &str) -> Result<Self> {
        static HOOKS: OnceLock<()> = OnceLock::new();
        if HOOKS.get().is_none() {
            needs_its_hooks(kubectl)?;
            HOOKS.get_or_init(|| ());
        }
        let namespace = kubectl.namespace(name)?;
        namespace.apply(POLICY)?;
        let script = LOOP.replace('\n', "\n          ");
        let command = format!(
            "      command:\n        - /usr/bin/sh\n        - -c\n        - |\n          {script}\n"
        );
        let pod = waiting_pod("hammer").replace("spec:\n", &format!("{metadata}spec:\n"));
        namespace.apply(&(pod + &command))?;
        namespace.ready("hammer")?;
        let hammer = Self { namespace };
        hammer.goes_on()?;
        Ok(hammer)
    }

    /// Waits until it has done more rounds, and fails if it has ever seen a mistake.
    pub(crate) fn goes_on(&self) -> Result<()> {
        let before = eventually("the hammer tells its rounds", || self.rounds().map(Some))?;
        eventually("the hammer goes on", || {
            Ok((self.rounds()? >= before + ROUNDS).then_some(()))
        })?;
        self.is_right()
    }

    /// Fails if it has ever seen a mistake.
    pub(crate) fn is_right(&self) -> Result<()> {
        let said = eventually("the hammer tells its mistakes", || {
            self.tells("touch /dev/shm/wrong; cat /dev/shm/wrong")
                .map(Some)
        })?;
        let wrong: Vec<_> = said.lines().collect();
        ensure!(
            wrong.is_empty(),
            "{} mistakes, the first and last: {} ... {}",
            wrong.len(),
            wrong[0],
            wrong[wrong.len() - 1]
        );
        Ok(())
    }

    /// How many rounds it has done since its container started.
    pub(crate) fn rounds(&self) -> Result<u64> {
        let said = self.tells("cat /dev/shm/rounds")?;
        // It may just be writing.
        Ok(said.trim().parse().unwrap_or(0))
    }

    fn tells(&self, command: &str) -> Result<String> {
        let said = self
            .namespace
            .exec("hammer", &["/usr/bin/sh", "-c", command])?;
        ensure!(said.status == Some(0), "{command}: {}", said.stderr.trim());
        Ok(said.stdout)
    }

    /// Has a file that may not be read, beside those that it tries.
    pub(crate) fn denies_also(&self, file: &str) -> Result<()> {
        let rule = format!(
            "spec:\n  files:\n    deny:\n      - paths: [/etc/shadow, {file}]\n        \
             operations: [Read]\n"
        );
        let patch = ["patch", "securitypolicy", "hammered", "--type=merge", "-p"];
        self.namespace
            .run(&[&patch[..], &[&rule]].concat())
            .map(|_| ())
    }

    /// Adds a rule, and waits until the status is about it, at most `patience`, and the kernel
    /// has it.
    pub(crate) fn takes_a_new_rule(&self, patience: Duration) -> Result<Recovery> {
        let start = Instant::now();
        eventually("the new rule is accepted", || {
            self.denies_also("/etc/group").map(Some)
        })?;
        within(patience, "the status is about the new rule", || {
            let policy = self.namespace.get(&["securitypolicy", "hammered"])?;
            let status = &policy["status"];
            let is_new = status["observedGeneration"] == policy["metadata"]["generation"];
            Ok((is_new && status["enforced"] == "1/1").then_some(()))
        })?;
        let status = start.elapsed();
        ensure!(status <= patience, "the status took {status:?}");
        eventually("the new rule denies", || {
            let said = self.namespace.exec("hammer", &["cat", "/etc/group"])?;
            Ok(said.is_denied().then_some(()))
        })?;
        Ok(Recovery {
            status,
            kernel: start.elapsed(),
        })
    }
}

/// Has the node attach what the policy needs, as any pod under it does. A hook's program is
/// verified for the first rule about it, which takes seconds on an emulated processor, and
/// longer than the runtime waits: what starts meanwhile is not protected, and that is said.
fn needs_its_hooks(kubectl: &Kubectl) -> Result<()> {
    let namespace = kubectl.namespace("first-of-its-policy")?;
    namespace.apply(POLICY)?;
    namespace.apply(&waiting_pod("box"))?;
    eventually("the policy is enforced 1/1", || {
        let policy = namespace.get(&["securitypolicy", "hammered"])?;
        Ok((policy["status"]["enforced"] == "1/1").then_some(()))
    })
}
