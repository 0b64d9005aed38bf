//! A node whose disk is full: what is enforced doesn't depend on it.

use anyhow::{Context as _, Result, ensure};

use super::faults::{NODE, recovers};
use crate::case::{Case, Context};
use crate::hammer::{DENIALS, Hammer};
use crate::metrics::Metrics;
use crate::wait::eventually;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("faults/disk_is_full", is_full)]
}

/// Files that leave no room on the node's disk, until this is dropped.
struct Filling<'a>(&'a Context);

impl<'a> Filling<'a> {
    fn new(context: &'a Context) -> Result<Self> {
        let filling = Self(context);
        let node = &context.cluster;
        // Room that is allocated is never written, so it costs this machine nothing. What is
        // left of it is too little for that, and is written, as is what others give back.
        let fill = "fallocate -l $(( $(stat -f -c '(%a - 4096) * %S' /) )) /var/filling && \
                    touch /run/filling /run/filled && \
                    ( (while test -e /run/filling; do cat /dev/zero >> /var/rest; sleep 0.1; \
                    done; rm -f /run/filled) > /dev/null 2>&1 &)";
        node.on_node(NODE, fill)
            .context("the node's disk can't be filled")?;
        eventually("the node's disk is full", || {
            let write = "exec 2> /dev/null; rm -f /var/word; sync; sleep 1; \
                         echo word > /var/word; test ! -s /var/word || echo room";
            let said = node.on_node(NODE, write)?;
            Ok(said.is_empty().then_some(()))
        })?;
        Ok(filling)
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        // Not before the filling has ended, which would fill what is given back.
        let clear = "rm -f /run/filling; while test -e /run/filled; do sleep 0.1; done; \
                     rm -f /var/filling /var/rest /var/word";
        // What comes next says it if that failed.
        let _ = self.0.cluster.on_node(NODE, clear);
    }
}

/// How many operations the kernel has denied in a namespace, by its own count.
fn denials(context: &Context, namespace: &str) -> Result<f64> {
    let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
    Ok(metrics.sum(
        "bartizan_denials_total",
        &format!("policy=\"{namespace}/hammered\""),
    ))
}

/// The lines of the log get lost in the runtime, which writes them; the counters stay exact.
/// The local copy gets behind, which is counted, and is right again once there is room.
fn is_full(context: &Context) -> Result<()> {
    let hammer = Hammer::start(&context.kubectl, "disk-full")?;
    let errors = || -> Result<f64> {
        let metrics = Metrics::of_enforcer(&context.kubectl, NODE)?;
        Ok(metrics.value("bartizan_copy_errors_total").unwrap_or(0.0))
    };
    let before = errors()?;
    let filling = Filling::new(context)?;
    // The counter is asked first here and last below, so that it has all rounds in between.
    let denied = denials(context, &hammer.namespace.name)?;
    let rounds = hammer.rounds()?;
    hammer.goes_on()?;
    recovers(&hammer)?;
    let rounds = hammer.rounds()? - rounds;
    let denied = denials(context, &hammer.namespace.name)? - denied;
    println!("   {rounds} rounds, {denied} denials counted");
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let least = (DENIALS * rounds.saturating_sub(1)) as f64;
    // The first round may have had its own before.
    ensure!(denied >= least, "denials were lost");
    let mut changes = 0;
    let mut newest = "/etc/group".to_owned();
    eventually("the copy is said to be out of date", || {
        if errors()? > before {
            return Ok(Some(()));
        }
        // Others give room back, and a change that found some is written: one more.
        changes += 1;
        newest = format!("/change/{changes}");
        hammer.denies_also(&newest).map(|()| None)
    })?;
    println!("   {changes} changes until the copy was out of date");
    drop(filling);
    eventually("the copy has the newest rule", || {
        let find = format!("grep -l '{newest}' /var/lib/bartizan/v1/rulemaps/*.json || true");
        let found = context.cluster.on_node(NODE, &find)?;
        Ok((!found.trim().is_empty()).then_some(()))
    })?;
    hammer.is_right()
}
