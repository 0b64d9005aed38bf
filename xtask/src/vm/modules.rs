//! Kernel modules with what they depend on, in the order in which they load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::setup::Kernel;

/// A module as `insmod` takes it.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Reads modules and those they depend on. Built-in ones are left out.
pub(super) fn load_order(kernel: &Kernel, names: &[&str]) -> Result<Vec<Module>> {
    let mut tree = Tree::read(kernel)?;
    for name in names {
        tree.require(name)?;
    }
    Ok(tree.ordered)
}

struct Tree {
    release: String,
    files: Vec<PathBuf>,
    built_in: Vec<String>,
    ordered: Vec<Module>,
}

impl Tree {
    fn read(kernel: &Kernel) -> Result<Self> {
        let dir = kernel.modules();
        let list = dir.join("modules.builtin");
        let built_in =
            fs::read_to_string(&list).with_context(|| format!("can't read {}", list.display()))?;
        let mut files = Vec::new();
        collect(&dir.join("kernel"), &mut files)?;
        Ok(Self {
            release: kernel.release.clone(),
            files,
            built_in: built_in
                .lines()
                .map(|line| module_name(Path::new(line)))
                .collect(),
            ordered: Vec::new(),
        })
    }

    fn require(&mut self, name: &str) -> Result<()> {
        let known = |other: &str| other == name;
        if self.built_in.iter().any(|other| known(other))
            || self.ordered.iter().any(|module| known(&module.name))
        {
            return Ok(());
        }
        let Some(file) = self
            .files
            .iter()
            .find(|file| known(&module_name(file)))
            .cloned()
        else {
            bail!("kernel {} has no module {name}", self.release);
        };
        let content = content(&file)?;
        for dependency in dependencies(&content) {
            self.require(&dependency)?;
        }
        self.ordered.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("can't list {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// `kernel/net/8021q/garp-core.ko.xz` is `garp_core`.
fn module_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split(".ko")
        .next()
        .unwrap_or_default()
        .replace('-', "_")
}

fn content(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("can't read {}", file.display()));
    }
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(file)
        .output()
        .context("can't run xz: install xz-utils")?;
    if !output.status.success() {
        bail!(
            "can't decompress {}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// Modules carry `depends=a,b` as a string of their own between NUL bytes.
fn dependencies(module: &[u8]) -> Vec<String> {
    let mut strings = module.split(|byte| *byte == 0);
    let Some(list) = strings.find_map(|text| text.strip_prefix(b"depends=")) else {
        return Vec::new();
    };
    let list = String::from_utf8_lossy(list);
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        let module = b"\x7fELF\0license=GPL\0depends=virtio-ring,virtio\0rest";
        assert_eq!(dependencies(module), ["virtio_ring", "virtio"]);
        assert!(dependencies(b"\0depends=\0").is_empty());
    }
}
