//! From a policy's change to the kernel's other answer, and how long the same way takes
//! through programs that do nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_samples::SERVE;
use serde_json::{Value, json};

use super::samples::PROBE;
use crate::case::{Case, Context};
use crate::proxy::Proxy;
use crate::relay::Relay;
use crate::wait::{PATIENCE, eventually};

const CHANGES: usize = 100;
const CHANGES_OF_SHORT: usize = 10;
const READ: [&str; 3] = ["file", "read", "/etc/target"];

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("latency/from_a_change_to_the_kernel", changes)]
}

/// Denies and allows by turns, and asks the kernel all the time what it says. Each change is
/// followed by one that only passes through, whose time is the emulator's and the API's.
fn changes(context: &Context) -> Result<()> {
    let kubectl = &context.kubectl;
    let namespace = kubectl.namespace("latency")?;
    namespace.apply(&pod().to_string())?;
    namespace.ready("box")?;
    let mut policy = rules("Chown");
    policy["apiVersion"] = json!("bartizan.dev/v1alpha1");
    policy["kind"] = json!("SecurityPolicy");
    policy["metadata"] = json!({ "name": "target" });
    namespace.apply(&policy.to_string())?;
    let flag = format!("--namespace={}", namespace.name);
    let exec = [&flag, "exec", "--stdin", "box", "--", "/caller"];
    let mut caller = eventually("the pod has everything", || {
        kubectl.agent(&[&exec[..], &SERVE].concat()).map(Some)
    })?;
    let relay = Relay::start(kubectl)?;
    let proxy = Proxy::start(kubectl)?;
    let mut answers = |wanted: i32, start: Instant| -> Result<Vec<Duration>> {
        let mut asked = Vec::new();
        loop {
            let before = Instant::now();
            let now = caller.perform(&READ)?;
            asked.push(before.elapsed());
            if now == wanted {
                return Ok(asked);
            }
            ensure!(start.elapsed() < PATIENCE, "still {now} after {PATIENCE:?}");
        }
    };
    let path = format!(
        "/apis/bartizan.dev/v1alpha1/namespaces/{}/securitypolicies/target",
        namespace.name
    );
    let (mut written, mut asked, mut denied) = (Vec::new(), Vec::new(), Vec::new());
    let mut alone = Vec::new();
    let changes = if context.is_long {
        CHANGES
    } else {
        CHANGES_OF_SHORT
    };
    let start = Instant::now();
    proxy.patch(&path, &rules("Read"))?;
    answers(13, start)?;
    println!(
        "    the first, for which the kernel verifies a program: {:.1?}",
        start.elapsed()
    );
    for number in 0..changes {
        let (operation, answer) = [("Chown", 0), ("Read", 13)][number % 2];
        let start = Instant::now();
        proxy.patch(&path, &rules(operation))?;
        written.push(start.elapsed());
        asked.extend(answers(answer, start)?);
        denied.push(start.elapsed());
        alone.push(relay.passes(&proxy, number)?);
    }
    let pairs = denied.iter().zip(&alone);
    let mut ours: Vec<_> = pairs
        .map(|(all, alone)| all.saturating_sub(*alone))
        .collect();
    for (what, times) in [
        ("from the request to the kernel's new answer", &mut denied),
        ("of these, until the API server has answered", &mut written),
        ("of these, asking the kernel once", &mut asked),
        ("two programs that only watch and write", &mut alone),
        ("the first less what these took right after it", &mut ours),
    ] {
        times.sort();
        let (half, most) = (quantile(times, 50), quantile(times, 99));
        println!("    {what}: p50 {half:.1?}, p99 {most:.1?}");
    }
    Ok(())
}

/// Whose answers are asked for.
fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "box" },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": PROBE,
                "env": [{
                    "name": "TABLE",
                    "value": "caller: /caller\nfile read /etc/target -> allow\n",
                }],
            }],
        },
    })
}

/// A policy's rules: one that denies an operation on the target.
fn rules(operation: &str) -> Value {
    json!({ "spec": {
        "selector": {},
        "mode": "Enforce",
        "files": { "deny": [{ "paths": ["/etc/target"], "operations": [operation] }] },
    }})
}

/// A percentile of sorted times.
fn quantile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
