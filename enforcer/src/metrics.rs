//! What `/metrics` shows.
//!
//! The kernel's counters are the truth, so nothing is counted twice: each scrape takes
//! a [`Snapshot`] and encodes it.

mod node;

use std::collections::BTreeMap;
use std::fmt;

use bartizan_abi::limits::{MAX_CGROUPS, MAX_COUNTERS, MAX_TABLES, MAX_WORKLOADS};
use bartizan_abi::maps::{STATS, Stat};
use bartizan_abi::op::Operation;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

pub use self::node::{NodeFacts, NriFacts};
use crate::engine::{Counted, Series};
use crate::report::mode_name;

/// Content type of [`Snapshot::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Denials and other reports by series.
    pub counts: BTreeMap<Series, u64>,
    /// The kernel's other counts, by [`Stat`].
    pub stats: [u64; STATS as usize],
    /// Workloads with rules in the kernel.
    pub armed: usize,
    /// Entries of kernel maps.
    pub tables: usize,
    /// Labelled cgroups.
    pub cgroups: usize,
    /// Entries of the counter map.
    pub counters: usize,
    /// Lines written and dropped.
    pub lines: (u64, u64),
    /// Records that could not be decoded, by reason.
    pub undecodable: BTreeMap<&'static str, u64>,
    /// Policies in force.
    pub policies: usize,
    /// What is wrong with the latest edit, if it was refused.
    pub policy_errors: usize,
    /// Edits applied and refused.
    pub edits: (u64, u64),
    /// Operations that the kernel can't judge wherever they happen, each with a hook that it
    /// lacks.
    pub unenforceable: Vec<(Operation, &'static str)>,
    /// Workloads with rules about these.
    pub partial: usize,
    /// What a cluster's node adds.
    pub node: Option<NodeFacts>,
}

impl Snapshot {
    /// The metrics as `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("bartizan");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Label pairs of one metric.
type Labels<'a> = Vec<(&'static str, &'a str)>;

fn counter<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        let value = ConstCounter::new(value);
        if labels.is_empty() {
            value.encode(metric)?;
            return Ok(());
        }
        value.encode(metric.encode_family(&labels.as_slice())?)?;
    }
    Ok(())
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<'a>, usize)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        if labels.is_empty() {
            value.encode(metric)?;
            return Ok(());
        }
        value.encode(metric.encode_family(&labels.as_slice())?)?;
    }
    Ok(())
}

fn labels(series: &Series) -> Labels<'_> {
    let mut labels = vec![
        ("namespace", series.namespace.as_str()),
        ("policy", series.policy.as_str()),
        ("rule", series.rule.as_str()),
        ("operation", series.operation),
    ];
    if let Counted::Denial(mode) = series.counted {
        labels.push(("mode", mode_name(mode)));
    }
    labels
}

impl Snapshot {
    /// The counts of one kind, with their labels.
    fn of(&self, wanted: fn(Counted) -> bool) -> impl Iterator<Item = (Labels<'_>, u64)> {
        self.counts
            .iter()
            .filter(move |(series, _)| wanted(series.counted))
            .map(|(series, count)| (labels(series), *count))
    }

    fn encode_reports(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Operations blocked (mode Enforce) or that would be (mode Audit)";
        counter(
            to,
            "denials",
            help,
            self.of(|counted| matches!(counted, Counted::Denial(_))),
        )?;
        let help = "Operations reported by audit rules";
        counter(
            to,
            "audited",
            help,
            self.of(|counted| counted == Counted::Audited),
        )?;
        let help = "Lines written to the denial log";
        counter(to, "report_lines", help, [(Vec::new(), self.lines.0)])?;
        let help = "Lines that could not be written to the denial log";
        counter(to, "report_drops", help, [(Vec::new(), self.lines.1)])?;
        let help = "Kernel events that could not be decoded";
        let undecodable = self
            .undecodable
            .iter()
            .map(|(reason, count)| (vec![("reason", *reason)], *count));
        counter(to, "undecodable_events", help, undecodable)
    }

    fn encode_kernel(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (stat, name, help) in STATISTICS {
            counter(to, name, help, [(Vec::new(), self.stats[stat as usize])])?;
        }
        let help = "Containers with rules in the kernel";
        gauge(to, "armed_containers", help, [(Vec::new(), self.armed)])?;
        let help = "Containers of whose rules the kernel can't enforce all, because it lacks hooks";
        gauge(to, "partial_containers", help, [(Vec::new(), self.partial)])?;
        let help = "Operations that are not judged wherever they happen, by the hook that the \
                    kernel lacks; always 1";
        let missing = self.unenforceable.iter().map(|(operation, hook)| {
            let labels = vec![("operation", operation.name()), ("hook", *hook)];
            (labels, 1)
        });
        gauge(to, "unenforceable_operations", help, missing)?;
        let maps = [
            ("tables", self.tables, MAX_TABLES),
            ("bindings", self.armed, MAX_WORKLOADS),
            ("cgroups", self.cgroups, MAX_CGROUPS),
            ("counters", self.counters, MAX_COUNTERS),
        ];
        let used = maps
            .iter()
            .map(|(map, used, _)| (vec![("map", *map)], *used));
        gauge(to, "map_entries", "Entries in use, by kernel map", used)?;
        let room = maps
            .iter()
            .map(|(map, _, room)| (vec![("map", *map)], *room as usize));
        gauge(
            to,
            "map_capacity",
            "Entries a kernel map has room for",
            room,
        )
    }

    fn encode_policies(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        gauge(
            to,
            "policies",
            "Policies in force",
            [(Vec::new(), self.policies)],
        )?;
        let help = "Errors in the latest edit of the policies; 0 if it was applied";
        gauge(
            to,
            "policy_errors",
            help,
            [(Vec::new(), self.policy_errors)],
        )?;
        let edits = [("applied", self.edits.0), ("refused", self.edits.1)];
        let edits = edits.map(|(result, count)| (vec![("result", result)], count));
        counter(
            to,
            "policy_edits",
            "Edits of the policies, by what became of them",
            edits,
        )?;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        gauge(
            to,
            "build_info",
            "The running version; always 1",
            [(version, 1)],
        )
    }
}

/// The kernel's counts that are shown as they are: name and help.
const STATISTICS: [(Stat, &str, &str); 10] = [
    (
        Stat::RingDrops,
        "ring_drops",
        "Events lost because the ring was full; counters stay exact",
    ),
    (
        Stat::CounterDrops,
        "counter_drops",
        "Denials that found no room in the kernel's counters",
    ),
    (
        Stat::Unresolved,
        "unresolved",
        "Judged operations on files without a name in their container",
    ),
    (
        Stat::MissingTable,
        "missing_table",
        "Operations denied because their cgroup had no rules",
    ),
    (
        Stat::LabelFailures,
        "label_failures",
        "Cgroups that found no room for their label",
    ),
    (
        Stat::SetupFailures,
        "setup_failures",
        "Tasks of a container runtime that were judged because their state found no room",
    ),
    (
        Stat::ContainerFailures,
        "container_failures",
        "Containers whose set-up was judged because they found no room",
    ),
    (
        Stat::SetupExpired,
        "setup_expired",
        "Tasks of a container runtime that took too long to start their container",
    ),
    (
        Stat::Leavers,
        "left_processes",
        "Processes that left their container's cgroup; they keep its rules",
    ),
    (
        Stat::LeaverFailures,
        "left_failures",
        "Processes that found no room to be remembered when they left; their new cgroup got the rules",
    ),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_reports(&mut encoder)?;
        self.encode_kernel(&mut encoder)?;
        self.encode_node(&mut encoder)?;
        self.encode_policies(&mut encoder)
    }
}

#[cfg(test)]
mod tests {
    use bartizan_policy::rule_map::Mode;

    use super::*;

    fn series(counted: Counted, rule: &str) -> Series {
        Series {
            counted,
            namespace: "shop".into(),
            policy: "shop/lockdown".into(),
            rule: rule.into(),
            operation: "Exec",
        }
    }

    fn text() -> String {
        let mut snapshot = Snapshot {
            armed: 2,
            policy_errors: 3,
            ..Snapshot::default()
        };
        snapshot
            .counts
            .insert(series(Counted::Denial(Mode::Enforce), "no-\"apt\""), 7);
        snapshot
            .counts
            .insert(series(Counted::Denial(Mode::Audit), "dry"), 0);
        snapshot.counts.insert(series(Counted::Audited, "look"), 1);
        snapshot.stats[Stat::RingDrops as usize] = 4;
        snapshot.unenforceable = vec![(Operation::Chmod, "path_chmod")];
        snapshot.partial = 1;
        snapshot.encode().unwrap()
    }

    #[track_caller]
    fn has(line: &str) {
        let text = text();
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nis not in\n{text}"
        );
    }

    #[test]
    fn denials_carry_their_labels() {
        has(concat!(
            r#"bartizan_denials_total{namespace="shop",policy="shop/lockdown","#,
            r#"rule="no-\"apt\"",operation="Exec",mode="Enforce"} 7"#
        ));
        has(concat!(
            r#"bartizan_denials_total{namespace="shop",policy="shop/lockdown","#,
            r#"rule="dry",operation="Exec",mode="Audit"} 0"#
        ));
        has(concat!(
            r#"bartizan_audited_total{namespace="shop",policy="shop/lockdown","#,
            r#"rule="look",operation="Exec"} 1"#
        ));
    }

    #[test]
    fn plain_metrics_have_their_documented_names() {
        has("bartizan_ring_drops_total 4");
        has("bartizan_unresolved_total 0");
        has("bartizan_armed_containers 2");
        has("bartizan_policy_errors 3");
        has("bartizan_partial_containers 1");
        has(r#"bartizan_unenforceable_operations{operation="Chmod",hook="path_chmod"} 1"#);
        has(r#"bartizan_map_entries{map="bindings"} 2"#);
        has(r#"bartizan_map_capacity{map="tables"} 1024"#);
        has(concat!(
            "bartizan_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ));
    }

    #[test]
    fn the_text_is_a_complete_openmetrics_document() {
        assert!(text().ends_with("# EOF\n"));
    }
}
