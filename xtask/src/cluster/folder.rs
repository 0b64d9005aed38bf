//! What a cluster has on the host's disk: keys, kubeconfigs, logs, etcd's data.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::command::run_quietly;
use crate::paths;

/// Until killed processes are gone: the nodes' memory has to be given back.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The folder of a cluster, which may not be there yet.
pub(super) struct Folder {
    name: String,
    path: PathBuf,
}

impl Folder {
    pub(super) fn of(name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(fits) {
            bail!("a cluster's name consists of a-z, 0-9 and -, unlike {name:?}");
        }
        Ok(Self {
            name: name.to_owned(),
            path: paths::target().join("clusters").join(name),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The path of a file of the cluster.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an empty folder. What a killed cluster has left there is removed.
    pub(super) fn make(&self) -> Result<()> {
        if self.is_up() {
            bail!(
                "cluster {name} is up: end it with `cargo xtask cluster --name {name} down`",
                name = self.name
            );
        }
        if self.exists() {
            self.remove()?;
        }
        for dir in ["keys", "logs", "stopped"] {
            paths::make(&self.file(dir))?;
        }
        Ok(())
    }

    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    }

    /// Held by the supervisor for as long as it lives.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.file("lock");
        let file = File::create(&path).with_context(|| format!("can't open {}", path.display()))?;
        file.try_lock()
            .with_context(|| format!("cluster {} has a supervisor", self.name))?;
        Ok(file)
    }

    pub(super) fn is_up(&self) -> bool {
        File::open(self.file("lock")).is_ok_and(|file| file.try_lock_shared().is_err())
    }

    /// The process whose network is the cluster's.
    pub(super) fn supervisor(&self) -> Result<String> {
        if !self.is_up() {
            bail!(
                "cluster {name} isn't up: boot it with `cargo xtask cluster --name {name} up`",
                name = self.name
            );
        }
        let path = self.file("pid");
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
    }

    /// Ends the cluster, if it is up.
    pub(super) fn end(&self) -> Result<()> {
        if !self.is_up() {
            return Ok(());
        }
        run_quietly(Command::new("kill").args(["-KILL", &self.supervisor()?]))?;
        let deadline = Instant::now() + PATIENCE;
        while self.is_up() {
            if Instant::now() > deadline {
                bail!(
                    "the processes of cluster {} don't end: {}",
                    self.name,
                    self.path.display()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the cluster and removes its folder.
    pub(super) fn remove(&self) -> Result<()> {
        self.end()?;
        fs::remove_dir_all(&self.path)
            .with_context(|| format!("can't remove {}", self.path.display()))
    }

    /// Copies the logs to where they outlive the cluster; returns the path.
    pub(super) fn keep_logs(&self) -> Result<PathBuf> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let kept = paths::target().join("cluster-logs");
        paths::make(&kept)?;
        let kept = kept.join(format!("{}-{}", self.name, now.as_secs()));
        run_quietly(
            Command::new("cp")
                .arg("--recursive")
                .args([&self.file("logs"), &kept]),
        )?;
        Ok(kept)
    }

    /// The names of all logs.
    pub(super) fn logs(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in list(&self.file("logs"))? {
            let name = path.file_stem().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn log_file(&self, name: &str) -> PathBuf {
        self.file(&format!("logs/{name}.log"))
    }

    pub(super) fn log(&self, name: &str) -> Result<String> {
        let path = self.log_file(name);
        let bytes = fs::read(&path).with_context(|| {
            let known = self.logs().unwrap_or_default().join(" ");
            format!("there is no log {name}, but there are: {known}")
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks the supervisor to end a server and not to start it.
    pub(super) fn stop_server(&self, server: &str) -> Result<()> {
        self.require_server(server)?;
        self.write(&format!("stopped/{server}"), "").map(|_| ())
    }

    /// Lets the supervisor start a server again.
    pub(super) fn start_server(&self, server: &str) -> Result<()> {
        self.require_server(server)?;
        let marker = self.file(&format!("stopped/{server}"));
        fs::remove_file(&marker).with_context(|| format!("{server} is not stopped"))
    }

    /// Whether a server has to be down.
    pub(super) fn is_stopped(&self, server: &str) -> bool {
        self.file(&format!("stopped/{server}")).exists()
    }

    fn require_server(&self, server: &str) -> Result<()> {
        self.supervisor()?;
        let plan = super::plan::Plan::read(self)?;
        let mut names = plan.servers.iter().map(|server| server.name.as_str());
        if !names.any(|name| name == server) {
            let names: Vec<_> = plan.servers.into_iter().map(|server| server.name).collect();
            bail!("there is no {server}, but there are: {}", names.join(" "));
        }
        Ok(())
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("can't list {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
