//! The bypass catalogue: `docs/bypasses.md` is made from what the cases try.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Technique, bypass, cgroup, names, restrict};

/// How attempts of one kind are judged.
struct Group {
    title: &'static str,
    /// What is denied, and why the ways below lead to the same judgement.
    how: &'static str,
    answer: &'static str,
    case: &'static str,
    /// Attempts by name.
    techniques: Vec<Technique>,
}

/// Ways that have a case of their own: what is tried, how it is judged, the case.
const SINGLE: [(&str, &str, &str); 23] = [
    (
        "a descriptor that somebody outside opened, received by `SCM_RIGHTS`",
        "`file_receive` judges it as an open",
        "bypass/a_passed_descriptor_is_judged_as_if_opened",
    ),
    (
        "names of 1 to 255 bytes, and files 60 directories deep",
        "the walk compares every byte of every component; nothing is cut",
        "names/of_every_length_are_judged",
    ),
    (
        "a file 200 directories deep, with a path longer than `PATH_MAX`",
        "it has no name: `default: Deny` and rules about `/**` cover it",
        names::FATHOMLESS,
    ),
    (
        "a file that is mounted, such as `/etc/hosts` or a key of a config map, by every operation",
        "a mount point's name is taken from the container's mounts at its start",
        "mounts/volumes_have_names",
    ),
    (
        "a program that is a mounted file",
        "the same",
        "mounts/volumes_have_names",
    ),
    (
        "a directory of a volume",
        "the same",
        "mounts/volumes_have_names",
    ),
    (
        "a cgroup below the container's when the table of labels is full",
        "the nearest labelled cgroup above counts",
        "cgroup/one_that_finds_no_room_for_its_label_has_its_rules",
    ),
    (
        "a container's first instruction",
        "its cgroup is labelled before it can be entered",
        "pods/armed_before_the_first_instruction",
    ),
    (
        "a write to a compiled table, by the map's number and with all capabilities",
        "it is frozen when it is filled (`BPF_MAP_FREEZE`)",
        "bypass/tables_in_the_kernel_can_not_be_changed",
    ),
    (
        "an entry point of `/proc/self/exe`, which is the runtime's own file",
        "set-up ends with the first exec below the container's root, whatever the file",
        "pods/an_entry_point_of_proc_self_exe_is_judged",
    ),
    (
        "`kubectl exec` and exec probes",
        "judged from their command on",
        "pods/exec_is_judged_from_its_command_on",
    ),
    (
        "tracing a runtime's process while it sets a container or an exec up",
        "`ptrace_access_check` refuses it to everybody inside",
        "pods/a_task_in_set_up_can_not_be_traced",
    ),
    (
        "reading or writing that process's memory",
        "the same",
        "pods/a_task_in_set_up_can_not_be_traced",
    ),
    (
        "`mkdir pod<UID of another pod>` below the own cgroup",
        "names below a labelled cgroup are never read",
        "pods/what_a_container_makes_is_its_own",
    ),
    (
        "a container whose pod the agent learns of while it runs",
        "its cgroup is labelled by id",
        "pods/one_that_runs_is_labelled_late",
    ),
    (
        "the same while it is being set up",
        "the same, and its set-up goes on",
        "pods/one_in_set_up_is_labelled_late",
    ),
    (
        "a container that was there before the agent",
        "the same",
        "pods/one_that_was_there_before_is_labelled",
    ),
    (
        "cgroups with names that only look like a pod's",
        "read by the kernel program exactly, or not at all",
        "pods/odd_names_are_read_safely",
    ),
    (
        "`SIGKILL` for the enforcer, under load",
        "programs, links and maps are pinned",
        "survival/killed_enforcers_open_no_gap",
    ),
    (
        "the moment in which an enforcer is replaced by another version",
        "the old programs are detached after the new ones enforce",
        "survival/another_version_replaces_without_a_gap",
    ),
    (
        "leaving the container's cgroup, and waiting until another version replaces the enforcer",
        "the next version takes over who has left",
        "survival/another_version_replaces_without_a_gap",
    ),
    (
        "a program that exists in memory alone (memfd), where a list says what may run",
        "what has no name is denied by `default: Deny`",
        "samples/no-dropped-programs",
    ),
    (
        "an interpreter or loader that runs what may not be run itself",
        "script and interpreter are both judged, and so are executable mappings",
        "samples/shell-less",
    ),
];

const HEAD: &str = "\
# Bypasses

Ways round a rule that have been tried against Bartizan.
Each is made by the test that is named, in real kernels (6.1, 6.12, the newest of Debian's backports, and 6.12 with `preempt=full`), whenever `make test` runs.
This page is made from these tests by `cargo xtask generate`.
What can't be closed is in the [threat model](threat-model.md).

From its source, another enforcer falls for some of these:
KubeArmor tells containers by their pid and mount namespaces (`get_outer_key` in its BPF programs, read in July 2026), so new namespaces lead out of its rules; it doesn't judge the move of a directory above a protected path, and it looks at 20 components of a path at most.

";

fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = bypass::REFUSED
        .into_iter()
        .map(|(rule, techniques)| {
            let (title, how) = match rule {
                "no-reading" => (
                    "Reading a denied file",
                    "The kernel program follows the file's parents to its file system's root, so whatever leads to the file, its name is the one that rules know.\nTo give it another, by a link or a move of it or of a directory above it, is denied as well.",
                ),
                "nothing-at-all" => (
                    "Changing a protected directory",
                    "Whoever makes or removes a name is judged by the directory's own name.",
                ),
                "no-tool" => (
                    "Running a denied program",
                    "As for files, by `bprm_check_security`; mapping it executable is running it.",
                ),
                "no-library" => (
                    "Mapping a denied library",
                    "What is mapped executable is judged as a program is.",
                ),
                "no-script" => (
                    "Running a denied script",
                    "A script and its interpreter are both judged.",
                ),
                _ => (
                    "Writing with a descriptor that was there before",
                    "A shared, writable mapping is judged as `Write`, cutting as `Truncate`, whoever opened the file.",
                ),
            };
            Group {
                title,
                how,
                answer: "`EACCES`",
                case: bypass::NAMES,
                techniques: techniques.to_vec(),
            }
        })
        .collect();
    groups.push(Group {
        title: "Sockets without the operation's name",
        how: "What a call does is judged, not its name: a connection made by a message, a port taken by `listen`, a Unix socket by the name that its file has.",
        answer: "`EPERM`",
        case: bypass::NAMES,
        techniques: bypass::NOT_PERMITTED.to_vec(),
    });
    groups.push(Group {
        title: "A denied capability",
        how: "The kernel asks for it with the credentials that are used, in whichever task uses them.",
        answer: "`EACCES`",
        case: bypass::CREDENTIALS,
        techniques: bypass::CAPABLE.to_vec(),
    });
    groups.push(Group {
        title: "Leaving the container's cgroup",
        how: "Whoever somebody in a container moves or clones out takes the rules along, and so do its children.\nWhat a process of the node moves has the rules of where it is moved to.",
        answer: "`EACCES`",
        case: cgroup::LEAVING,
        techniques: cgroup::WAYS_OUT.to_vec(),
    });
    for (operation, ways) in restrict::WAYS {
        let name = operation.name();
        let (title, plain) = match name {
            "Mount" => ("`restrict: { mounts: Deny }`", "`mount`"),
            "Ptrace" => ("`restrict: { ptrace: Deny }`", "`PTRACE_ATTACH`"),
            "Bpf" => ("`restrict: { bpf: Deny }`", "`bpf(BPF_MAP_CREATE)`"),
            "UserNamespace" => ("`restrict: { userNamespaces: Deny }`", "`unshare`"),
            "ModuleLoad" => ("`restrict: { moduleLoad: Deny }`", "`finit_module`"),
            _ => ("`restrict: { ioUring: Deny }`", "`io_uring_setup`"),
        };
        groups.push(Group {
            title,
            how: "Denied as a whole, whatever the system call.",
            answer: "`EPERM` (`/proc/PID/mem`: `EACCES`)",
            case: restrict::EVERY_WAY,
            techniques: [&[(name, plain)], ways].concat(),
        });
    }
    groups
}

/// The page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in groups() {
        let (title, how) = (group.title, group.how);
        let _ = write!(page, "## {title}\n\n{how}\n");
        let (answer, case) = (group.answer, group.case);
        let _ = write!(page, "The answer is {answer}; the test is `{case}`.\n\n");
        page.push_str("| what is tried | attempt |\n|---|---|\n");
        for (attempt, does) in group.techniques {
            let _ = writeln!(page, "| {does} | `{attempt}` |");
        }
        page.push('\n');
    }
    page.push_str("## Others\n\n| what is tried | how it is judged | test |\n|---|---|---|\n");
    for (tried, how, case) in SINGLE {
        let _ = writeln!(page, "| {tried} | {how} | `{case}` |");
    }
    page
}

#[test]
fn the_page_is_that_of_the_cases() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bypasses.md");
    if std::env::var_os("BARTIZAN_GENERATE").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap();
    assert_eq!(there, page(), "out of date: run cargo xtask generate");
}

#[test]
fn every_test_that_is_named_is_there_and_no_attempt_is_named_twice() {
    let cases: BTreeSet<&str> = super::all().iter().map(|case| case.name).collect();
    let groups = groups();
    let used = groups.iter().map(|group| group.case);
    for case in used.chain(SINGLE.map(|(_, _, case)| case)) {
        assert!(cases.contains(case), "there is no case {case}");
    }
    let attempts: Vec<_> = groups.iter().flat_map(|group| &group.techniques).collect();
    let names: BTreeSet<_> = attempts.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), attempts.len());
    assert!(attempts.len() + SINGLE.len() >= 60);
}
