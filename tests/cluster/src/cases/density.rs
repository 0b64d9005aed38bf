//! What the enforcer takes on a node that is full of pods.

use std::fmt::Write as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::faults::NODE;
use super::policies::{NO_WGET, waiting_pod};
use crate::case::{Case, Context};
use crate::kubectl::{Namespace, condition};
use crate::wait::{PATIENCE, POLL, eventually};

/// Pods that are left free for what runs already and what is changed.
const FREE: usize = 2;
/// Applied at once.
const BATCH: usize = 10;
/// How long is measured.
const MEASURED: Duration = Duration::from_mins(1);
/// Between two new pods, while pods change.
const PACE: Duration = Duration::from_secs(1);
/// Of the clock in /proc, on every Linux that we know.
const TICKS: f64 = 100.0;

/// Little but system calls; says last how long it took: `..., 0.25 s, 1.2 MB/s`.
const CALLS: &str = "LC_ALL=C dd if=/dev/zero of=/dev/null bs=1 count=200000 2>&1 | tail -n 1";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("density/many_pods", many_pods).long()]
}

fn many_pods(context: &Context) -> Result<()> {
    let node = context.kubectl.get(&["node", NODE])?;
    let room = node["status"]["allocatable"]["pods"].as_str();
    let room: usize = room.context("the node has no room for pods")?.parse()?;
    let own = format!("--field-selector=spec.nodeName={NODE}");
    let others = context.kubectl.get(&["pods", "--all-namespaces", &own])?;
    let others = others["items"].as_array().map_or(0, Vec::len);
    let namespace = context.kubectl.namespace("density")?;
    namespace.apply(NO_WGET)?;
    let start = Instant::now();
    let pods = fill(&namespace, room.saturating_sub(others + FREE))?;
    println!(
        "   {pods} pods are ready after {:.0} s",
        start.elapsed().as_secs_f32()
    );
    ensure!(pods > 0, "no pod has started");
    let enforced = || -> Result<String> {
        let policy = namespace.get(&["securitypolicy", "no-downloads"])?;
        Ok(policy["status"]["enforced"]
            .as_str()
            .unwrap_or("?")
            .to_owned())
    };
    let wanted = format!("{pods}/{pods}");
    eventually(
        "all are armed",
        || Ok((enforced()? == wanted).then_some(())),
    )?;
    let before = Reading::take(context)?;
    thread::sleep(MEASURED);
    let idle = Reading::take(context)?;
    println!("   idle: {}", idle.since(&before));
    let times = slowdown(context)?;
    println!(
        "   a processor of the node is at least {times:.1} times slower than one of this machine: \
         idle, {:.2} % of one of those",
        idle.percent(&before) / times
    );
    let changed = churn(&namespace)?;
    let after = Reading::take(context)?;
    println!("   {changed} new pods: {}", after.since(&idle));
    Ok(())
}

/// Starts as many pods, a few at a time; how many are ready in the end. An emulated node may
/// be full before; then the rest is taken away again.
fn fill(namespace: &Namespace<'_>, wanted: usize) -> Result<usize> {
    let mut ready = 0;
    for first in (0..wanted).step_by(BATCH) {
        let mut pods = String::new();
        let last = (first + BATCH).min(wanted);
        for number in first..last {
            writeln!(pods, "{}---", waiting_pod(&format!("pod-{number}")))?;
        }
        namespace.apply(&pods)?;
        let mut deadline = Instant::now() + PATIENCE;
        while ready < last && Instant::now() < deadline {
            thread::sleep(POLL);
            let now = ready_pods(namespace)?;
            if now > ready {
                deadline = Instant::now() + PATIENCE;
            }
            ready = now;
        }
        if ready < last {
            println!("   the node takes no more than {ready} pods");
            for number in first..last {
                let name = format!("pod-{number}");
                let pod = namespace.get(&["pod", &name])?;
                if condition(&pod, "Ready") != Some("True") {
                    namespace.run(&["delete", "pod", &name, "--now"])?;
                }
            }
            return ready_pods(namespace);
        }
    }
    Ok(ready)
}

fn ready_pods(namespace: &Namespace<'_>) -> Result<usize> {
    let pods = namespace.get(&["pods"])?;
    let pods = pods["items"].as_array().context("no list of pods")?;
    let is_ready = |pod: &&Value| condition(pod, "Ready") == Some("True");
    Ok(pods.iter().filter(is_ready).count())
}

/// Replaces a pod each second, or as fast as the node can; how many.
fn churn(namespace: &Namespace<'_>) -> Result<usize> {
    let end = Instant::now() + MEASURED;
    let mut changed = 0;
    while Instant::now() < end {
        let next = Instant::now() + PACE;
        let old = format!("pod-{changed}");
        namespace.run(&["delete", "pod", &old, "--now", "--wait=false"])?;
        namespace.apply(&waiting_pod(&format!("new-{changed}")))?;
        changed += 1;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(changed)
}

/// How much longer system calls take on the node than here. What is no system call suffers
/// more from emulation, so this is the least that it takes of the processor.
fn slowdown(context: &Context) -> Result<f64> {
    let on_node = || context.cluster.on_node(NODE, CALLS);
    let here = || -> Result<String> {
        let calls = Command::new("sh").args(["-c", CALLS]).output()?;
        Ok(String::from_utf8(calls.stdout)?)
    };
    Ok(least(on_node)? / least(here)?)
}

/// The shortest time that a few runs say they took, in seconds.
fn least(run: impl Fn() -> Result<String>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let said = run()?;
        let seconds = said
            .rsplit(", ")
            .nth(1)
            .and_then(|text| text.strip_suffix(" s"));
        let seconds = seconds.with_context(|| format!("no time: {said}"))?;
        least = least.min(seconds.parse()?);
    }
    Ok(least)
}

/// What the enforcer has taken so far.
struct Reading {
    /// The node's clock, in seconds.
    at: f64,
    /// Of a processor, in seconds.
    used: f64,
    resident_mib: f64,
    /// Of it, what is no file's.
    own_mib: f64,
}

impl Reading {
    fn take(context: &Context) -> Result<Self> {
        let read = "pid=$(pidof -s bartizan-enforcer); cat /proc/uptime /proc/$pid/stat; \
                    grep -E 'VmRSS|RssAnon' /proc/$pid/status";
        let said = context.cluster.on_node(NODE, read)?;
        Self::of(&said).with_context(|| format!("no reading: {said}"))
    }

    fn of(said: &str) -> Option<Self> {
        let mut lines = said.lines();
        let at = lines.next()?.split(' ').next()?.parse().ok()?;
        // After the name, which may have spaces; times in the kernel and outside of it are
        // fields 14 and 15 of the line.
        let fields: Vec<_> = lines.next()?.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let mut mib = || {
            let kib: f64 = lines.next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Self {
            at,
            used: (ticks(14)? + ticks(15)?) / TICKS,
            resident_mib: mib()?,
            own_mib: mib()?,
        })
    }

    /// Of a processor, since then.
    fn percent(&self, before: &Self) -> f64 {
        (self.used - before.used) / (self.at - before.at) * 100.0
    }

    /// In words.
    fn since(&self, before: &Self) -> String {
        format!(
            "the enforcer has {:.1} MiB, {:.1} of it no file's, and took {:.2} % of an emulated \
             processor",
            self.resident_mib,
            self.own_mib,
            self.percent(before),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_what_proc_says() {
        let at = |up: &str, user: u32, kernel: u32| {
            let said = format!(
                "{up} 9.00\n7 (a b) S 1 7 7 0 -1 4194560 1 0 0 0 {user} {kernel} 0 0 20\n\
                 VmRSS:\t   20480 kB\nRssAnon:\t   5120 kB\n"
            );
            Reading::of(&said).unwrap()
        };
        assert_eq!(
            at("160.50", 250, 50).since(&at("100.50", 100, 20)),
            "the enforcer has 20.0 MiB, 5.0 of it no file's, and took 3.00 % of an emulated processor"
        );
        assert!(Reading::of("1.0 2.0\n").is_none());
    }
}
