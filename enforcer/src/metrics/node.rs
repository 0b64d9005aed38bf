//! What a node of a cluster adds to the metrics.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use super::{Snapshot, counter, gauge};
use crate::engine::{Arming, How};

/// What a node of a cluster adds to the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Whether the kernel was seen to deny.
    pub can_enforce: bool,
    /// Whether the API server has said all there is since the start.
    pub synced: bool,
    /// Calls of the API server that failed, and objects of it that were refused, by reason.
    pub api_errors: BTreeMap<&'static str, u64>,
    /// Files of the local copy that could not be written.
    pub copy_errors: u64,
    /// How it stands with the runtime.
    pub nri: NriFacts,
    /// Containers armed, by how.
    pub armings: BTreeMap<&'static str, u64>,
    /// How long containers ran without rules before that, all together, in seconds.
    pub unprotected: f64,
    /// Containers armed after their first exec, by an unknown time.
    pub unprotected_unknown: u64,
}

/// How it stands with the runtime that asks before it starts containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NriFacts {
    /// Whether it is connected.
    pub connected: bool,
    /// How often it has connected.
    pub sessions: u64,
    /// Containers that it went on with before their rules were there.
    pub late: u64,
    /// Containers that it was told not to create.
    pub refused: u64,
}

impl NodeFacts {
    /// Counts an error.
    pub fn count_error(&mut self, reason: &'static str) {
        *self.api_errors.entry(reason).or_default() += 1;
    }

    /// Counts a container that has been armed and has run something.
    pub fn count_arming(&mut self, arming: &Arming) {
        let how = match arming.how {
            How::Nri => "nri",
            How::Cri => "cri",
            How::Mkdir => "mkdir",
            How::Late => "late",
        };
        *self.armings.entry(how).or_default() += 1;
        match arming.unprotected() {
            Some(time) => self.unprotected += time.as_secs_f64(),
            None => self.unprotected_unknown += 1,
        }
    }
}

impl Snapshot {
    pub(super) fn encode_node(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(node) = &self.node else {
            return Ok(());
        };
        let help = "Whether the kernel of this node was seen to deny";
        let able = usize::from(node.can_enforce);
        gauge(to, "node_can_enforce", help, [(Vec::new(), able)])?;
        let help = "Whether the API server has said all there is since the start";
        let synced = usize::from(node.synced);
        gauge(to, "api_synced", help, [(Vec::new(), synced)])?;
        let help = "Failures to talk with the API server or the container runtime, and rule maps \
                    that were refused, by reason";
        let errors = node.api_errors.iter();
        let errors = errors.map(|(reason, count)| (vec![("reason", *reason)], *count));
        counter(to, "api_errors", help, errors)?;
        let help = "Failed attempts to write or remove a file of the local copy";
        counter(to, "copy_errors", help, [(Vec::new(), node.copy_errors)])?;
        let NriFacts {
            connected,
            sessions,
            late,
            refused,
        } = node.nri;
        let help = "Whether the container runtime announces containers before they start";
        let connected = usize::from(connected);
        gauge(to, "nri_connected", help, [(Vec::new(), connected)])?;
        let help = "How often the container runtime has connected by NRI";
        counter(to, "nri_sessions", help, [(Vec::new(), sessions)])?;
        let help = "Announcements that were answered before the rules were in the kernel";
        counter(to, "nri_late_answers", help, [(Vec::new(), late)])?;
        let help = "Containers that the runtime was told not to start without their rules";
        counter(to, "nri_refusals", help, [(Vec::new(), refused)])?;
        let help = "Containers armed, by who did it: the kernel as their cgroup was made, by \
                    their id as NRI announced (nri) or CRI listed it (cri), or by their pod \
                    (mkdir); or the enforcer afterwards (late)";
        let ways = ["nri", "cri", "mkdir", "late"];
        let armings = ways.map(|how| {
            let count = node.armings.get(how).copied().unwrap_or_default();
            (vec![("by", how)], count)
        });
        counter(to, "armings", help, armings)?;
        let help = "Containers that ran for an unknown time before they were armed";
        let unknown = node.unprotected_unknown;
        counter(to, "unprotected_unknown", help, [(Vec::new(), unknown)])?;
        let help = "How long containers ran before they were armed, all together";
        let unit = Some(&Unit::Seconds);
        let metric = to.encode_descriptor("unprotected", help, unit, MetricType::Counter)?;
        ConstCounter::new(node.unprotected).encode(metric)
    }
}
