//! Programs that Go builds: each component has a committed `go.mod` and `go.sum`, and a
//! folder in the cache that is named by version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{output, run_quietly, say};
use crate::digest::digest;
use crate::lock::{CacheLock, Part};
use crate::paths;

/// Programs of one Go module.
pub(super) struct Component {
    /// What it is called in the cache and in messages.
    pub(super) name: &'static str,
    /// The folder with its `go.mod`, below `xtask/kubernetes`.
    pub(super) folder: &'static str,
    /// The module that gives the version.
    pub(super) module: &'static str,
    /// The names of the programs, and their packages.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// What the linker writes into the programs; gets the version, without `v`.
    pub(super) variables: fn(&str) -> Vec<(&'static str, String)>,
    /// Build tags of programs that need a C compiler; others are built without one.
    /// All are static, so that they also run in guests.
    pub(super) c_tags: Option<&'static str>,
}

impl Component {
    /// The folder with the programs, from the cache if they are there.
    ///
    /// The folder is named by version and by what its `go.mod` says, so that checkouts
    /// with different ones don't replace each other's programs.
    pub(super) fn get(&self) -> Result<PathBuf> {
        let source = paths::root().join("xtask/kubernetes").join(self.folder);
        let file = source.join("go.mod");
        let recipe =
            fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        let version = version(&recipe, self.module)
            .with_context(|| format!("{} doesn't require {}", file.display(), self.module))?;
        let name = format!("{}-{version}-{}", self.name, digest(&[&recipe]));
        let dir = paths::cache()?.join(name);
        if self.is_in(&dir) {
            return Ok(dir);
        }
        require_go(&source, &recipe)?;
        let _lock = CacheLock::take(Part::Go)?;
        if !self.is_in(&dir) {
            self.build(&source, version, &dir)?;
        }
        Ok(dir)
    }

    /// The folder in the module cache with the source of the module.
    pub(super) fn source(&self) -> Result<PathBuf> {
        let recipe = paths::root().join("xtask/kubernetes").join(self.folder);
        run_quietly(go(&recipe).args(["mod", "download", self.module]))?;
        let dir = output(go(&recipe).args(["list", "-m", "-f", "{{.Dir}}", self.module]))?;
        Ok(dir.trim_end().into())
    }

    fn is_in(&self, dir: &Path) -> bool {
        let complete = |(name, _): &(&str, _)| dir.join(name).is_file();
        self.programs.iter().all(complete)
    }

    fn build(&self, source: &Path, version: &str, dir: &Path) -> Result<()> {
        let name = self.name;
        let work = dir.with_file_name(format!("building-{name}-{}", std::process::id()));
        paths::make(&work)?;
        say(format!("downloading the source of {name} {version} (once)"));
        run_quietly(go(source).args(["mod", "download"]))?;
        let variables = (self.variables)(version);
        let variables = variables
            .iter()
            .map(|(name, value)| format!(" -X {name}={value}"));
        let mut linker = format!("-s -w{}", variables.collect::<String>());
        if self.c_tags.is_some() {
            linker += " -extldflags -static";
        }
        for (program, package) in self.programs {
            say(format!(
                "building {program} {version} (once; the first of a version takes minutes)"
            ));
            run_quietly(
                go(source)
                    .env("CGO_ENABLED", if self.c_tags.is_some() { "1" } else { "0" })
                    .args(["build", "-mod=readonly", "-trimpath"])
                    .args(["-tags", self.c_tags.unwrap_or_default()])
                    .args(["-ldflags", &linker, "-o"])
                    .arg(work.join(program))
                    .arg(package),
            )?;
        }
        let write = || -> std::io::Result<()> {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::rename(&work, dir)
        };
        write().with_context(|| format!("can't fill {}", dir.display()))
    }
}

/// Go with a low priority: it takes all processors for minutes.
fn go(source: &Path) -> Command {
    let mut command = Command::new("nice");
    command.current_dir(source).arg("go");
    command
}

/// Refuses, with the way out, where there is no Go that can build this.
fn require_go(source: &Path, recipe: &str) -> Result<()> {
    let wanted = recipe.lines().find_map(|line| line.strip_prefix("go "));
    let get = format!(
        "install Go {} or newer from https://go.dev/dl",
        wanted.unwrap_or("1.26")
    );
    if paths::on_path("go").is_none() {
        bail!("there is no Go on PATH: {get} (Debian's golang may be too old)");
    }
    // Go itself says whether it, or a toolchain that it may download, is new enough.
    output(go(source).args(["list", "-m"])).with_context(|| {
        format!("this Go is too old: {get}, or let Go 1.21 or newer do so (GOTOOLCHAIN=auto)")
    })?;
    Ok(())
}

/// The version of a module in a `go.mod`, without the `v`.
fn version<'a>(recipe: &'a str, module: &str) -> Option<&'a str> {
    recipe.lines().find_map(|line| {
        let line = line.trim_start();
        let rest = line.strip_prefix("require ").unwrap_or(line);
        let version = rest.strip_prefix(module)?.strip_prefix(" v")?;
        version.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "\
module example

tool example.org/thing/cmd/a

require (
\texample.org/thing-more v9.9.9 // indirect
\texample.org/thing v1.37.2 // indirect
)

replace example.org/thing/x => example.org/thing/x v0.37.2
";

    #[test]
    fn the_version_is_that_of_the_required_module() {
        assert_eq!(version(RECIPE, "example.org/thing"), Some("1.37.2"));
        assert_eq!(version(RECIPE, "example.org/thing/x"), None);
        assert_eq!(version("require a/b v0.1.0\n", "a/b"), Some("0.1.0"));
    }
}
