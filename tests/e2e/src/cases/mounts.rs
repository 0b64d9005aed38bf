//! Volumes: what is mounted when a container starts has its mount point's name.
//!
//! Kubelets mount files (`/etc/hosts`, a key of a config map) as well as directories, so
//! both must be judged alike, by every hook.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::Denial;
use rustix::fs::{XattrFlags, setxattr};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};

const CALLER: &str = "/bin/probe";
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
/// The case about lists of files on overlayfs.
const LISTS: &str = "mounts/overlayfs_works_with_a_list_of_files";
const OVERLAY: &str = "mounts/overlayfs_works_without_capabilities_for_the_container";

const POLICY: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: volumes, namespace: test }
spec:
  selector: {}
  mode: Enforce
  process:
    deny:
      - paths: [/opt/tool, '**/denied-tool']
  files:
    deny:
      - paths: [/etc/denied, /srv/data, '/srv/data/**', '**/*.key']
";

/// Mount point, and what is mounted there.
const VOLUMES: [(&str, &str); 8] = [
    ("/etc/denied", "file"),
    ("/etc/allowed", "file"),
    ("/run/tls/server.key", "file"),
    ("/opt/tool", "program"),
    ("/opt/denied-tool", "program"),
    ("/opt/good", "program"),
    ("/srv/data", "directory"),
    ("/srv/other", "directory"),
];
/// What can be done to a file, and the answer where no rule says no.
const ON_FILES: [(&str, i32); 8] = [
    ("read", 0),
    ("write", 0),
    ("append", 0),
    ("truncate", 0),
    ("chmod", 0),
    ("chown", 0),
    // A mount point can't be removed or moved, but the rules are asked first.
    ("delete", EBUSY),
    ("rename", EBUSY),
];

pub(super) fn cases() -> Vec<Case> {
    let mut case = Case::new("mounts/volumes_have_names", volumes_have_names);
    case.time_limit = Duration::from_mins(5);
    let mut overlay = Case::new(OVERLAY, overlay_works);
    overlay.time_limit = Duration::from_mins(5);
    let mut lists = Case::new(LISTS, lists_work);
    lists.time_limit = Duration::from_mins(5);
    vec![case, overlay, lists]
}

fn volumes_have_names(context: &Context) -> Result<()> {
    own_mounts()?;
    let root = Root::new(context.scratch.join("root"))?;
    root.program(CALLER)?;
    // Each from a place of its own: one file at two places has two names.
    let volumes = Root::at(context.scratch.join("volumes"));
    for (number, (point, kind)) in VOLUMES.into_iter().enumerate() {
        let source = format!("/{number}/volume");
        match kind {
            "file" => volumes.file(&source)?,
            "program" => volumes.program(&source)?,
            _ => {
                volumes.file(&format!("{source}/below/file"))?;
                root.directory(point)?;
            }
        }
        if kind != "directory" {
            root.file(point)?;
        }
        bind(&volumes.outside(&source), &root.outside(point))?;
    }
    let policy = context.scratch.join("policy.yaml");
    fs::write(&policy, POLICY)?;
    let mut expected = Vec::new();
    for (operation, otherwise) in ON_FILES {
        for (path, answer) in [
            ("/etc/denied", EACCES),
            ("/etc/allowed", otherwise),
            ("/run/tls/server.key", EACCES),
        ] {
            expected.push((format!("file {operation} {path}"), answer));
        }
    }
    // Not renamed: its new name would be on another mount, which is no case for rules.
    for operation in ["read", "write", "truncate", "chmod", "delete"] {
        expected.push((format!("file {operation} /srv/data/below/file"), EACCES));
    }
    for (path, answer) in [("/srv/data", EACCES), ("/srv/other", 0)] {
        for operation in ["read", "chmod", "chown"] {
            expected.push((format!("file {operation} {path}"), answer));
        }
    }
    for (path, answer) in [
        ("/opt/tool", EACCES),
        ("/opt/denied-tool", EACCES),
        ("/opt/good", 0),
    ] {
        expected.push((format!("exec {path}"), answer));
        expected.push((format!("map {path}"), answer));
    }
    let mut container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    let mut mistakes = Vec::new();
    for (operation, expected) in &expected {
        let words: Vec<&str> = operation.split(' ').collect();
        let answer = container.perform(CALLER, &words)?;
        if answer != *expected {
            mistakes.push(format!("{operation}: {answer} instead of {expected}"));
        }
    }
    container.finish()?;
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(())
}

/// A container on overlayfs, as all are, that may use no capability. What overlayfs does
/// for itself takes some, in the container's tasks: reading the attribute that hides a
/// directory's lower layers, and copying up a file of another owner.
fn overlay_works(context: &Context) -> Result<()> {
    let root = on_overlay(context)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(
        &policy,
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
         metadata: { name: powerless, namespace: test }\n\
         spec: { selector: {}, mode: Enforce, capabilities: { default: Deny } }\n",
    )?;
    let mut container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    let mut perform = |operation: &str| {
        let words: Vec<&str> = operation.split(' ').collect();
        container.perform(CALLER, &words)
    };
    for (operation, expected) in [
        ("file read /hidden/other", 0),
        ("file read /hidden/file", ENOENT),
        ("file write /etc/of-another-owner", 0),
        ("file delete /hidden/other", 0),
        ("capability SYS_ADMIN", EPERM),
        ("capability CHOWN", EPERM),
    ] {
        let answer = perform(operation)?;
        ensure!(
            answer == expected,
            "{operation}: {answer} instead of {expected}"
        );
    }
    let denials = container.finish()?;
    let denied: BTreeSet<_> = denials.iter().map(|one| one.target.as_deref()).collect();
    ensure!(
        denied == BTreeSet::from([Some("SYS_ADMIN"), Some("CHOWN")]),
        "{denials:?}"
    );
    Ok(())
}

/// A container whose files are listed: what overlayfs opens for itself is in no list, and what
/// has no name any more is in the list that it was in.
fn lists_work(context: &Context) -> Result<()> {
    let root = on_overlay(context)?;
    let policy = context.scratch.join("policy.yaml");
    fs::write(
        &policy,
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
         metadata: { name: listed, namespace: test }\n\
         spec:\n  selector: {}\n  mode: Enforce\n  files:\n    default: Deny\n    allow:\n      \
         - paths: [/hidden, '/hidden/**', '/etc/**', '/tmp/**', /tmp, '/dev/**', '/proc/**', \
         '/bin/**']\n",
    )?;
    let mut container = Container::start(context, &policy, &Identity::default(), &root, CALLER)?;
    let mut mistakes = Vec::new();
    for (operation, expected) in [
        ("file read /hidden", 0),
        ("file read /hidden/other", 0),
        ("file append /hidden/other", 0),
        ("file write /etc/of-another-owner", 0),
        ("file chmod /etc/of-nobody", 0),
        ("file delete /hidden/other", 0),
        ("file read /secret", EACCES),
        ("file write /secret", EACCES),
        ("attempt temporary-files", 0),
    ] {
        let words: Vec<&str> = operation.split(' ').collect();
        let answer = container.perform(CALLER, &words)?;
        if answer != expected {
            mistakes.push(format!("{operation}: {answer} instead of {expected}"));
        }
    }
    let denials = container.finish()?;
    let ours = |denial: &&Denial| denial.target.as_deref() != Some("/secret");
    mistakes.extend(denials.iter().filter(ours).map(|one| format!("{one:?}")));
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(())
}

/// A root on an overlay of three layers.
fn on_overlay(context: &Context) -> Result<Root> {
    own_mounts()?;
    let layers = Root::at(context.scratch.join("layers"));
    layers.program(&format!("/lower{CALLER}"))?;
    layers.file("/lower/hidden/file")?;
    layers.file("/lower/etc/of-another-owner")?;
    layers.file("/lower/etc/of-nobody")?;
    layers.file("/lower/secret")?;
    layers.file("/middle/hidden/other")?;
    for directory in ["/upper", "/work", "/root"] {
        layers.directory(directory)?;
    }
    let hidden = layers.outside("/middle/hidden");
    setxattr(hidden, "trusted.overlay.opaque", b"y", XattrFlags::empty()).context("hide")?;
    let at = |name: &str| layers.outside(name).display().to_string();
    let options = format!(
        "lowerdir={}:{},upperdir={},workdir={}",
        at("/middle"),
        at("/lower"),
        at("/upper"),
        at("/work")
    );
    let options = CString::new(options)?;
    let flags = MountFlags::empty();
    let merged = layers.outside("/root");
    mount("overlay", &merged, "overlay", flags, Some(&*options)).context("mount an overlay")?;
    Root::new(merged)
}

fn own_mounts() -> Result<()> {
    // SAFETY: this process has no other threads, and it takes no memory apart.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("make mounts private")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount_bind(from, to).with_context(|| format!("mount {}", to.display()))
}
