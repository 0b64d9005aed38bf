//! Whether containers wait for the rules of a policy, by the words of their nodes.

use std::collections::BTreeSet;

use bartizan_crds::{ContainerReport, HoldState};

use super::keys::PodKey;

/// Nodes that a message names.
const MAX_NODES: usize = 10;

/// What the containers of a policy with `startup: Hold` add up to.
#[derive(Debug, Default)]
pub(super) struct Holding {
    selected: usize,
    /// Those that start only with their rules.
    kept: usize,
    /// Those of them that were not started, and one of them with the reason.
    waiting: usize,
    first_waiting: Option<String>,
    /// Those whose runtime doesn't ask, and one of them.
    impossible: usize,
    first_impossible: Option<String>,
    nodes: BTreeSet<String>,
}

impl Holding {
    /// Counts a container, and what its node's enforcer says of it.
    pub(super) fn add(
        &mut self,
        (pod, container, node): (&PodKey, &str, Option<&str>),
        report: Option<&ContainerReport>,
    ) {
        self.selected += 1;
        let Some((report, hold)) = report.and_then(|it| Some((it, it.hold?))) else {
            return;
        };
        let place = || format!("{container} of pod {pod}");
        match hold {
            HoldState::Kept => self.kept += 1,
            HoldState::Waiting => {
                self.kept += 1;
                self.waiting += 1;
                let reason = report.reason.as_deref().unwrap_or("Pending");
                self.first_waiting
                    .get_or_insert_with(|| format!("{} ({reason})", place()));
            }
            HoldState::Impossible => {
                self.impossible += 1;
                self.first_impossible.get_or_insert_with(place);
                self.nodes.extend(node.map(str::to_owned));
            }
        }
    }

    /// Whether it is true of every container, the reason in one word, and a message.
    pub(super) fn said(&self) -> (bool, &'static str, String) {
        let Self {
            selected,
            kept,
            waiting,
            impossible,
            ..
        } = self;
        if let Some(first) = &self.first_impossible {
            let named: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
            let more = match named.len().saturating_sub(MAX_NODES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let nodes = named[..named.len().min(MAX_NODES)].join(", ");
            let message = format!(
                "{impossible} of {selected} containers, such as {first}, may start without their \
                 rules, because the container runtime doesn't ask before it starts them (NRI) on \
                 {nodes}{more}"
            );
            return (false, "Impossible", message);
        }
        let waits = match (&self.first_waiting, waiting) {
            (Some(first), 1) => format!("; {first} waits for them"),
            (Some(first), _) => format!("; {waiting} wait for them, such as {first}"),
            (None, _) => String::new(),
        };
        let message = format!("{kept} of {selected} containers start only with their rules{waits}");
        match selected {
            0 => (false, "SelectsNothing", message),
            _ if kept < selected => (false, "Behind", message),
            _ => (true, "Kept", message),
        }
    }
}
