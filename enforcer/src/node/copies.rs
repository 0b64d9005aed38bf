//! What the API server said last, on disk: so that after a restart every known pod is
//! enforced as before, whether the API server answers or not.
//!
//! ```text
//!   DIR/v1/pods/UID.json        a PodEnforcement: where it is and its spec
//!   DIR/v1/rulemaps/NAME.json   a rule map; its name is the digest of its content
//! ```
//!
//! A file is complete or not there: it is written beside, made durable and renamed. What is
//! torn all the same, or of another version, is named and ignored. A disk that is full
//! costs the copy, never what is enforced, so a thread of its own writes, and tries again
//! until the copy is right.

mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;

use bartizan_crds::{PodEnforcementSpec, RuleMapSpec};
use bartizan_policy::rule_map::RuleMap;
use serde::{Deserialize, Serialize};
use writer::{Job, Writer};

use super::keys::PodKey;
use super::pods::Wanted;
use super::rule_maps::verify;
use crate::kubepods::PodUid;

/// The format of the files; others are ignored.
const VERSION: u32 = 1;

/// A `PodEnforcement` as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodFile {
    version: u32,
    namespace: String,
    name: String,
    owner: Option<String>,
    spec: PodEnforcementSpec,
}

/// The directory, and the thread that writes there.
#[derive(Debug)]
pub struct Copies {
    pods: PathBuf,
    rule_maps: PathBuf,
    jobs: mpsc::Sender<Job>,
    errors: Arc<AtomicU64>,
}

impl Copies {
    /// Opens the directory, which is made if it isn't there.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let root = dir.join(format!("v{VERSION}"));
        let (pods, rule_maps) = (root.join("pods"), root.join("rulemaps"));
        for dir in [&pods, &rule_maps] {
            fs::create_dir_all(dir)?;
        }
        let (jobs, todo) = mpsc::channel();
        let errors = Arc::new(AtomicU64::new(0));
        let failed = Arc::clone(&errors);
        thread::Builder::new()
            .name("copies".to_owned())
            .spawn(move || Writer::new(failed).run(&todo))?;
        Ok(Self {
            pods,
            rule_maps,
            jobs,
            errors,
        })
    }

    /// Failed attempts to write or remove a file.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// All pods that were known.
    pub fn pods(&self) -> Vec<(PodKey, Wanted)> {
        let read = |path: PathBuf| match read_pod(&path) {
            Ok(pod) => Some(pod),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "ignored");
                None
            }
        };
        files(&self.pods).into_iter().filter_map(read).collect()
    }

    /// The rule map of that name, if there is a whole copy.
    pub fn rule_map(&self, name: &str) -> Option<RuleMap> {
        let path = self.rule_map_path(name)?;
        let bytes = fs::read(&path).ok()?;
        let spec = serde_json::from_slice::<RuleMapSpec>(&bytes);
        let map = spec
            .map_err(|error| error.to_string())
            .and_then(|spec| verify(name, &spec).map_err(|error| error.to_string()));
        map.inspect_err(|error| tracing::warn!(path = %path.display(), error, "ignored"))
            .ok()
    }

    /// Keeps what the API server says of a pod.
    pub fn save_pod(&self, key: &PodKey, uid: PodUid, wanted: &Wanted) {
        let file = PodFile {
            version: VERSION,
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            owner: wanted.owner.clone(),
            spec: wanted.spec.clone(),
        };
        self.save(self.pod_path(uid), &file);
    }

    /// Keeps a rule map that was verified.
    pub fn save_rule_map(&self, name: &str, spec: &RuleMapSpec) {
        if let Some(path) = self.rule_map_path(name) {
            self.save(path, spec);
        }
    }

    /// Forgets a pod.
    pub fn remove_pod(&self, uid: PodUid) {
        self.send(Job::Change(self.pod_path(uid), None));
    }

    /// Forgets all rule maps but those that are used.
    pub fn keep_rule_maps(&self, is_used: impl Fn(&str) -> bool) {
        for path in files(&self.rule_maps) {
            let name = path.file_stem().and_then(|name| name.to_str());
            if !name.is_some_and(&is_used) {
                self.send(Job::Change(path, None));
            }
        }
    }

    /// Waits until everything is on disk, or was tried.
    pub fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        self.send(Job::Flush(done));
        let _ = wait.recv();
    }

    fn pod_path(&self, uid: PodUid) -> PathBuf {
        self.pods.join(format!("{uid}.json"))
    }

    /// Names come from elsewhere: only digests are taken for file names.
    fn rule_map_path(&self, name: &str) -> Option<PathBuf> {
        let is_digest = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| self.rule_maps.join(format!("{name}.json")))
    }

    fn save(&self, path: PathBuf, content: &impl Serialize) {
        let bytes = serde_json::to_vec(content).expect("API types are JSON");
        self.send(Job::Change(path, Some(bytes)));
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            self.errors.fetch_add(1, Relaxed);
        }
    }
}

/// Removes what enforcers of any version have kept in a directory, and the directory if
/// nothing else is in it; false if there was nothing.
pub fn remove(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    let is_version = |name: &str| {
        let number = name.strip_prefix('v');
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let mut was_there = false;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_version) {
            fs::remove_dir_all(entry.path())?;
            was_there = true;
        }
    }
    // Others may have something there, and in a container it is a mount point.
    let _ = fs::remove_dir(dir);
    Ok(was_there)
}

fn read_pod(path: &Path) -> Result<(PodKey, Wanted), String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    // First, since the rest of another version may be anything.
    let found: Version = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if found.version != VERSION {
        return Err(format!("it has version {}, not {VERSION}", found.version));
    }
    let file: PodFile = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let key = PodKey {
        namespace: file.namespace,
        name: file.name,
    };
    let (owner, spec) = (file.owner, file.spec);
    Ok((key, Wanted { owner, spec }))
}

/// The whole files of a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use bartizan_policy::published;

    use super::*;

    const UID: &str = "0d8a4a2c-5d7e-4c1b-9b8e-6f1f0a9d3c11";

    fn key() -> PodKey {
        PodKey {
            namespace: "shop".into(),
            name: "web-1".into(),
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            owner: Some("owner".into()),
            spec: PodEnforcementSpec {
                pod_uid: UID.into(),
                ..PodEnforcementSpec::default()
            },
        }
    }

    #[test]
    fn what_was_known_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let uid = UID.parse().unwrap();
        let spec = RuleMapSpec::default();
        let name = published::name(&spec);
        let copies = Copies::open(dir.path()).unwrap();
        copies.save_pod(&key(), uid, &wanted());
        copies.save_rule_map(&name, &spec);
        copies.flush();
        let copies = Copies::open(dir.path()).unwrap();
        assert_eq!(copies.pods(), [(key(), wanted())]);
        assert_eq!(copies.rule_map(&name), Some(RuleMap::default()));
        copies.remove_pod(uid);
        copies.keep_rule_maps(|used| used != name);
        copies.flush();
        assert!(copies.pods().is_empty());
        assert_eq!(copies.rule_map(&name), None);
        assert_eq!(copies.errors(), 0);
    }

    #[test]
    fn what_is_torn_or_of_another_version_or_forged_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path()).unwrap();
        copies.save_pod(&key(), UID.parse().unwrap(), &wanted());
        copies.flush();
        let whole = fs::read(copies.pod_path(UID.parse().unwrap())).unwrap();
        let pods = dir.path().join("v1/pods");
        fs::write(pods.join("torn.json"), &whole[..whole.len() / 2]).unwrap();
        fs::write(pods.join("later.json"), br#"{"version":2,"x":[]}"#).unwrap();
        fs::write(pods.join("half.new"), b"{").unwrap();
        assert_eq!(copies.pods().len(), 1);
        let forged = dir.path().join("v1/rulemaps/0123.json");
        fs::write(forged, br#"{"policies":[]}"#).unwrap();
        assert_eq!(copies.rule_map("0123"), None);
        assert_eq!(copies.rule_map("../pods/torn"), None);
    }

    #[test]
    fn only_what_enforcers_keep_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(!remove(&state).unwrap());
        let copies = Copies::open(&state).unwrap();
        copies.save_pod(&key(), UID.parse().unwrap(), &wanted());
        copies.flush();
        fs::write(state.join("vital"), "").unwrap();
        assert!(remove(&state).unwrap());
        assert!(!state.join("v1").exists() && state.join("vital").exists());
        assert!(!remove(&state).unwrap());
        fs::remove_file(state.join("vital")).unwrap();
        fs::create_dir_all(state.join("v7")).unwrap();
        assert!(remove(&state).unwrap());
        assert!(!state.exists());
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_counted_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path()).unwrap();
        fs::remove_dir(dir.path().join("v1/pods")).unwrap();
        copies.save_pod(&key(), UID.parse().unwrap(), &wanted());
        copies.flush();
        assert_eq!(copies.errors(), 1);
    }
}
