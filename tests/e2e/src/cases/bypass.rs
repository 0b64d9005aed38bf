//! Ways around a rule: names that lead to the same object must not help, and nobody
//! outside of the container may notice anything.

mod attempts;

use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_samples::{Denial, SERVE};
use rustix::io::Errno;
use rustix::net::{self, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};
use crate::kernel;
use crate::probe::{self, ODD, SECRET, TOOL, VAULT};
use attempts::ALLOWED;
pub(super) use attempts::{CAPABLE, NOT_PERMITTED, REFUSED};

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: bypass, namespace: test }
spec:
  selector: {}
  mode: Enforce
  process:
    deny:
      - { name: no-tool, paths: [/bin/tool, /bin/dynamic] }
      - { name: no-library, paths: [/lib/denied.so, /usr/lib/denied.so] }
      - { name: no-script, paths: [/bin/denied-script] }
  network:
    default: Deny
    allow:
      - { unix: ['/tmp/**'] }
      - { operations: [Send], addresses: [127.0.0.9] }
      - { operations: [Connect], addresses: [127.0.0.10] }
      - { operations: [Bind], addresses: [127.0.0.1, 127.0.0.12] }
      - { operations: [Connect], protocols: [UDP], addresses: [127.0.0.1] }
      - { operations: [Connect], protocols: [TCP], addresses: ['::1'] }
      - { sockets: [Raw] }
  files:
    deny:
      - { name: no-reading, paths: [/data/secret, /data/deleted, '/data/odd/*x'], operations: [Read] }
      - { name: nothing-at-all, paths: [/data/vault/**] }
      - { name: not-by-heirs, paths: [/data/kept], operations: [Write], from: [/bin/good] }
";

/// The case that makes all of these attempts.
pub(super) const NAMES: &str = "bypass/no_other_name_leads_around_a_rule";

/// The case about capabilities.
pub(super) const CREDENTIALS: &str = "bypass/no_credentials_bring_a_capability_back";

/// The copy of the probe that makes the attempts.
const CALLER: &str = "/bin/probe";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "bypass/a_passed_descriptor_is_judged_as_if_opened",
            passed_descriptors,
        ),
        Case::new(NAMES, no_other_name_leads_around),
        Case::new(CREDENTIALS, no_credentials_lead_around),
        Case::new(
            "bypass/tables_in_the_kernel_can_not_be_changed",
            tables_stay,
        ),
        Case::new(
            "bypass/unmanaged_processes_notice_nothing",
            unmanaged_notice_nothing,
        ),
    ];
    for case in &mut cases {
        case.time_limit = Duration::from_mins(5);
    }
    cases
}

fn start(context: &Context) -> Result<(Root, Container)> {
    let root = Root::new(context.scratch.join("root"))?;
    for program in [CALLER, TOOL, "/bin/good"] {
        root.program(program)?;
    }
    // The kernel calls INTERPRETER ARGUMENT SCRIPT.
    root.script("/bin/denied-script", "#!/bin/good probe\n")?;
    root.script("/bin/script-of-tool", "#!/bin/tool probe\n")?;
    root.script("/bin/good-script", "#!/bin/good probe\n")?;
    root.file(SECRET)?;
    root.file(probe::DELETED)?;
    root.directory("/data/odd")?;
    fs::write(
        root.outside("/data/odd").join(OsStr::from_bytes(ODD)),
        "content",
    )?;
    root.file(probe::KEPT)?;
    root.file(&format!("{VAULT}/file"))?;
    root.directory(&format!("{VAULT}/inside"))?;
    dynamic_programs(&root)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    Ok((root, container))
}

/// A loader with two programs that need it, as the guest has them.
fn dynamic_programs(root: &Root) -> Result<()> {
    for directory in [
        "/lib64",
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
    ] {
        if !Path::new(directory).is_dir() {
            continue;
        }
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_file() {
                root.copy(&path, &path.to_string_lossy())?;
            }
        }
    }
    let library = Path::new("/lib/x86_64-linux-gnu/libc.so.6");
    root.copy(library, probe::LIBRARY)?;
    root.copy(Path::new("/opt/host/true"), "/bin/dynamic")?;
    root.copy(Path::new("/opt/host/true"), "/bin/good-dynamic")
}

fn no_other_name_leads_around(context: &Context) -> Result<()> {
    let (root, mut container) = start(context)?;
    let listener = UnixListener::bind(root.outside(probe::PEER))?;
    let by_name = SocketAddr::from_abstract_name(probe::ABSTRACT_PEER)?;
    let peers = (listener, UnixListener::bind_addr(&by_name)?);
    let mut mistakes = Vec::new();
    let expected = REFUSED
        .iter()
        .flat_map(|(_, ways)| ways.iter().map(|(name, _)| (*name, Errno::ACCESS)))
        .chain(NOT_PERMITTED.iter().map(|(name, _)| (*name, Errno::PERM)))
        .map(|(name, errno)| (name, errno.raw_os_error()));
    for (name, expected) in expected.chain(ALLOWED.iter().map(|name| (*name, 0))) {
        if name == "mounted-for-others" && !can_map_owners() {
            println!("skipped: {name}, as this kernel can't map owners in tmpfs");
            continue;
        }
        match container.perform(CALLER, &["attempt", name]) {
            Ok(errno) if errno == expected => {}
            Ok(errno) => {
                let text = std::io::Error::from_raw_os_error(errno);
                mistakes.push(format!("{name}: {text} instead of {expected}"));
            }
            Err(error) => mistakes.push(format!("{name}: {error:#}")),
        }
    }
    drop(peers);
    let denials = container.finish()?;
    let rules = REFUSED.iter().map(|(rule, _)| *rule);
    for rule in rules.chain(["network.default"]) {
        let by = |denial: &&Denial| denial.rule.as_deref() == Some(rule);
        let Some(_) = denials.iter().find(by) else {
            mistakes.push(format!("{rule} is in no denial"));
            continue;
        };
        for denial in denials.iter().filter(by) {
            if denial.verdict != "deny" {
                mistakes.push(format!("{rule} is named for {denial:?}"));
            }
        }
    }
    // Whatever name it was tried by, it is reported by the one that rules know.
    for (operation, target) in [("Read", SECRET), ("Exec", TOOL), ("Map", TOOL)] {
        let seen = denials.iter().any(|denial| {
            denial.operation == operation && denial.target.as_deref() == Some(target)
        });
        if !seen {
            mistakes.push(format!("no {operation} of {target} is reported"));
        }
    }
    // Its end by a signal alone could be a mistake of the program.
    let by_interpreter = |denial: &Denial| {
        denial.target.as_deref() == Some(TOOL)
            && denial.executable.as_deref() == Some(probe::THROUGH_INTERPRETER)
    };
    if !denials.iter().any(by_interpreter) {
        mistakes.push(format!("{TOOL} as an interpreter is in no denial"));
    }
    for denial in &denials {
        let target = denial.target.as_deref().unwrap_or_default();
        if denial.verdict == "deny" && (target.starts_with("/tmp") || target.starts_with('?')) {
            mistakes.push(format!(
                "reported under a name that no rule knows: {denial:?}"
            ));
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        bail!("{}", mistakes.join("\n"))
    }
}

/// tmpfs, on which the container's root is, can have other owners in a mount since 6.3.
fn can_map_owners() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split('.').map(str::parse::<u32>);
    let version = [(); 2].map(|()| numbers.next().and_then(Result::ok));
    version >= [Some(6), Some(3)]
}

/// Root on the node opens every map by its number; what was compiled from policies it can
/// only read.
fn tables_stay(context: &Context) -> Result<()> {
    let (_root, mut container) = start(context)?;
    let answers = kernel::change_tables()?;
    let refused = Some(Errno::PERM.raw_os_error());
    ensure!(
        !answers.is_empty() && answers.iter().all(|answer| *answer == refused),
        "{answers:?}"
    );
    let answer = container.perform(CALLER, &["attempt", "read"])?;
    ensure!(answer == Errno::ACCESS.raw_os_error(), "{answer}");
    container.finish()?;
    Ok(())
}

/// What takes a capability, with credentials that are not the task's own or in a task that
/// isn't the program's.
fn no_credentials_lead_around(context: &Context) -> Result<()> {
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    root.file(probe::PRIVATE)?;
    let nobody_but_its_owner = fs::Permissions::from_mode(0o600);
    fs::set_permissions(root.outside(probe::PRIVATE), nobody_but_its_owner)?;
    let policy = context.scratch.join("policy.yaml");
    let mut answers = Vec::new();
    for capabilities in ["SYS_CHROOT", "DAC_OVERRIDE, DAC_READ_SEARCH"] {
        let text = format!(
            "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: powers, namespace: test }}\nspec: {{ selector: {{}}, \
             mode: Enforce, capabilities: {{ deny: [{{ capabilities: [{capabilities}] }}] }} }}\n"
        );
        fs::write(&policy, text)?;
        let mut container =
            Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
        for (name, _) in CAPABLE {
            answers.push(container.perform(CALLER, &["attempt", name])?);
        }
        container.finish()?;
    }
    let denied = Errno::ACCESS.raw_os_error();
    ensure!(answers == [0, 0, 0, denied, denied, denied], "{answers:?}");
    Ok(())
}

/// What the container must not read, and what it may, sent by somebody outside.
fn passed_descriptors(context: &Context) -> Result<()> {
    let (root, mut container) = start(context)?;
    let listener = UnixListener::bind(root.outside(probe::GIVER))?;
    for (path, expected) in [(SECRET, Errno::ACCESS.raw_os_error()), (probe::KEPT, 0)] {
        let file = fs::File::open(root.outside(path))?;
        let listener = listener.try_clone()?;
        let giver = thread::spawn(move || give(&listener, &file));
        let answer = container.perform(CALLER, &["attempt", "receive"]);
        giver.join().ok().context("the giver panicked")??;
        let answer = answer?;
        ensure!(answer == expected, "{path}: {answer} instead of {expected}");
    }
    // A pipe's end is no file.
    let (end, _other) = std::io::pipe()?;
    let giver = thread::spawn(move || give(&listener, &end));
    let answer = container.perform(CALLER, &["attempt", "receive"]);
    giver.join().ok().context("the giver panicked")??;
    ensure!(answer? == 0, "a pipe was refused");
    let denials = container.finish()?;
    let expected =
        |denial: &Denial| denial.operation == "Read" && denial.target.as_deref() == Some(SECRET);
    ensure!(denials.iter().any(expected), "not reported: {denials:?}");
    Ok(())
}

/// Sends a descriptor to whoever connects first.
fn give(listener: &UnixListener, file: &impl AsFd) -> Result<()> {
    let (stream, _) = listener.accept()?;
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(
        control.push(SendAncillaryMessage::ScmRights(&files)),
        "no room for a descriptor"
    );
    net::sendmsg(
        &stream,
        &[std::io::IoSlice::new(b"x")],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

fn unmanaged_notice_nothing(context: &Context) -> Result<()> {
    let (root, mut container) = start(context)?;
    ensure!(
        container.perform(CALLER, &["file", "read", SECRET])? == Errno::ACCESS.raw_os_error(),
        "the rules are not in force"
    );
    // The very objects that the container may not touch, while it may not.
    fs::read(root.outside(SECRET)).context("read the secret")?;
    fs::write(root.outside("/data/vault/new"), "x").context("write into the vault")?;
    fs::remove_file(root.outside("/data/vault/new")).context("remove from the vault")?;
    let status = Command::new(root.outside(TOOL))
        .args(probe::NOTHING)
        .status()?;
    ensure!(status.success(), "the tool ended with {status}");
    fs::rename(root.outside("/data"), root.outside("/elsewhere")).context("rename")?;
    fs::rename(root.outside("/elsewhere"), root.outside("/data")).context("rename back")?;
    ensure!(
        container.perform(CALLER, &["file", "read", SECRET])? == Errno::ACCESS.raw_os_error(),
        "the rules are not in force any more"
    );
    // In a cgroup beside the container's, and as a neighbour of the enforcer.
    let beside = container.cgroup().with_file_name("beside");
    fs::create_dir_all(&beside)?;
    let mut child = Command::new(root.outside(CALLER));
    child.args(SERVE).stdin(std::process::Stdio::piped());
    let mut child = child.stdout(std::process::Stdio::piped()).spawn()?;
    fs::write(beside.join("cgroup.procs"), child.id().to_string())?;
    let answer = probe::ask(
        &mut child,
        &format!("file read {}", root.outside(SECRET).display()),
    );
    child.kill()?;
    child.wait()?;
    ensure!(answer? == "0", "a process beside the container was refused");
    let denials = container.finish()?;
    fs::remove_dir(beside)?;
    let ours = |denial: &&Denial| denial.executable.as_deref() != Some(CALLER);
    ensure!(
        !denials.iter().any(|denial| ours(&denial)),
        "somebody else's: {denials:?}"
    );
    Ok(())
}
