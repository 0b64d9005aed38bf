//! The runtime's announcements (NRI) fail in the middle of a burst, or are there with the
//! other layout of cgroups: what is known of the pods is in the kernel, which labels their
//! containers by itself.

use anyhow::{Result, bail, ensure};

use super::enforcement::{denied_first_instruction, enforcers_are_ready};
use super::faults::{NODE, is_back, kill};
use super::policies::waiting_pod;
use super::startup::{STARTUPS, burst_of};
use crate::burst::{Burst, DENIED_PROGRAM, summary};
use crate::case::{Case, Context, Layout};
use crate::metrics::Metrics;
use crate::wait::eventually;

/// Of a burst; an emulated node takes half a minute or more to start so many.
const PODS: usize = 8;
/// The runtime's on a node; only NRI can be disabled in it.
const CONFIG: &str = "/etc/containerd/config.toml";
/// Whether the runtime has taken the enforcer in.
const CONNECTED: &str = "bartizan_nri_connected";
/// How often it has.
pub(super) const SESSIONS: &str = "bartizan_nri_sessions_total";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("faults/nri_plugin_is_killed_in_a_burst", is_killed),
        Case::new("faults/nri_plugin_is_slower_than_its_limit", is_slow),
        Case::new(
            "startup/burst_with_nri_switched_has_no_escapes",
            is_switched,
        )
        .on(STARTUPS),
    ]
}

fn is_killed(context: &Context) -> Result<()> {
    let burst = Burst::start(context, "nri-killed", PODS)?;
    burst.is_known()?;
    eventually("the burst is under way", || {
        Ok((burst.has_not_started()? < PODS).then_some(()))
    })?;
    let before = kill(context, "bartizan-enforcer")?;
    let rest = burst.has_not_started()?;
    let denied = burst.has_no_escapes()?;
    println!(
        "   killed when {rest} of {PODS} containers had not started: {denied}; {}",
        summary(burst.times()?)
    );
    ensure!(rest > 0, "all pods had started: it shows nothing");
    is_back(context, "bartizan-enforcer", &before)?;
    enforcers_are_ready(context)?;
    is_asked(context, 1.0)?;
    denied_first_instruction(context, "nri-back")
}

/// Waits until the runtime announces containers to the enforcer, and has taken it in so
/// often since the enforcer's start.
pub(super) fn is_asked(context: &Context, sessions: f64) -> Result<()> {
    eventually("the runtime announces containers again", || {
        let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
        let is_connected = metrics.value(CONNECTED) == Some(1.0);
        Ok((is_connected && metrics.value(SESSIONS) >= Some(sessions)).then_some(()))
    })
}

/// NRI with systemd's cgroups, and cgroupfs without NRI: the layouts have the other two.
fn is_switched(context: &Context) -> Result<()> {
    let switched = Switched::new(context)?;
    is_announced(context, !switched.had_nri)?;
    burst_of(context, "burst-switched", PODS)?;
    let had_nri = switched.had_nri;
    drop(switched);
    is_announced(context, had_nri)
}

/// Waits until the runtime announces containers, or until it doesn't.
fn is_announced(context: &Context, expected: bool) -> Result<()> {
    eventually(&format!("NRI announces containers: {expected}"), || {
        Ok((announces(context)? == expected).then_some(()))
    })
}

/// Whether the runtime announces containers.
pub(super) fn announces(context: &Context) -> Result<bool> {
    let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
    Ok(metrics.value(CONNECTED) == Some(1.0))
}

/// A runtime with NRI where it was without, or the other way round, until this is dropped.
struct Switched<'a> {
    context: &'a Context,
    had_nri: bool,
}

impl<'a> Switched<'a> {
    fn new(context: &'a Context) -> Result<Self> {
        let had_nri = context.layout != Layout::Systemd;
        let switched = Self { context, had_nri };
        switched.set(!had_nri)?;
        Ok(switched)
    }

    fn set(&self, nri: bool) -> Result<()> {
        let disable = !nri;
        let edit = format!("sed -i 's/disable = .*/disable = {disable}/' {CONFIG}");
        self.context.cluster.on_node(NODE, &edit)?;
        let before = kill(self.context, "containerd")?;
        is_back(self.context, "containerd", &before)
    }
}

impl Drop for Switched<'_> {
    fn drop(&mut self) {
        // What comes next says it if that failed.
        let _ = self.set(self.had_nri);
    }
}

/// An enforcer that gets no processor, until this is dropped.
struct Stopped<'a>(&'a Context);

impl<'a> Stopped<'a> {
    fn stop(context: &'a Context) -> Result<Self> {
        let stop = "kill -STOP $(pidof bartizan-enforcer)";
        context.cluster.on_node(NODE, stop)?;
        Ok(Self(context))
    }

    fn goes_on(self) -> Result<()> {
        let goes_on = "kill -CONT $(pidof bartizan-enforcer)";
        self.0.cluster.on_node(NODE, goes_on)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // The case has failed already.
        let goes_on = "kill -CONT $(pidof bartizan-enforcer)";
        let _ = self.0.cluster.on_node(NODE, goes_on);
    }
}

/// The runtime gives up after two seconds and starts containers without asking. Those whose
/// pods the kernel knows have their rules all the same; one that it can't know runs without,
/// which has to be said.
fn is_slow(context: &Context) -> Result<()> {
    let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
    let sessions = metrics.value(SESSIONS).unwrap_or(0.0);
    let burst = Burst::start(context, "nri-slow", PODS)?;
    let namespace = &burst.namespace;
    let touch = [DENIED_PROGRAM, "/dev/shm/mark"];
    burst.is_known()?;
    let stopped = Stopped::stop(context)?;
    let rest = burst.has_not_started()?;
    namespace.apply(&waiting_pod("unknown"))?;
    let denied = burst.has_no_escapes()?;
    namespace.ready("unknown")?;
    let said = namespace.exec("unknown", &touch)?;
    ensure!(!said.is_denied(), "who has denied it? {said:?}");
    stopped.goes_on()?;
    println!(
        "   {rest} of {PODS} started without being announced: {denied}; {}",
        summary(burst.times()?)
    );
    ensure!(rest > 0, "all pods had started: it shows nothing");
    let report = eventually("the pod that nobody knew is armed", || {
        let enforcement = namespace.get(&["podenforcement", "unknown"])?;
        let report = &enforcement["status"]["containers"][0];
        Ok((report["state"] == "Armed").then(|| report.clone()))
    })?;
    if report["unprotectedMicros"]
        .as_i64()
        .is_none_or(|micros| micros <= 0)
    {
        bail!("it ran without its rules, and the status admits nothing: {report}");
    }
    namespace.denies("unknown", &touch)?;
    is_asked(context, sessions + 1.0)
}
