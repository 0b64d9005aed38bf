//! Proof that the kernel denies: a child of our own is refused what a built-in rule
//! map denies, with the errno that users will see.
//!
//! The same child does the same outside the cgroup first, so that a denial by anything
//! else (a `noexec` mount, another security module) isn't taken for ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bartizan_policy::compile::{CompileError, compile};
use bartizan_abi::limits::MAX_WORKLOADS;
use bartizan_abi::op::{FILE_OPS, Operation, Ops};
use bartizan_policy::rule_map::{Effect, Matcher, Mode, PolicyInfo, Rule, RuleMap};

use crate::bpf::{LoadError, MapError};
use crate::cgroup::{Cgroup, CgroupError, Hierarchy};
use crate::engine::Maps;
use crate::mounts::{self, BindingHead, MountError, MountTable};
use crate::sys::{Forked, Namespaces, fork};

/// The workload number of the self-test: the last one, the first that others take is 1.
const WORKLOAD: u32 = MAX_WORKLOADS - 1;

/// Why the kernel can't be said to enforce.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// It let something through, or denied it otherwise than it should.
    #[error(
        "the kernel did not deny what the self-test forbids ({operation}: {found} instead of \
         EACCES): enforcement does not work here"
    )]
    NotDenied {
        /// What was tried.
        operation: &'static str,
        /// How it ended.
        found: String,
    },
    /// No place for the file to try it on.
    #[error("the self-test found no directory to make an executable file in, tried {0}")]
    NoPlace(String),
    /// The built-in rules.
    #[error("the self-test's rules can't be compiled")]
    Compile(#[source] CompileError),
    /// The hooks.
    #[error("the self-test's kernel hooks can't be attached")]
    Hooks(#[source] LoadError),
    /// Kernel maps.
    #[error("the self-test can't change the kernel's maps")]
    Maps(#[source] MapError),
    /// Own mounts.
    #[error("the self-test can't read the enforcer's own mounts")]
    Mounts(#[source] MountError),
    /// The cgroup.
    #[error("the self-test has no cgroup")]
    Cgroup(#[source] CgroupError),
    /// The child.
    #[error("the self-test's child process failed")]
    Child(#[source] io::Error),
}

/// Runs the test. `needed`: the operations that the policies judge; reading a file is
/// tried only if some file operation is among them, so that no hook is attached for the
/// test alone. Call it before there are threads.
pub fn run(maps: &mut impl Maps, hierarchy: &Hierarchy, needed: Ops) -> Result<(), SelfTestError> {
    let with_files = needed & FILE_OPS != 0;
    let name = format!("bartizan-self-test-{}", std::process::id());
    let table = compile(&rules(&name, with_files)).map_err(SelfTestError::Compile)?;
    maps.require(
        crate::engine::judged(&table) & (needed | Operation::Exec.bit() | Operation::Read.bit()),
    )
    .map_err(SelfTestError::Hooks)?;
    let cgroup = hierarchy.create(&name).map_err(SelfTestError::Cgroup)?;
    let result = with_cgroup(maps, &cgroup, &name, &table, with_files);
    let removed = cgroup.remove().map_err(SelfTestError::Cgroup);
    result.and(removed)
}

fn with_cgroup(
    maps: &mut impl Maps,
    cgroup: &Cgroup,
    name: &str,
    table: &[u8],
    with_files: bool,
) -> Result<(), SelfTestError> {
    let visible = mounts::of_process(std::process::id()).map_err(SelfTestError::Mounts)?;
    let mounts = MountTable::new(&visible).map_err(SelfTestError::Mounts)?;
    let number = maps.add_table(table).map_err(SelfTestError::Maps)?;
    let head = BindingHead {
        generation: u64::MAX,
        table: number,
        workload: WORKLOAD,
    };
    let result = mounts
        .binding(table, head)
        .map_err(SelfTestError::Mounts)
        .and_then(|binding| {
            maps.bind(&binding).map_err(SelfTestError::Maps)?;
            let result = maps
                .label(cgroup.id().0, WORKLOAD)
                .map_err(SelfTestError::Maps)
                .and_then(|()| try_places(cgroup, name, with_files));
            maps.unlabel(cgroup.id().0).map_err(SelfTestError::Maps)?;
            maps.unbind(WORKLOAD).map_err(SelfTestError::Maps)?;
            result
        });
    let counters = maps.counters().map_err(SelfTestError::Maps)?;
    let own = |(key, _): &(_, u64)| -> Option<_> {
        let key: &bartizan_abi::maps::CounterKey = key;
        (key.workload == WORKLOAD).then_some(*key)
    };
    let keys: Vec<_> = counters.iter().filter_map(own).collect();
    maps.remove_counters(&keys).map_err(SelfTestError::Maps)?;
    maps.remove_table(number).map_err(SelfTestError::Maps)?;
    result
}

/// Denies running, and reading, the file of that name wherever it is.
fn rules(name: &str, with_files: bool) -> RuleMap {
    let pattern = || {
        format!("**/{name}")
            .parse()
            .expect("letters, digits and hyphens are a valid pattern")
    };
    let rule = |name: &str, matcher| Rule {
        policy: 0,
        name: name.to_owned(),
        effect: Effect::Deny,
        matcher,
        from: Vec::new(),
        except_from: Vec::new(),
        unless_owner: false,
    };
    let mut rules = vec![rule(
        "exec",
        Matcher::Process {
            paths: vec![pattern()],
        },
    )];
    if with_files {
        let operations = Operation::Read.bit();
        rules.push(rule(
            "read",
            Matcher::Files {
                paths: vec![pattern()],
                operations,
            },
        ));
    }
    let policy = PolicyInfo {
        namespace: None,
        name: "self-test".to_owned(),
        mode: Mode::Enforce,
        severity: None,
        message: None,
        tags: Vec::new(),
    };
    RuleMap {
        policies: vec![policy],
        rules,
    }
}

/// Makes the file in the first directory from which it could be run.
fn try_places(cgroup: &Cgroup, name: &str, with_files: bool) -> Result<(), SelfTestError> {
    let places = [
        std::env::temp_dir(),
        "/run".into(),
        "/dev/shm".into(),
        "/var/tmp".into(),
        "/".into(),
    ];
    for place in &places {
        let Ok(file) = Scratch::create(place.join(name)) else {
            continue;
        };
        let found = attempt(cgroup, &file.0).map_err(SelfTestError::Child)?;
        if found.control != [0, libc::ENOENT] {
            tracing::debug!(place = %place.display(), ?found, "no place for the self-test");
            continue;
        }
        let checks = [
            ("reading a file", found.denied[0]),
            ("running a program", found.denied[1]),
        ];
        for (operation, errno) in checks.into_iter().skip(usize::from(!with_files)) {
            if errno != libc::EACCES {
                let found = match errno {
                    0 => "success".to_owned(),
                    errno => io::Error::from_raw_os_error(errno).to_string(),
                };
                return Err(SelfTestError::NotDenied { operation, found });
            }
        }
        return Ok(());
    }
    let places: Vec<_> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    Err(SelfTestError::NoPlace(places.join(", ")))
}

/// An executable file that goes with the value. Its interpreter doesn't exist, so that
/// running it is harmless and ends with ENOENT where nothing denies it.
struct Scratch(PathBuf);

impl Scratch {
    fn create(path: PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)?;
        let scratch = Self(path);
        file.write_all(b"#!/nonexistent/bartizan-self-test\n")?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Errnos (0 for success) of reading and of running a file.
#[derive(Debug)]
struct Attempt {
    /// Outside the cgroup.
    control: [i32; 2],
    /// Inside.
    denied: [i32; 2],
}

fn attempt(cgroup: &Cgroup, file: &Path) -> io::Result<Attempt> {
    let procs = cgroup.procs().map_err(io::Error::other)?;
    let (mut results, report) = pipe()?;
    match fork(Namespaces::Same)? {
        Forked::Child => {
            let code = i32::from(child(&procs, file, report).is_err());
            std::process::exit(code)
        }
        Forked::Parent { pidfd, .. } => {
            drop(report);
            let mut bytes = Vec::new();
            results.read_to_end(&mut bytes)?;
            rustix::process::waitid(
                rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)),
                rustix::process::WaitIdOptions::EXITED,
            )?;
            let mut errnos = bytes
                .chunks_exact(4)
                .map(|chunk| i32::from_le_bytes(chunk.try_into().expect("chunks of four bytes")));
            let mut next = || {
                errnos
                    .next()
                    .ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))
            };
            Ok(Attempt {
                control: [next()?, next()?],
                denied: [next()?, next()?],
            })
        }
    }
}

fn child(mut procs: &File, file: &Path, mut report: PipeWriter) -> io::Result<()> {
    for inside in [false, true] {
        if inside {
            procs.write_all(b"0")?;
        }
        let read = File::open(file).err();
        // Returns only if it fails, which it always does.
        let run = Some(Command::new(file).exec());
        for error in [read, run] {
            let errno = error.map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
            report.write_all(&errno.to_le_bytes())?;
        }
    }
    Ok(())
}
