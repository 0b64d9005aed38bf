//! What Prometheus reads.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::{Sizes, Standing};
use crate::watch::Kind;

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A word of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTask {
    task: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    call: Word,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: Word,
}

/// A call to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A rule map is published.
    PublishRuleMap,
    /// A rule map is deleted.
    DeleteRuleMap,
    /// A `PodEnforcement` is written.
    ApplyEnforcement,
    /// A `PodEnforcement` is deleted.
    DeleteEnforcement,
    /// A policy's status is written.
    WriteStatus,
    /// An event is published.
    PublishEvent,
    /// The lease is read or written.
    Lease,
    /// The webhook's certificate is read or written.
    Certificate,
}

impl Call {
    fn word(self) -> Word {
        Word(match self {
            Self::PublishRuleMap => "PublishRuleMap",
            Self::DeleteRuleMap => "DeleteRuleMap",
            Self::ApplyEnforcement => "ApplyPodEnforcement",
            Self::DeleteEnforcement => "DeletePodEnforcement",
            Self::WriteStatus => "WriteStatus",
            Self::PublishEvent => "PublishEvent",
            Self::Lease => "Lease",
            Self::Certificate => "Certificate",
        })
    }
}

/// Handles on every metric; clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ByTask, Counter>,
    durations: Family<ByTask, Histogram, fn() -> Histogram>,
    errors: Family<ByReason, Counter>,
    calls: Family<ByCall, Counter>,
    watch_errors: Family<ByKind, Counter>,
    objects: Family<ByKind, Gauge>,
    policies: Family<ByState, Gauge>,
    queued: Family<ByTask, Gauge>,
    published: Histogram,
    leader: Gauge,
    reviews: Family<ByReason, Counter>,
}

fn seconds() -> Histogram {
    Histogram::new([
        0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bartizan_operator");
        let reconciles = Family::default();
        let durations = Family::new_with_constructor(seconds as fn() -> Histogram);
        let errors = Family::default();
        let calls = Family::default();
        let watch_errors = Family::default();
        let objects = Family::default();
        let policies = Family::default();
        let queued = Family::default();
        let published = seconds();
        let leader = Gauge::default();
        let reviews = Family::default();
        registry.register(
            "reconciles",
            "Pods planned, rule maps published and statuses made, by task",
            reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "From the start of a task to the end of its write",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "errors",
            "Writes that failed and are retried, and policies refused, by reason",
            errors.clone(),
        );
        registry.register(
            "api_calls",
            "Writes to the API server and reads of single objects, by the answer's code; 0: none",
            calls.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that failed and were started again",
            watch_errors.clone(),
        );
        registry.register("objects", "Objects known, by kind", objects.clone());
        registry.register(
            "policies",
            "Policies, by whether they are in the kernel for every container they select",
            policies.clone(),
        );
        registry.register("queued", "Objects to look at, by task", queued.clone());
        registry.register_with_unit(
            "policy_published",
            "From a change of a policy being seen until all its pods have their rules published",
            Unit::Seconds,
            published.clone(),
        );
        registry.register("leader", "1 if this replica writes", leader.clone());
        registry.register(
            "reviews",
            "Answers of the webhook, by reason",
            reviews.clone(),
        );
        Self {
            registry: Arc::new(registry),
            reconciles,
            durations,
            errors,
            calls,
            watch_errors,
            objects,
            policies,
            queued,
            published,
            leader,
            reviews,
        }
    }
}

impl Metrics {
    /// Everything as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("strings take everything");
        text
    }

    /// Counts a call by its answer, which is passed on.
    pub fn called<T>(&self, call: Call, result: Result<T, kube::Error>) -> Result<T, kube::Error> {
        let code = match &result {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(_) => 0,
        };
        let call = call.word();
        self.calls.get_or_create(&ByCall { call, code }).inc();
        result
    }

    pub(crate) fn watch_failed(&self, kind: Kind) {
        let kind = Word(kind.name());
        self.watch_errors.get_or_create(&ByKind { kind }).inc();
    }

    pub(crate) fn reconciled(&self, task: &'static str, took: Duration) {
        let by = ByTask { task: Word(task) };
        self.reconciles.get_or_create(&by).inc();
        self.durations
            .get_or_create(&by)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, reason: &'static str) {
        let reason = Word(reason);
        self.errors.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn published(&self, took: Duration) {
        self.published.observe(took.as_secs_f64());
    }

    pub(crate) fn leading(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    pub(crate) fn reviewed(&self, reason: &'static str) {
        let reason = Word(reason);
        self.reviews.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn standings(&self, standings: [(Standing, usize); 5]) {
        for (standing, number) in standings {
            let state = Word(standing.name());
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.policies.get_or_create(&ByState { state }).set(number);
        }
    }

    pub(crate) fn sizes(&self, sizes: Sizes) {
        let objects = [
            ("pods", sizes.pods),
            ("namespaces", sizes.namespaces),
            ("policies", sizes.policies),
            ("podenforcements", sizes.enforcements),
            ("rulemaps", sizes.rule_maps),
            ("linkedsets", sizes.links),
        ];
        for (kind, number) in objects {
            let kind = Word(kind);
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.objects.get_or_create(&ByKind { kind }).set(number);
        }
        for (task, number) in [("pod", sizes.dirty_pods), ("status", sizes.dirty_policies)] {
            let task = Word(task);
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.queued.get_or_create(&ByTask { task }).set(number);
        }
    }
}

#[cfg(test)]
mod scrape;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_the_documentation_says() {
        let metrics = Metrics::default();
        metrics.reconciled("pod", Duration::from_millis(2));
        metrics.failed("WriteStatus");
        metrics.leading(true);
        metrics.called(Call::WriteStatus, Ok(())).unwrap();
        let text = metrics.text();
        for line in [
            "bartizan_operator_reconciles_total{task=\"pod\"} 1",
            "bartizan_operator_errors_total{reason=\"WriteStatus\"} 1",
            "bartizan_operator_api_calls_total{call=\"WriteStatus\",code=\"200\"} 1",
            "bartizan_operator_leader 1",
            "bartizan_operator_reconcile_duration_seconds_count{task=\"pod\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
