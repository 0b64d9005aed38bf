//! Package sources of our own: Debian suites that this machine's apt doesn't know.
//!
//! Lists, archives and sources live in the cache; the machine's apt configuration is
//! read (mirror, proxy) and never written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::packages::apt_get;
use crate::command::{output, run_quietly, say};
use crate::paths;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MAIN: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";
/// Lists younger than this are used as they are.
const FRESH: Duration = Duration::from_hours(6);

/// A set of suites.
#[derive(Clone, Copy, Debug)]
pub(super) enum Suites {
    /// Debian 12 with its security updates and backports.
    Bookworm,
    /// Newer kernels.
    TrixieBackports,
}

/// An apt of its own over some suites.
pub(super) struct PrivateApt {
    dir: PathBuf,
}

impl PrivateApt {
    /// Writes the sources and fetches the package lists unless they are fresh.
    pub(super) fn open(suites: Suites) -> Result<Self> {
        let (name, sources) = suites.sources();
        let apt = Self {
            dir: paths::cache()?.join("apt").join(name),
        };
        paths::make(&apt.dir.join("lists/partial"))?;
        paths::make(&apt.dir.join("archives/partial"))?;
        let list = apt.dir.join("sources.list");
        let stamp = apt.dir.join("updated");
        if fs::read_to_string(&list).is_ok_and(|old| old == sources) && is_fresh(&stamp) {
            return Ok(apt);
        }
        fs::write(&list, sources).with_context(|| format!("can't write {}", list.display()))?;
        say(format!("fetching the package lists of {name}"));
        run_quietly(apt.configure(apt_get()).arg("update"))?;
        fs::write(&stamp, "").with_context(|| format!("can't write {}", stamp.display()))?;
        Ok(apt)
    }

    /// The names of all packages that match a regular expression.
    pub(super) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let mut command = self.configure(Command::new("apt-cache"));
        let found = output(command.args(["search", "--names-only", pattern]))?;
        Ok(found
            .lines()
            .filter_map(|line| line.split(' ').next())
            .map(String::from)
            .collect())
    }

    /// The newest version of a package.
    pub(super) fn version(&self, package: &str) -> Result<String> {
        let mut command = self.configure(Command::new("apt-cache"));
        let shown = output(command.args(["show", "--no-all-versions", package]))?;
        let version = shown
            .lines()
            .find_map(|line| line.strip_prefix("Version: "));
        version
            .map(String::from)
            .with_context(|| format!("apt knows no version of {package}"))
    }

    /// Downloads packages and unpacks them into one folder, installing nothing.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let downloads = into.with_extension("deb");
        paths::make(&downloads)?;
        let mut command = self.configure(apt_get());
        run_quietly(
            command
                .current_dir(&downloads)
                .arg("download")
                .args(packages),
        )?;
        let entries = fs::read_dir(&downloads)
            .with_context(|| format!("can't list {}", downloads.display()))?;
        for entry in entries {
            let package = entry?.path();
            run_quietly(Command::new("dpkg").arg("-x").arg(&package).arg(into))?;
        }
        fs::remove_dir_all(&downloads)
            .with_context(|| format!("can't remove {}", downloads.display()))
    }

    /// Installs packages on this machine, preferring one release.
    pub(super) fn install(&self, release: &str, packages: &[&str]) -> Result<()> {
        let mut command = self.configure(apt_get());
        command.args(["install", "--yes", "--no-install-recommends", "-t", release]);
        run_quietly(command.args(packages))
    }

    fn configure(&self, mut command: Command) -> Command {
        let dir = self.dir.display();
        for option in [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::Cache={dir}"),
            format!("Dir::Cache::archives={dir}/archives"),
            // The cache may be in a home folder that apt's own user can't enter.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

impl Suites {
    fn sources(self) -> (&'static str, String) {
        let mirror = Mirror::of_this_machine();
        let line =
            |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main\n");
        match self {
            Self::Bookworm => (
                "bookworm",
                line(&mirror.main, "bookworm")
                    + &line(&mirror.main, "bookworm-updates")
                    + &line(&mirror.main, "bookworm-backports")
                    + &line(&mirror.security, "bookworm-security"),
            ),
            Self::TrixieBackports => ("trixie-backports", line(&mirror.main, "trixie-backports")),
        }
    }
}

/// Where this machine gets Debian itself from.
pub(super) fn mirror() -> String {
    Mirror::of_this_machine().main
}

/// Where this machine gets Debian from.
struct Mirror {
    main: String,
    security: String,
}

impl Mirror {
    /// Read from the machine's own sources; Debian's usual address where they name none.
    fn of_this_machine() -> Self {
        let mut mirror = Self {
            main: MAIN.to_owned(),
            security: SECURITY.to_owned(),
        };
        let targets = output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL) $(REPO_URI)",
            "Created-By: Packages",
        ]));
        for line in targets.unwrap_or_default().lines() {
            match line.split_once(' ') {
                Some(("Debian", uri)) => uri.trim_end_matches('/').clone_into(&mut mirror.main),
                Some(("Debian-Security", uri)) => {
                    uri.trim_end_matches('/').clone_into(&mut mirror.security);
                }
                _ => {}
            }
        }
        mirror
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let modified = stamp.metadata().and_then(|meta| meta.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < FRESH))
}
