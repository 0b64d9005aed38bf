//! Operations that a policy denies as a whole: every way to ask for one must be refused,
//! and what only looks like one must go on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bartizan_abi::op::{Category, Operation};
use bartizan_samples::Denial;
use rustix::io::Errno;

use super::Technique;
use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};

/// The case that makes all of these attempts.
pub(super) const EVERY_WAY: &str = "restrict/every_way_is_refused_and_no_other";

/// The copy of the probe that makes the attempts.
const CALLER: &str = "/bin/probe";

/// Ways to do each operation, besides the one by its name alone.
pub(super) const WAYS: [(Operation, &[Technique]); 6] = [
    (
        Operation::Mount,
        &[
            ("Mount-bind", "`mount` with `MS_BIND`"),
            ("Mount-move", "`mount` with `MS_MOVE`"),
            ("Mount-remount", "`mount` with `MS_REMOUNT`"),
            ("Mount-propagation", "`mount` with `MS_PRIVATE`"),
            ("Mount-unmount", "`umount2`"),
            ("Mount-pivot", "`pivot_root`"),
            (
                IN_NAMESPACE,
                "`mount` as root of a new user namespace, without any capability outside",
            ),
            ("Mount-fsopen", "`fsopen`"),
            ("Mount-fsopen-32-bit", "`fsopen` as a 32-bit system call"),
            ("Mount-fspick", "`fspick`"),
            ("Mount-open-tree", "`open_tree` with `OPEN_TREE_CLONE`"),
            (OPEN_TREE_ATTR, "`open_tree_attr`"),
            ("Mount-setattr", "`mount_setattr`"),
            ("Mount-move-mount", "`move_mount`"),
            (
                "Mount-new-api",
                "`fsopen`, `fsconfig`, `fsmount`, `move_mount`",
            ),
        ],
    ),
    (
        Operation::Ptrace,
        &[
            ("Ptrace-seize", "`PTRACE_SEIZE`"),
            ("Ptrace-traceme", "`PTRACE_TRACEME`"),
            ("Ptrace-vm-read", "`process_vm_readv`"),
            ("Ptrace-vm-write", "`process_vm_writev`"),
            (MEMORY, "`/proc/PID/mem`"),
            ("Ptrace-pidfd-getfd", "`pidfd_getfd`"),
        ],
    ),
    (
        Operation::Bpf,
        &[(
            "Bpf-next-program",
            "`bpf(BPF_PROG_GET_NEXT_ID)`, to find the programs of others",
        )],
    ),
    (
        Operation::UserNamespace,
        &[
            ("UserNamespace-clone", "`clone` with `CLONE_NEWUSER`"),
            ("UserNamespace-clone3", "`clone3` with `CLONE_NEWUSER`"),
        ],
    ),
    (
        Operation::ModuleLoad,
        &[
            ("ModuleLoad-init", "`init_module`"),
            ("ModuleLoad-kexec", "`kexec_load`"),
        ],
    ),
    (
        Operation::IoUring,
        &[(
            REGISTERED,
            "`io_uring_setup` of a ring that never has a descriptor",
        )],
    ),
];

/// A mount that needs no capability, but a user namespace.
const IN_NAMESPACE: &str = "Mount-user-namespace";
/// `/proc/PID/mem`
const MEMORY: &str = "Ptrace-memory";
/// Since 6.15.
const OPEN_TREE_ATTR: &str = "Mount-open-tree-attr";
/// A ring without a descriptor, since 6.5.
const REGISTERED: &str = "IoUring-registered";
/// The kernel asks for a module, and goes on without.
const REQUEST: &str = "ModuleLoad-request";
/// What no restriction is about.
const HARMLESS: [&str; 3] = ["Mount-look", "proc-of-others", "proc-own-memory"];

pub(super) fn cases() -> Vec<Case> {
    let mut case = Case::new(EVERY_WAY, every_way);
    case.time_limit = Duration::from_mins(10);
    vec![case]
}

/// What a container was answered, by attempt, and what was reported of it.
struct Answers {
    errnos: BTreeMap<String, i32>,
    denials: Vec<Denial>,
}

/// Makes every attempt in a container under these restrictions.
fn attempt_all(context: &Context, mode: &str, restrict: &str) -> Result<Answers> {
    println!("== {mode}: {restrict}");
    let root = Root::new(
        context
            .scratch
            .join(format!("root-{mode}-{}", restrict.len())),
    )?;
    root.program(CALLER)?;
    // Of the container before.
    let _ = fs::remove_file(context.scratch.join("denials"));
    let policy = context.scratch.join("policy.yaml");
    fs::write(
        &policy,
        format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: restricted, namespace: test }}\n\
             spec: {{ selector: {{}}, mode: {mode}, restrict: {{ {restrict} }} }}\n"
        ),
    )?;
    let mut container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    let mut errnos = BTreeMap::new();
    let attempts = WAYS.iter().flat_map(|(operation, ways)| {
        let plain = [operation.name()];
        plain.into_iter().chain(ways.iter().map(|(name, _)| *name))
    });
    for name in attempts.chain([REQUEST]).chain(HARMLESS) {
        let errno = container.perform(CALLER, &["attempt", name])?;
        println!("{name}: {}", std::io::Error::from_raw_os_error(errno));
        errnos.insert(name.to_owned(), errno);
    }
    nobody_outside_notices()?;
    let denials = container.finish()?;
    Ok(Answers { errnos, denials })
}

/// The same calls outside of the container.
fn nobody_outside_notices() -> Result<()> {
    for name in ["Mount-fsopen", "Ptrace", "Bpf", "UserNamespace", "IoUring"] {
        let mut probe = Command::new(std::env::current_exe()?);
        let output = probe.args(["probe", "attempt", name]).output()?;
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(answer.trim() == "0", "{name} outside: {answer}");
    }
    Ok(())
}

fn every_way(context: &Context) -> Result<()> {
    let all = "mounts: Deny, ptrace: Deny, bpf: Deny, userNamespaces: Deny, moduleLoad: Deny, \
               ioUring: Deny";
    let dry = attempt_all(context, "Audit", all)?;
    let mut mistakes = Mistakes::default();
    for (name, errno) in &dry.errnos {
        mistakes.check(
            ![Errno::PERM, Errno::ACCESS]
                .map(Errno::raw_os_error)
                .contains(errno),
            || format!("{name} is refused in a dry run"),
        );
    }
    let restricted = [
        (
            "mounts: Deny, bpf: Deny, ioUring: Deny, ptrace: Allow",
            [Operation::Mount, Operation::Bpf, Operation::IoUring],
        ),
        (
            "ptrace: Deny, userNamespaces: Deny, moduleLoad: Deny",
            [
                Operation::Ptrace,
                Operation::UserNamespace,
                Operation::ModuleLoad,
            ],
        ),
    ];
    mistakes.reported(&dry, "would-deny", |_| true);
    for (restrict, denied) in restricted {
        let answers = attempt_all(context, "Enforce", restrict)?;
        mistakes.reported(&answers, "deny", |operation| denied.contains(&operation));
        for (operation, ways) in WAYS {
            for (name, _) in [(operation.name(), "")].iter().chain(ways) {
                let (without, errno) = (dry.errnos[*name], answers.errnos[*name]);
                let is_denied = denied.contains(&operation)
                    || *name == IN_NAMESPACE && denied.contains(&Operation::UserNamespace);
                let expected = if is_denied && !is_lacking(name, without) {
                    refusal(name).raw_os_error()
                } else {
                    without
                };
                mistakes.check(errno == expected, || {
                    let text = std::io::Error::from_raw_os_error;
                    format!(
                        "{restrict}: {name}: {} instead of {}",
                        text(errno),
                        text(expected)
                    )
                });
            }
        }
        for name in HARMLESS.iter().chain([&REQUEST]) {
            mistakes.check(answers.errnos[*name] == dry.errnos[*name], || {
                format!("{restrict}: {name}: errno {}", answers.errnos[*name])
            });
        }
    }
    for name in HARMLESS {
        mistakes.check(dry.errnos[name] == 0, || {
            format!("{name}: errno {}", dry.errnos[name])
        });
    }
    mistakes.end()
}

/// How an attempt is refused: the kernel has an errno of its own for `/proc/PID/mem`.
fn refusal(name: &str) -> Errno {
    match name {
        MEMORY => Errno::ACCESS,
        _ => Errno::PERM,
    }
}

/// The kernel doesn't know the call, or its flag, so that there is nothing to refuse.
fn is_lacking(name: &str, errno: i32) -> bool {
    let lacking = match name {
        OPEN_TREE_ATTR => errno == Errno::NOSYS.raw_os_error(),
        REGISTERED => errno == Errno::INVAL.raw_os_error(),
        _ => false,
    };
    if lacking {
        println!("{name} is not judged: this kernel doesn't have it");
    }
    lacking
}

#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn check(&mut self, holds: bool, mistake: impl FnOnce() -> String) {
        if !holds {
            self.0.push(mistake());
        }
    }

    /// Every restricted operation is reported by its rule and with its object, no other is.
    fn reported(
        &mut self,
        answers: &Answers,
        verdict: &str,
        is_restricted: impl Fn(Operation) -> bool,
    ) {
        let all = Operation::ALL.iter();
        for operation in all.filter(|operation| operation.category() == Category::Restrict) {
            let (rule, target) = match operation {
                Operation::Mount => ("restrict.mounts", Some("/tmp")),
                Operation::Ptrace => ("restrict.ptrace", Some("process ")),
                Operation::Bpf => ("restrict.bpf", Some("command 11")),
                Operation::UserNamespace => ("restrict.userNamespaces", None),
                Operation::ModuleLoad => ("restrict.moduleLoad", Some(CALLER)),
                _ => ("restrict.ioUring", None),
            };
            let about = |denial: &&Denial| denial.operation == operation.name();
            let lines: Vec<&Denial> = answers.denials.iter().filter(about).collect();
            let is_right = |line: &&Denial| {
                line.rule.as_deref() == Some(rule)
                    && line.verdict == verdict
                    && line.executable.as_deref() == Some(CALLER)
            };
            let is_named = |line: &&Denial| match (&line.target, target) {
                (Some(seen), Some(target)) => seen.starts_with(target),
                (seen, None) => seen.is_none(),
                (None, Some(_)) => false,
            };
            let right = if is_restricted(*operation) {
                lines.iter().all(is_right) && lines.iter().any(is_named)
            } else {
                lines.is_empty()
            };
            self.check(right, || {
                format!("reported of {}: {lines:?}", operation.name())
            });
        }
    }

    fn end(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("{}", self.0.join("\n"))
    }
}
