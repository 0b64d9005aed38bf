//! Proof that the kernel denies: a child of our own is refused what a built-in rule
//! map denies, with the errno that users will see.
//!
//! The same child does the same outside the cgroup first, so that a denial by anything
//! else (a `noexec` mount, another security module) isn't taken for ours.

mod prober;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bartizan_abi::limits::MAX_WORKLOADS;
use bartizan_abi::op::{FILE_OPS, Operation, Ops};
use bartizan_policy::compile::{CompileError, compile};
use bartizan_policy::rule_map::{Effect, Matcher, Mode, PolicyInfo, Rule, RuleMap};
use sha2::{Digest as _, Sha256};

use crate::bpf::{LoadError, MapError, NewTable};
use crate::cgroup::{Cgroup, CgroupError, Hierarchy};
use crate::engine::Maps;
use crate::mounts::{self, BindingHead, MountError, MountTable, Object, Visible};
pub use prober::Prober;

/// The workload number of the self-test: the last one, the first that others take is 1.
const WORKLOAD: u32 = MAX_WORKLOADS;

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
/// test alone.
pub fn run(
    maps: &mut impl Maps,
    hierarchy: &Hierarchy,
    prober: Prober,
    needed: Ops,
) -> Result<(), SelfTestError> {
    let with_files = needed & FILE_OPS != 0;
    let name = format!("bartizan-self-test-{}", std::process::id());
    let table = compile(&rules(&name, with_files)).map_err(SelfTestError::Compile)?;
    maps.require(
        crate::engine::judged(&table) & (needed | Operation::Exec.bit() | Operation::Read.bit()),
    )
    .map_err(SelfTestError::Hooks)?;
    let cgroup = hierarchy.create(&name).map_err(SelfTestError::Cgroup)?;
    let result = with_cgroup(maps, &cgroup, prober, &name, &table, with_files);
    let removed = cgroup.remove().map_err(SelfTestError::Cgroup);
    result.and(removed)
}

fn with_cgroup(
    maps: &mut impl Maps,
    cgroup: &Cgroup,
    prober: Prober,
    name: &str,
    table: &[u8],
    with_files: bool,
) -> Result<(), SelfTestError> {
    let numbers = maps
        .add_tables(&[NewTable {
            bytes: table,
            digest: Sha256::digest(table).into(),
        }])
        .map_err(SelfTestError::Maps)?;
    let number = numbers[0];
    let result = try_places(maps, cgroup, prober, name, (number, table), with_files);
    let mut clean_up = || {
        maps.unlabel(cgroup.id().0)?;
        maps.unbind(WORKLOAD)?;
        let counters = maps.counters()?.into_iter().map(|(key, _)| key);
        let own: Vec<_> = counters.filter(|key| key.workload == WORKLOAD).collect();
        maps.remove_counters(&own)?;
        maps.remove_table(number)
    };
    result.and(clean_up().map_err(SelfTestError::Maps))
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

/// Makes the file in the first directory from which it could be run, and tries.
fn try_places(
    maps: &mut impl Maps,
    cgroup: &Cgroup,
    mut prober: Prober,
    name: &str,
    (number, table): (u32, &[u8]),
    with_files: bool,
) -> Result<(), SelfTestError> {
    let places = [
        std::env::temp_dir(),
        "/run".into(),
        "/dev/shm".into(),
        "/var/tmp".into(),
        "/".into(),
    ];
    let visible = mounts::of_process(std::process::id()).map_err(SelfTestError::Mounts)?;
    for place in &places {
        let Some(file) = Scratch::create(place, name) else {
            continue;
        };
        let head = BindingHead {
            generation: u64::MAX,
            table: number,
            workload: WORKLOAD,
        };
        let binding =
            mounts_above(&visible, &file.0).and_then(|mounts| mounts.binding(table, head));
        let binding = binding.map_err(SelfTestError::Mounts)?;
        maps.bind(&binding).map_err(SelfTestError::Maps)?;
        maps.label(cgroup.id().0, WORKLOAD)
            .map_err(SelfTestError::Maps)?;
        let procs = cgroup.path().join("cgroup.procs");
        let found = prober
            .attempt(&procs, &file.0)
            .map_err(SelfTestError::Child)?;
        if found.control != [0, libc::ENOENT] {
            tracing::debug!(place = %place.display(), ?found, "no place for the self-test");
            continue;
        }
        return found.check(with_files);
    }
    let places: Vec<_> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    Err(SelfTestError::NoPlace(places.join(", ")))
}

/// The mounts on the way to a file; a host may have more than fit.
fn mounts_above(visible: &[Visible], file: &Path) -> Result<MountTable, MountError> {
    let above = |mount: &&Visible| {
        let point = Path::new(std::ffi::OsStr::from_bytes(&mount.info.point));
        mount.object == Object::Directory && file.starts_with(point)
    };
    MountTable::new(&visible.iter().filter(above).cloned().collect::<Vec<_>>())
}

/// An executable file that goes with the value. Its interpreter doesn't exist, so that
/// running it is harmless and ends with ENOENT where nothing denies it.
struct Scratch(PathBuf);

impl Scratch {
    fn create(place: &Path, name: &str) -> Option<Self> {
        let path = place.canonicalize().ok()?.join(name);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)
            .ok()?;
        let scratch = Self(path);
        file.write_all(
            b"#!/nonexistent/bartizan-self-test
",
        )
        .ok()?;
        Some(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::prober::Attempt;
    use super::*;

    fn attempt(denied: [i32; 2]) -> Attempt {
        Attempt {
            control: [0, libc::ENOENT],
            denied,
        }
    }

    #[test]
    fn only_eacces_is_a_denial() {
        assert!(attempt([libc::EACCES; 2]).check(true).is_ok());
        let error = attempt([0, libc::EACCES])
            .check(true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("(reading a file: success instead of EACCES)"),
            "{error}"
        );
        let error = attempt([libc::EACCES, libc::ENOENT])
            .check(true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("(running a program: No such file"),
            "{error}"
        );
    }

    #[test]
    fn reading_counts_only_if_policies_judge_files() {
        assert!(attempt([0, libc::EACCES]).check(false).is_ok());
    }

    #[test]
    fn the_built_in_rules_compile() {
        for with_files in [false, true] {
            let table = compile(&rules("bartizan-self-test-1", with_files)).unwrap();
            let judged = crate::engine::judged(&table);
            assert!(judged & Operation::Exec.bit() != 0);
            assert_eq!(judged & Operation::Read.bit() != 0, with_files);
        }
    }

    #[test]
    fn only_mounts_on_the_way_to_the_file_are_needed() {
        let visible = mounts::of_process(std::process::id()).unwrap();
        let table = mounts_above(&visible, Path::new("/file")).unwrap();
        assert!(table.len() <= 2, "{}", table.len());
    }
}
