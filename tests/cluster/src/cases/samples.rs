//! Every sample policy's table of cases, done through `kubectl exec` on a real node.
//!
//! ```text
//! pod of a sample ◄── kubectl exec CALLER probe serve ──── all callers, before there are rules
//!  /proc/PID/root ◄── keeper: a pod of no policy ───────── makes way, puts back
//!                     kubectl apply -f config/samples/NAME.yaml, Enforced, each step
//!                     kubectl logs of the enforcer ─────── who decided
//! ```
//! What a step answers must not depend on what else holds containers back, so the pods are
//! privileged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::{Agent, Denial, SERVE, Step, Table, World, perform, table, unreported};
use serde_json::{Value, json};

use crate::case::{Case, Context};
use crate::kubectl::{Kubectl, condition};
use crate::wait::{eventually, within};

/// The image with the program that does operations.
pub(crate) const PROBE: &str = concat!("bartizan-probe:", env!("CARGO_PKG_VERSION"));
const FOLDER: &str = "config/samples";
/// Policies for the whole cluster leave its pods alone.
const KEEPERS: &str = "kube-system";
const KEEPER: &str = "samples-keeper";
/// Looks after the pod whose UID is added.
const KEEP: [&str; 9] = [
    "--namespace",
    KEEPERS,
    "exec",
    "--stdin",
    KEEPER,
    "--",
    "/probe",
    "pod",
    "keep",
];
/// Until a line of the denial log counts as missing.
const REPORTING: Duration = Duration::from_secs(20);
/// Of the pods of samples for the whole cluster.
const ANY_NAMESPACE: &str = "anywhere";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("samples/mean_what_their_tables_say", all)]
}

fn all(context: &Context) -> Result<()> {
    let kubectl = &context.kubectl;
    let samples = samples(context)?;
    kubectl.apply(KEEPERS, &keeper().to_string())?;
    for sample in &samples {
        // There once for all samples of a namespace.
        let _ = kubectl.run(&["create", "namespace", &sample.namespace]);
        kubectl.apply(&sample.namespace, &sample.pod().to_string())?;
    }
    let begin = Instant::now();
    let uids = started(kubectl, &samples)?;
    println!("   all pods are there after {:.0?}", begin.elapsed());
    let begin = Instant::now();
    let mut pods = callers(kubectl, &samples, &uids)?;
    println!("   all callers are there after {:.0?}", begin.elapsed());
    let mut mistakes = Vec::new();
    for (sample, pod) in samples.iter().zip(&mut pods) {
        let begin = Instant::now();
        let found = sample.judge(context, pod);
        let found = found.with_context(|| format!("sample {}", sample.name))?;
        let (took, wrong) = (begin.elapsed(), found.len());
        println!("   {}: {took:.0?}, {wrong} mistakes", sample.name);
        mistakes.extend(found.iter().map(|one| format!("{}:{one}", sample.name)));
    }
    // Callers that end with their pods complain.
    drop(pods);
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    for sample in &samples {
        kubectl.run(&[
            "delete",
            "namespace",
            "--wait=false",
            "--ignore-not-found",
            &sample.namespace,
        ])?;
    }
    kubectl.run(&[
        "--namespace",
        KEEPERS,
        "delete",
        "pod",
        "--wait=false",
        KEEPER,
    ])?;
    Ok(())
}

fn samples(context: &Context) -> Result<Vec<Sample>> {
    let folder = fs::read_dir(context.checkout.join(FOLDER).join("cases"))?;
    let names = folder.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.collect::<Result<_, _>>()?;
    names.sort();
    let names = names
        .iter()
        .filter_map(|name| name.to_str()?.strip_suffix(".txt"));
    let samples: Result<Vec<_>> = names.map(|name| Sample::read(context, name)).collect();
    let samples = samples?;
    ensure!(!samples.is_empty(), "there are no samples");
    Ok(samples)
}

/// Waits until all pods have everything; their UIDs.
fn started(kubectl: &Kubectl, samples: &[Sample]) -> Result<Vec<String>> {
    has_everything(kubectl, KEEPERS, KEEPER)?;
    let uid = |sample: &Sample| {
        has_everything(kubectl, &sample.namespace, &sample.name)?;
        let pod = kubectl.get(&[&sample.in_namespace(), "pod", &sample.name])?;
        let uid = pod["metadata"]["uid"].as_str().context("a pod has a UID")?;
        Ok(uid.to_owned())
    };
    samples.iter().map(uid).collect()
}

/// Starts all callers of all samples, and their keepers.
fn callers(kubectl: &Kubectl, samples: &[Sample], uids: &[String]) -> Result<Vec<Pod>> {
    let mut lines = Vec::new();
    for (sample, uid) in samples.iter().zip(uids) {
        let exec = [
            "--namespace",
            &sample.namespace,
            "exec",
            "--stdin",
            &sample.name,
        ];
        let caller = |caller| [&exec[..], &["--", caller], &SERVE].concat();
        lines.extend(sample.callers().into_iter().map(caller));
        lines.push([&KEEP[..], &[uid]].concat());
    }
    let mut agents = kubectl.agents(&lines)?.into_iter();
    let mut next = || agents.next().context("one for each line");
    let pod = |sample: &Sample| {
        let callers = sample.callers().into_iter();
        let callers = callers.map(|caller| Ok((caller.to_owned(), next()?)));
        Ok(Pod {
            callers: callers.collect::<Result<_>>()?,
            keeper: next()?,
        })
    };
    samples.iter().map(pod).collect()
}

/// Waits until a pod of the probe's has made what it was told.
fn has_everything(kubectl: &Kubectl, namespace: &str, pod: &str) -> Result<()> {
    eventually(&format!("pod {pod} has everything"), || {
        let logs = kubectl.run(&["--namespace", namespace, "logs", pod])?;
        Ok(logs.contains("everything is there").then_some(()))
    })
}

struct Sample {
    name: String,
    /// The file with the policies.
    file: String,
    /// The policies.
    policies: Vec<Value>,
    namespace: String,
    text: String,
    table: Table,
    steps: Vec<Step>,
}

impl Sample {
    fn read(context: &Context, name: &str) -> Result<Self> {
        let file = context.file(&format!("{FOLDER}/{name}.yaml"))?;
        let text = fs::read_to_string(context.file(&format!("{FOLDER}/cases/{name}.txt"))?)?;
        let table = table::parse(&text).with_context(|| format!("table {name}"))?;
        let client = [
            "create",
            "--dry-run=client",
            "--output=json",
            "--filename",
            &file,
        ];
        let said = context.kubectl.run(&client)?;
        // One object after the other.
        let policies = serde_json::Deserializer::from_str(&said).into_iter();
        let policies: Vec<Value> = policies.collect::<Result<_, _>>()?;
        let namespace = policies[0]["metadata"]["namespace"].as_str();
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.unwrap_or(ANY_NAMESPACE).to_owned(),
            file,
            policies,
            steps: Step::all(&table)?,
            table,
            text,
        })
    }

    fn in_namespace(&self) -> String {
        format!("--namespace={}", self.namespace)
    }

    fn pod(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": self.name, "labels": self.table.labels },
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": self.table.container,
                    "image": PROBE,
                    "env": [{ "name": "TABLE", "value": self.text }],
                    "securityContext": { "privileged": true },
                }],
            },
        })
    }

    /// The programs that its steps are done by.
    fn callers(&self) -> BTreeSet<&str> {
        self.steps.iter().map(|step| step.caller.as_str()).collect()
    }

    /// Does everything that the table says under the sample's policies; returns what went
    /// otherwise.
    fn judge(&self, context: &Context, pod: &mut Pod) -> Result<Vec<String>> {
        let kubectl = &context.kubectl;
        kubectl.run(&["apply", "--filename", &self.file])?;
        self.enforced(kubectl)?;
        let mut mistakes = perform(pod, &self.steps)?;
        // Lines come some time after what they are about.
        let missing = within(REPORTING, "the denials are reported", || {
            let reported = self.reported(kubectl)?;
            let wrong = unreported(&self.steps, &reported);
            ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
            Ok(Some(()))
        });
        mistakes.extend(missing.err().map(|error| format!("{error:#}")));
        kubectl.run(&["delete", "--filename", &self.file])?;
        eventually("no pod has rules any more", || {
            let left = kubectl.get(&["podenforcements", "--all-namespaces"])?;
            let left = left["items"].as_array().map(Vec::len);
            Ok((left == Some(0)).then_some(()))
        })?;
        Ok(mistakes)
    }

    /// Waits until the status of every policy says so.
    fn enforced(&self, kubectl: &Kubectl) -> Result<()> {
        for policy in &self.policies {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text(&policy["kind"]), text(&policy["metadata"]["name"]));
            eventually(&format!("{kind} {name} is enforced"), || {
                let policy = kubectl.get(&[&self.in_namespace(), &kind, &name])?;
                Ok((condition(&policy, "Enforced") == Some("True")).then_some(()))
            })?;
        }
        Ok(())
    }

    /// What the node's enforcer has reported of the pod.
    fn reported(&self, kubectl: &Kubectl) -> Result<Vec<Denial>> {
        let lines = kubectl.enforcer_log("node-1")?.into_iter();
        let own = lines.filter(|line| {
            line["namespace"] == self.namespace.as_str() && line["pod"] == self.name.as_str()
        });
        let denials = own.filter(|line| line["verdict"].is_string());
        denials
            .map(|line| serde_json::from_value(line).context("a denial without the usual fields"))
            .collect()
    }
}

/// A sample's pod, and who looks after it.
struct Pod {
    callers: BTreeMap<String, Agent>,
    keeper: Agent,
}

impl Pod {
    fn keep(&mut self, when: &str, step: &Step) -> Result<()> {
        if !step.is_about_names() {
            return Ok(());
        }
        let words = [&[when], &step.words()[..]].concat();
        self.keeper.perform(&words).map(|_| ())
    }
}

impl World for Pod {
    fn before(&mut self, step: &Step) -> Result<()> {
        self.keep("before", step)
    }

    fn perform(&mut self, step: &Step) -> Result<i32> {
        let caller = self.callers.get_mut(&step.caller);
        caller.context("it was started")?.perform(&step.words())
    }

    fn after(&mut self, step: &Step) -> Result<()> {
        self.keep("after", step)
    }
}

fn keeper() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": KEEPER },
        "spec": {
            "hostPID": true,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "keeper",
                "image": PROBE,
                "env": [{ "name": "TABLE", "value": "caller: /probe" }],
                "securityContext": { "privileged": true },
            }],
        },
    })
}
