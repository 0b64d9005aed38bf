//! The guest's image and script.
//!
//! ```text
//!  settle ─ none ─ empty ─ none ─ enforcer: unmanaged, then a cgroup per policy
//!         ─ enforcer: edits of policies of many workloads
//!         ─ enforcer: as many workloads as there can be ─ none
//! ```
//! One boot, one CPU. The costs without any program are measured between the others, so
//! that a kernel that changed in the meantime is noticed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::policies::{self, DENIED_FILE, LABEL};
use super::targets::{self, DEPTH_5, Target};
use super::workloads::{WORKLOADS, Workload};
use crate::vm::Image;

/// The label of measurements with nothing attached.
pub(super) const NONE: &str = "none";
/// The label of those with a program that does nothing.
pub(super) const EMPTY: &str = "empty";
/// The label of those outside of the enforced cgroups.
pub(super) const UNMANAGED: &str = "unmanaged";
/// Workloads whose policy is edited at once.
pub(super) const EDITED: [usize; 3] = [1, 20, 100];
/// Workloads of the last part, as many as there can be: one number of 4,096 is for none.
pub(super) const CROWD: u32 = 4_096;
/// Labels of measurements in some cgroups of the crowd, and in others beside it.
pub(super) const CROWDED: [&str; 2] = ["crowd", "beside"];
/// Cgroups of each of these.
const SAMPLES: u32 = 8;
/// Rules of its policy.
pub(super) const CROWD_RULES: usize = 1;

const POLICIES: &str = "/etc/bench";
const EDITS: &str = "/etc/edits";
const MANY: &str = "/etc/crowd";
const CGROUPS: &str = "/sys/fs/cgroup/bench";

/// What of it is measured.
#[derive(Debug)]
pub(super) enum Plan {
    /// All.
    Full,
    /// Opening, for these labels and targets, without edits and crowd. Policies are about
    /// opening alone, because verifying the programs of all hooks takes most of a run.
    Opening(BTreeSet<(String, String)>),
}

impl Plan {
    /// By which its readings are kept.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Opening(_) => "opening",
        }
    }

    /// Boots of which one has to be within a budget. What a decision costs differs between
    /// boots by one or two steps of 16 to 19 instructions, most often by none.
    pub(super) fn boots(&self) -> usize {
        match self {
            Self::Full => 1,
            Self::Opening(_) => 4,
        }
    }

    /// Those of `targets` that are measured under a label.
    fn of(&self, label: &str, targets: Vec<Target>) -> Vec<Target> {
        let mut targets = targets;
        if let Self::Opening(wanted) = self {
            targets.retain(|target| wanted.contains(&(label.to_owned(), target.to_string())));
        }
        targets
    }

    /// Those that are measured under any label.
    fn all(&self) -> Vec<Target> {
        let mut targets = targets::all();
        if let Self::Opening(wanted) = self {
            targets.retain(|target| {
                let target = target.to_string();
                wanted.iter().any(|(_, other)| *other == target)
            });
        }
        targets
    }

    /// Workloads with something to measure.
    fn workloads(&self) -> Vec<(&'static Workload, Vec<Target>)> {
        let all = WORKLOADS.iter();
        all.map(|workload| (workload, self.of(workload.name, workload.targets())))
            .filter(|(_, targets)| !targets.is_empty())
            .collect()
    }

    /// Adds the files that are measured, and the policies.
    pub(super) fn fill(&self, image: &mut Image) {
        for target in targets::all() {
            if target.depth() > 0 {
                // To be run it has to be executable, whatever is in it.
                image.text(target.path, 0o755, "measured\n");
            }
        }
        let mut policy = |folder: &str, name: &str, policy: &str| {
            image.text(&format!("{folder}/{name}.yaml"), 0o644, policy);
        };
        for (workload, _) in self.workloads() {
            let rules = match self {
                Self::Full => workload.policy(),
                Self::Opening(_) => policies::opening(&workload.policy()),
            };
            policy(POLICIES, workload.name, &rules);
        }
        for workloads in EDITED {
            let name = format!("edit{workloads}");
            policy(EDITS, &name, &policies::reading(&name));
        }
        policy(MANY, CROWDED[0], &policies::reading(CROWDED[0]));
    }

    /// The guest's script; results go to file descriptor 3.
    pub(super) fn script(&self) -> String {
        let none = measure(NONE, &self.all()) + " >&3 || exit 1\n";
        let mut text = format!(
            "{FUNCTIONS}\
             say waiting until the kernel has settled\n\
             cost settle {DEPTH_5} || exit 1\n\
             {none}"
        );
        self.empty(&mut text, &none);
        self.policies(&mut text);
        if matches!(self, Self::Full) {
            edits(&mut text);
            crowd(&mut text);
        }
        text + &none
    }

    /// With a program on the operation's hook that does nothing.
    fn empty(&self, text: &mut String, none: &str) {
        let targets = self.of(EMPTY, empty());
        if targets.is_empty() {
            return;
        }
        text.push_str("say measuring with an empty program\n");
        let hooks: BTreeSet<_> = targets.iter().map(|target| target.hook()).collect();
        for hook in hooks {
            let targets = targets.iter().filter(|target| target.hook() == hook);
            let measure = measure(EMPTY, &targets.copied().collect::<Vec<_>>());
            let measure = measure.trim_start_matches("cost ");
            let _ = writeln!(text, "cost empty {hook} {measure} >&3 || exit 1");
        }
        text.push_str(none);
    }

    /// With the enforcer, outside of all workloads and in each of them.
    fn policies(&self, text: &mut String) {
        let workloads = self.workloads();
        let names: Vec<_> = workloads
            .iter()
            .map(|(workload, _)| workload.name)
            .collect();
        text.push_str("say starting the enforcer\n");
        for name in &names {
            let _ = writeln!(text, "cgroup {name}");
        }
        let _ = write!(text, "start {POLICIES}");
        for name in &names {
            let _ = write!(
                text,
                " --workload {name}={CGROUPS}/{name},label={LABEL}={name}"
            );
        }
        let unmanaged = measure(UNMANAGED, &self.of(UNMANAGED, targets::all()));
        let _ = write!(
            text,
            "\nsay measuring with the enforcer\n{unmanaged} >&3 || exit 1\n"
        );
        for (workload, targets) in workloads {
            let (name, denied) = (workload.name, workload.denied());
            let measure = measure(name, &targets);
            let _ = writeln!(text, "within {name} {denied} '{measure}' >&3 || exit 1");
        }
        text.push_str("cost programs >&3 || exit 1\nstop\n");
    }
}

/// What is measured with empty programs, to which depths are all the same.
pub(super) fn empty() -> Vec<Target> {
    [targets::at_depth_5(), targets::WITHOUT_FILES.to_vec()].concat()
}

/// The command that measures some targets.
fn measure(label: &str, targets: &[Target]) -> String {
    targets
        .iter()
        .fold(format!("cost measure {label}"), |mut text, target| {
            let _ = write!(text, " {target}");
            text
        })
}

/// Edits policies that few and many workloads have.
fn edits(text: &mut String) {
    text.push_str("say editing policies\n");
    let mut start = format!("start {EDITS}");
    for workloads in EDITED {
        for number in 0..workloads {
            let name = format!("edit{workloads}-{number}");
            let _ = writeln!(text, "cgroup {name}");
            let _ = write!(
                start,
                " --workload {name}={CGROUPS}/{name},label={LABEL}=edit{workloads}"
            );
        }
    }
    let _ = writeln!(text, "{start}");
    for workloads in EDITED {
        let _ = writeln!(text, "edit {workloads}");
    }
    text.push_str("stop\n");
}

/// Measures in some of as many workloads as there can be, and in cgroups beside them.
fn crowd(text: &mut String) {
    let _ = writeln!(text, "say starting the enforcer with {CROWD} workloads");
    let [managed, beside] = CROWDED;
    let every = CROWD / SAMPLES;
    for sample in 0..SAMPLES {
        let from = sample * every;
        let to = if sample + 1 == SAMPLES {
            CROWD
        } else {
            from + every
        } - 1;
        let _ = writeln!(text, "cgroup {beside}{sample}\ncgroup {managed}{from}");
        let _ = writeln!(text, "empty_cgroups {managed} {} {to}", from + 1);
    }
    let _ = writeln!(
        text,
        "start {MANY} $(for i in $(seq 0 {}); do echo --workload \
         $i={CGROUPS}/{managed}$i,label={LABEL}={managed}; done)",
        CROWD - 1
    );
    for sample in 0..SAMPLES {
        let number = sample * every;
        let measured = measure(&format!("{managed}{sample}"), &[DEPTH_5]);
        let others = measure(&format!("{beside}{sample}"), &[DEPTH_5]);
        let _ = write!(
            text,
            "within {managed}{number} {DENIED_FILE} '{measured}' >&3 || exit 1\n\
             beside {beside}{sample} '{others}' >&3 || exit 1\n"
        );
    }
    text.push_str("stop\n");
}

/// The policies are moved to a file system of their own: on the one that is measured, the
/// enforcer's inotify watch would add 160 instructions to opening and closing any file.
///
/// After the enforcer's end, the kernel still has its maps and programs to free.
///
/// A process waits in each cgroup, so that the enforcer finds a container that is there
/// and doesn't go on looking for its mounts.
const FUNCTIONS: &str = r#"
say() {
    echo "$*" >&2
}
cgroup() {
    mkdir -p /sys/fs/cgroup/bench/$1
    sh -c "echo \$\$ > /sys/fs/cgroup/bench/$1/cgroup.procs; exec sleep 100000" &
    until grep -q . /sys/fs/cgroup/bench/$1/cgroup.procs; do usleep 10000; done
}
empty_cgroups() {
    (cd /sys/fs/cgroup/bench && mkdir $(for i in $(seq $2 $3); do echo $1$i; done))
}
within() {
    sh -c "echo \$\$ > /sys/fs/cgroup/bench/$1/cgroup.procs; cost denied $2 && sleep 1 && exec $3"
}
beside() {
    sh -c "echo \$\$ > /sys/fs/cgroup/bench/$1/cgroup.procs; exec $2"
}
start() {
    folder=/run/$(basename $1)
    cp -r $1 $folder
    shift
    : > /run/enforcer.log
    bartizan-enforcer standalone -f $folder "$@" --denials /run/denials 2>> /run/enforcer.log &
    enforcer=$!
    until grep -q enforcing: /run/enforcer.log; do
        kill -0 $enforcer || { tail -n 20 /run/enforcer.log >&2; exit 1; }
        sleep 1
    done
    sleep 2
    kib=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$enforcer/status)
    echo "{\"workloads\": $(($# / 2)), \"resident\": $kib}" >&3
}
edit() {
    for path in /b/1 /b/2 /b/3 /b/4 /b/5; do
        done=$(grep -c 'are enforced' /run/enforcer.log)
        sed "s|/edited|$path|" /etc/edits/edit$1.yaml > /run/new
        mv /run/new /run/edits/edit$1.yaml
        until [ $(grep -c 'are enforced' /run/enforcer.log) -gt $done ]; do
            kill -0 $enforcer || exit 1
            sleep 1
        done
        ms=$(sed -n "s/.*are enforced.* workloads=$1 .* ms=\([0-9]*\).*/\1/p" /run/enforcer.log | tail -n 1)
        echo "{\"edited\": $1, \"ms\": $ms}" >&3
        sleep 2
    done
}
stop() {
    kill $enforcer
    wait $enforcer
    sleep 5
}
"#;
