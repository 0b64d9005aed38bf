//! What is measured: workloads, paths, and the guest's script.
//!
//! ```text
//!  settle ─ none ─ empty ─ none ─ enforcer: unmanaged, then a cgroup per policy ─ none
//!         ─ enforcer: edits of policies of many workloads
//! ```
//! One boot, one CPU. The costs without any program are measured between the others, so
//! that a kernel that changed in the meantime is noticed.

use std::fmt::Write as _;

use super::policies::{self, DENIED_ADDRESS, DENIED_FILE, Files, LABEL};
use crate::vm::Image;

/// Paths by depth: their directories are names that the rules use, their leaf is not.
pub(super) const DEPTHS: [(u32, &str); 3] = [
    (1, "/f1"),
    (5, "/usr/share/nginx/html/index.html"),
    (
        10,
        "/srv/www/data/sites/example/current/public/assets/images/banner",
    ),
];
/// At depth 5, no component is a name that a rule uses.
pub(super) const UNKNOWN: &str = "/aaa/bb/ccc/ddd/file";
/// At depth 5, leaves that begin and end so that a glob might match them.
pub(super) const UNDECIDED: [(u32, &str); 3] = [
    (8, "/usr/share/nginx/html/abcdefgt"),
    (24, "/usr/share/nginx/html/abcdefghijkmnopqrsuvwxyt"),
    (
        48,
        "/usr/share/nginx/html/abcdefghijkmnopqrsuvwxyzabcdefghijkmnopqrsuvwxyt",
    ),
];

/// Managed workloads by name.
pub(super) const MANAGED: [(&str, Files); 6] = [
    ("r1", files(1, false, false)),
    ("r10", files(10, false, true)),
    ("r10-no-callers", files(10, false, false)),
    ("r10-globs", files(10, true, true)),
    ("r1000", files(1000, true, true)),
    ("r1000-no-globs", files(1000, false, true)),
];
/// Workloads that connect, by name and number of networks.
pub(super) const CONNECTED: [(&str, usize); 2] = [("cidr1", 1), ("cidr10000", 10_000)];
/// Workloads whose policy is edited at once.
pub(super) const EDITED: [usize; 3] = [1, 20, 100];
/// The label of measurements with nothing attached.
pub(super) const NONE: &str = "none";
/// The label of those with a program that does nothing.
pub(super) const EMPTY: &str = "empty";
/// The label of those outside of the enforced cgroups.
pub(super) const UNMANAGED: &str = "unmanaged";
/// The target of connecting.
pub(super) const CONNECT: &str = "connect";

const POLICIES: &str = "/etc/bench";
const EDITS: &str = "/etc/edits";
const CGROUPS: &str = "/sys/fs/cgroup/bench";

const fn files(rules: usize, globs: bool, callers: bool) -> Files {
    Files {
        rules,
        globs,
        callers,
    }
}

/// All paths that are opened.
pub(super) fn paths() -> Vec<&'static str> {
    let mut all: Vec<_> = DEPTHS.iter().map(|(_, path)| *path).collect();
    all.push(UNKNOWN);
    all.extend(UNDECIDED.iter().map(|(_, path)| *path));
    all
}

/// Adds the files to open, and the policies.
pub(super) fn fill(image: &mut Image) {
    for path in paths() {
        image.text(path, 0o644, "measured\n");
    }
    for (name, files) in MANAGED {
        image.text(
            &format!("{POLICIES}/{name}.yaml"),
            0o644,
            &files.policy(name),
        );
    }
    for (name, cidrs) in CONNECTED {
        let policy = policies::addresses(name, cidrs);
        image.text(&format!("{POLICIES}/{name}.yaml"), 0o644, &policy);
    }
    for workloads in EDITED {
        let policy = policies::edited(&format!("edit{workloads}"));
        image.text(&format!("{EDITS}/edit{workloads}.yaml"), 0o644, &policy);
    }
    let all = policies::everything("all");
    image.text(&format!("{POLICIES}/all.yaml"), 0o644, &all);
}

/// The guest's script; results go to file descriptor 3.
pub(super) fn script() -> String {
    let paths = paths().join(" ");
    let none = format!("cost open {NONE} {paths} >&3 && cost connect {NONE} >&3 || exit 1\n");
    let mut text = format!(
        "{FUNCTIONS}\
         say waiting until the kernel has settled\n\
         cost settle {DEPTH_5} || exit 1\n\
         {none}\
         say measuring with an empty program\n\
         cost empty file_open open {EMPTY} {paths} >&3 || exit 1\n\
         cost empty socket_connect connect {EMPTY} >&3 || exit 1\n\
         {none}\
         say starting the enforcer\n",
        DEPTH_5 = DEPTHS[1].1,
    );
    let opening = MANAGED.map(|(name, _)| name);
    let connecting = CONNECTED.map(|(name, _)| name);
    let workloads = [&opening[..], &connecting, &["all"]].concat();
    for name in &workloads {
        let _ = writeln!(text, "cgroup {name}");
    }
    let _ = write!(text, "start {POLICIES}");
    for name in &workloads {
        let _ = write!(
            text,
            " --workload {name}={CGROUPS}/{name},label={LABEL}={name}"
        );
    }
    let _ = write!(
        text,
        "\nsay measuring with the enforcer\n\
         cost open {UNMANAGED} {paths} >&3 && cost connect {UNMANAGED} >&3 || exit 1\n"
    );
    let measured = opening.map(|name| (name, DENIED_FILE, format!("open {name} {paths}")));
    let more = connecting.map(|name| (name, DENIED_ADDRESS, format!("connect {name}")));
    for (name, denied, what) in measured.iter().chain(&more) {
        let _ = writeln!(text, "within {name} {denied} '{what}' >&3 || exit 1");
    }
    let _ = write!(text, "cost programs >&3 || exit 1\nstop\n{none}");
    edits(&mut text);
    text
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

/// The policies are moved to a file system of their own: on the one that is measured, the
/// enforcer's inotify watch would add 160 instructions to opening and closing any file.
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
within() {
    sh -c "echo \$\$ > /sys/fs/cgroup/bench/$1/cgroup.procs; cost denied $2 && sleep 1 && exec cost $3"
}
start() {
    folder=/run/$(basename $1)
    cp -r $1 $folder
    shift
    : > /run/enforcer.log
    bartizan-enforcer standalone -f $folder "$@" --denials /run/denials 2>> /run/enforcer.log &
    enforcer=$!
    until grep -q enforcing: /run/enforcer.log; do
        kill -0 $enforcer || { cat /run/enforcer.log >&2; exit 1; }
        sleep 1
    done
    sleep 2
    kib=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$enforcer/status)
    echo "{\"workloads\": $#, \"resident\": $kib}" >&3
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
}
"#;
