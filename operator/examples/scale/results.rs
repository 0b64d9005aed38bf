//! What was measured, beside its goals.

use crate::figures::{Figure, percentile};
use crate::measure::Measured;

const MIB: f64 = 1024.0 * 1024.0;

/// Everything that was measured.
pub(crate) fn of(measured: &Measured) -> Vec<Figure> {
    let edit = |kind: &str, pods: usize| format!("edit of a {kind} to all {pods} pods planned");
    let written = measured.written;
    let pods = written.enforcements.max(1) as f64;
    let share = written.rule_map_bytes as f64 / pods;
    let own = written.enforcement_bytes as f64 / pods;
    let comer = |percent| percentile(&measured.comers, percent);
    vec![
        Figure::time(
            "full recompute, from nothing",
            measured.recompute,
            Some(10_000.0),
        ),
        Figure::time("of it: judging policies", measured.judging, None),
        Figure::time("of it: planning pods, linking", measured.planning, None),
        Figure::time("every status once", measured.statuses, None),
        Figure::time(
            "everything planned again, nothing changed",
            measured.again,
            None,
        ),
        Figure::time(
            edit("policy", measured.edit.pods),
            measured.edit.slowest,
            Some(1_000.0),
        ),
        Figure::time(
            edit("cluster policy", measured.cluster_edit.pods),
            measured.cluster_edit.slowest,
            None,
        ),
        Figure::time("a new pod to planned, median", comer(50), None),
        Figure::time("a new pod to planned, p99", comer(99), Some(50.0)),
        Figure::new(
            "resident memory",
            measured.resident_kib as f64 * 1024.0 / MIB,
            "MiB",
            Some(1024.0),
        ),
        Figure::new("sets of policies linked", measured.links as f64, "", None),
        Figure::new("rule maps", written.rule_maps as f64, "", None),
        Figure::new("pods with a rule map", pods, "", None),
        Figure::new(
            "written per pod: its share of rule maps",
            share,
            "bytes",
            None,
        ),
        Figure::new("written per pod: its PodEnforcement", own, "bytes", None),
    ]
}
