//! kubectl, as a user types it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_samples::Agent;
use serde_json::Value;

use crate::wait::{eventually, within};

/// What runc, shells and programs say of EACCES.
pub(crate) const DENIED: &str = "ermission denied";

/// Until a container that has ended has nothing to say.
const WORDS: Duration = Duration::from_mins(2);

/// How many agents are started before one is waited for.
const AT_ONCE: usize = 8;
/// What the kubelet says in place of a log that isn't there.
const LOST: [&str; 2] = [
    "unable to retrieve container logs",
    "failed to try resolving symlinks",
];

/// The program, acting as the cluster's administrator.
pub(crate) struct Kubectl(PathBuf);

/// What kubectl said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit status; that of the command for `exec`.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Whether it, or the command that it ran, says EACCES.
    pub(crate) fn is_denied(&self) -> bool {
        self.stderr.contains(DENIED)
    }
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Runs it with something on its standard input; it may fail.
    pub(crate) fn attempt(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("can't run kubectl")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // It may have ended without reading; then its own error says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().context("can't wait for kubectl")?;
        Ok(Said {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts it with a command that serves what it is told on its standard input, and that
    /// ends when the agent is dropped.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Result<Agent> {
        agent(self.spawn(arguments)?)
    }

    /// Starts it once for each list of arguments, [`AT_ONCE`] at a time: a node takes seconds
    /// to start a command, most of which is waiting.
    pub(crate) fn agents(&self, all: &[Vec<&str>]) -> Result<Vec<Agent>> {
        let mut agents = Vec::new();
        for some in all.chunks(AT_ONCE) {
            let children = some.iter().map(|arguments| self.spawn(arguments));
            let children: Vec<_> = children.collect::<Result<_>>()?;
            for (child, arguments) in children.into_iter().zip(some) {
                let agent = agent(child);
                agents.push(agent.with_context(|| format!("kubectl {}", arguments.join(" ")))?);
            }
        }
        Ok(agents)
    }

    /// Starts it, to be talked to.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't run kubectl")
    }

    /// Runs it; it must succeed. Returns its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let said = self.attempt(arguments, "")?;
        if said.status != Some(0) {
            bail!(
                "kubectl {} failed: {}",
                arguments.join(" "),
                said.stderr.trim()
            );
        }
        Ok(said.stdout)
    }

    /// Applies documents in a namespace; they may be refused.
    fn try_apply(&self, namespace: &str, documents: &str) -> Result<Said> {
        let arguments = ["--namespace", namespace, "apply", "-f", "-"];
        self.attempt(&arguments, documents)
    }

    /// Applies documents in a namespace; they must be accepted.
    pub(crate) fn apply(&self, namespace: &str, documents: &str) -> Result<()> {
        let said = self.try_apply(namespace, documents)?;
        ensure!(said.status == Some(0), "refused: {}", said.stderr.trim());
        Ok(())
    }

    /// An object or list as JSON.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let said = self.run(&[&["get", "--output", "json"], arguments].concat())?;
        serde_json::from_str(&said).context("kubectl printed no JSON")
    }

    /// The name of the enforcer's pod on a node.
    pub(crate) fn enforcer(&self, node: &str) -> Result<String> {
        let pods = self.get(&[
            "--namespace=bartizan-system",
            "pods",
            "--selector=app.kubernetes.io/name=bartizan-enforcer",
            &format!("--field-selector=spec.nodeName={node}"),
        ])?;
        let pod = pods["items"][0]["metadata"]["name"].as_str();
        let pod = pod.with_context(|| format!("there is no enforcer on {node}"))?;
        Ok(pod.to_owned())
    }

    /// What the enforcer on a node has logged, as far as it is JSON.
    pub(crate) fn enforcer_log(&self, node: &str) -> Result<Vec<Value>> {
        let enforcer = self.enforcer(node)?;
        let logs = self.run(&["--namespace=bartizan-system", "logs", &enforcer])?;
        let lines = logs.lines();
        Ok(lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// Makes a namespace whose name ends in a number, so that no two runs share one.
    pub(crate) fn namespace(&self, name: &str) -> Result<Namespace<'_>> {
        let name = format!("{name}-{}", std::process::id());
        self.run(&["create", "namespace", &name])?;
        let namespace = Namespace {
            kubectl: self,
            name,
        };
        // Without it, pods are refused.
        eventually("the namespace has its service account", || {
            namespace
                .run(&["get", "serviceaccount", "default"])
                .map(Some)
        })?;
        Ok(namespace)
    }
}

/// How a container ended whose command is denied.
#[derive(Debug)]
pub(crate) enum End {
    /// It, or the runtime, says so.
    Denied,
    /// With an error of which nobody knows the reason: its state.
    Silent(String),
    /// Its state, and what it said instead.
    Said(String),
}

/// The agent at the other end of a kubectl.
fn agent(mut kubectl: Child) -> Result<Agent> {
    let to = kubectl.stdin.take().context("no standard input")?;
    let from = kubectl.stdout.take().context("no standard output")?;
    Agent::new(to, from)
}

/// A namespace, deleted when this is dropped.
pub(crate) struct Namespace<'a> {
    pub(crate) kubectl: &'a Kubectl,
    pub(crate) name: String,
}

impl Namespace<'_> {
    /// Runs kubectl in this namespace; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl
            .run(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Applies documents in this namespace; they may be refused.
    pub(crate) fn try_apply(&self, documents: &str) -> Result<Said> {
        self.kubectl.try_apply(&self.name, documents)
    }

    /// Applies documents in this namespace; they must be accepted.
    pub(crate) fn apply(&self, documents: &str) -> Result<()> {
        self.kubectl.apply(&self.name, documents)
    }

    /// An object or list of this namespace.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        self.kubectl
            .get(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Runs a command in a pod; it may fail.
    pub(crate) fn exec(&self, pod: &str, command: &[&str]) -> Result<Said> {
        let exec = ["--namespace", &self.name, "exec", pod, "--"];
        self.kubectl.attempt(&[&exec, command].concat(), "")
    }

    /// Runs a command in a pod; it must be denied.
    pub(crate) fn denies(&self, pod: &str, command: &[&str]) -> Result<()> {
        let said = self.exec(pod, command)?;
        ensure!(said.is_denied(), "not denied: {said:?}");
        Ok(())
    }

    /// Waits until a container whose command is denied has ended, and fails if it ran.
    /// `list`: where the pod's status has it.
    pub(crate) fn never_ran(&self, pod: &str, container: &str, list: &str) -> Result<()> {
        match self.end(pod, container, list)? {
            End::Denied => Ok(()),
            End::Silent(how) => bail!("who knows whether it ran: {how}"),
            End::Said(what) => bail!("it ran: {what}"),
        }
    }

    /// Waits until a container whose command is denied has ended, and tells how. `list`:
    /// where the pod's status has it. The runtime's complaint is in the container's state or
    /// in its log.
    pub(crate) fn end(&self, pod: &str, container: &str, list: &str) -> Result<End> {
        let what = format!("{container} of {pod} has ended");
        let (ended, is_last) = eventually(&what, || {
            let pod = self.get(&["pod", pod])?;
            let status = &pod["status"][list][0];
            let now = &status["state"]["terminated"];
            let before = &status["lastState"]["terminated"];
            let mut ended = [(now, false), (before, true)].into_iter();
            let ended = ended.find(|(state, _)| state.is_object());
            Ok(ended.map(|(state, is_last)| (state.clone(), is_last)))
        })?;
        if ended.to_string().contains(DENIED) {
            return Ok(End::Denied);
        }
        let previous = format!("--previous={is_last}");
        // That it has ended may be known before its words are in the log.
        let logs = within(WORDS, "it has said something", || {
            let logs = self.run(&["logs", pod, "--container", container, &previous])?;
            let has_none = LOST.iter().any(|words| logs.starts_with(words));
            Ok((!has_none && !logs.is_empty()).then_some(logs))
        });
        Ok(match logs {
            Ok(logs) if logs.contains(DENIED) => End::Denied,
            Ok(logs) => End::Said(format!("{ended} {logs}")),
            Err(_) if ended["exitCode"] == 0 => End::Said(ended.to_string()),
            Err(error) => End::Silent(format!("{ended} {error:#}")),
        })
    }

    /// Waits until a pod is ready.
    pub(crate) fn ready(&self, pod: &str) -> Result<()> {
        eventually(&format!("pod {pod} is ready"), || {
            let pod = self.get(&["pod", pod])?;
            Ok((condition(&pod, "Ready") == Some("True")).then_some(()))
        })
    }

    /// Waits until a pod's only container has been restarted and is ready; how often it was.
    pub(crate) fn restarted(&self, pod: &str) -> Result<u64> {
        eventually(&format!("the container of {pod} has started again"), || {
            let pod = self.get(&["pod", pod])?;
            let status = &pod["status"]["containerStatuses"][0];
            let restarts = status["restartCount"].as_u64().unwrap_or(0);
            Ok((restarts > 0 && status["ready"] == true).then_some(restarts))
        })
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // A namespace that stays disturbs nobody.
        let _ = self
            .kubectl
            .run(&["delete", "namespace", "--wait=false", &self.name]);
    }
}

/// The status of one of an object's conditions.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|one| one["type"] == kind)?;
    condition["status"].as_str()
}
