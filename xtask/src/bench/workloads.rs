//! Cgroups with policies, and what is measured in each.

use super::policies::{self, DENIED_ADDRESS, DENIED_FILE, Files};
use super::targets::{self, CAPABLE, CONNECT, DEPTH_5, SENDTO, SOCKET, Target};

/// A managed workload; its policy is named like it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// As the page calls it.
    pub(super) title: &'static str,
    pub(super) rules: Rules,
}

/// What its policy is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rules {
    /// Files and programs; what stands for its number of rules is measured with every
    /// operation on files, ten rules at every depth, and what shows where instructions go
    /// only with opening.
    Files { rules: Files, stands: bool },
    /// Allowed networks, that many.
    Networks(usize),
    /// All there is: it needs every hook.
    Everything,
}

impl Workload {
    pub(super) fn policy(&self) -> String {
        match self.rules {
            Rules::Files { rules, .. } => rules.policy(self.name),
            Rules::Networks(networks) => policies::networks(self.name, networks),
            Rules::Everything => policies::everything(self.name),
        }
    }

    /// What is measured in it.
    pub(super) fn targets(&self) -> Vec<Target> {
        match self.rules {
            Rules::Files {
                rules: Files { rules: 10, .. },
                stands: true,
            } => targets::on_files(),
            Rules::Files { stands: true, .. } => targets::at_depth_5(),
            Rules::Files { stands: false, .. } => targets::opened(),
            // Its table judges no files.
            Rules::Networks(1) => vec![CONNECT, SENDTO, DEPTH_5],
            Rules::Networks(_) => vec![CONNECT, SENDTO],
            Rules::Everything => vec![SOCKET, CAPABLE],
        }
    }

    /// What its policy denies.
    pub(super) fn denied(&self) -> &'static str {
        match self.rules {
            Rules::Networks(_) => DENIED_ADDRESS,
            _ => DENIED_FILE,
        }
    }

    /// Number of its policy's rules.
    pub(super) fn rule_count(&self) -> usize {
        match self.rules {
            Rules::Files { rules, .. } => rules.rules,
            Rules::Networks(_) => 1,
            Rules::Everything => policies::EVERYTHING_RULES,
        }
    }

    /// Whether it stands for its number of rules.
    pub(super) fn stands(&self) -> bool {
        !matches!(self.rules, Rules::Files { stands: false, .. })
    }
}

/// All, in the page's order.
pub(super) const WORKLOADS: [Workload; 11] = [
    main("r1", "managed, 1 rule", files(1, false, false)),
    main("r10", "managed, 10 rules", files(10, false, true)),
    more(
        "r10-no-callers",
        "the same, no rule about the caller",
        files(10, false, false),
    ),
    more(
        "r10-globs",
        "10 rules and three globs",
        files(10, true, true),
    ),
    main(
        "r100",
        "100 rules, 18 globs (1 at any depth)",
        files(100, true, true),
    ),
    main(
        "r1000",
        "1,000 rules, 200 globs (20 at any depth)",
        files(1000, true, true),
    ),
    more(
        "r1000-no-globs",
        "1,000 rules, no globs",
        files(1000, false, true),
    ),
    networks("cidr1", "one network", 1),
    networks("cidr100", "100 networks", 100),
    networks("cidr10000", "10,000 networks", 10_000),
    Workload {
        name: "all",
        title: "managed",
        rules: Rules::Everything,
    },
];

/// The workload of that name, which is one of [`WORKLOADS`].
pub(super) fn of(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

const fn main(name: &'static str, title: &'static str, rules: Files) -> Workload {
    let stands = true;
    Workload {
        name,
        title,
        rules: Rules::Files { rules, stands },
    }
}

const fn more(name: &'static str, title: &'static str, rules: Files) -> Workload {
    let stands = false;
    Workload {
        name,
        title,
        rules: Rules::Files { rules, stands },
    }
}

const fn networks(name: &'static str, title: &'static str, networks: usize) -> Workload {
    let rules = Rules::Networks(networks);
    Workload { name, title, rules }
}

const fn files(rules: usize, globs: bool, callers: bool) -> Files {
    Files {
        rules,
        globs,
        callers,
    }
}
