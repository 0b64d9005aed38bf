//! An image as one file, built from a folder by buildah.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::run_quietly;

/// Builds what a folder's `Containerfile` says into an OCI archive.
///
/// The same folder gives the same image: times are those of the epoch.
/// Returns its digest.
pub(crate) fn build(context: &Path, name: &str, archive: &Path) -> Result<String> {
    let storage = Storage(archive.with_extension("storage"));
    let mut build = storage.buildah();
    build
        .args(["build", "--isolation", "chroot", "--timestamp", "0"])
        .args(["--quiet", "--tag", name])
        .arg(context);
    run_quietly(&mut build).with_context(|| format!("can't build the image {name}"))?;
    // buildah adds to an archive that is there.
    let _ = fs::remove_file(archive);
    let mut push = storage.buildah();
    let digest = storage.0.join("digest");
    push.args(["push", "--quiet", "--digestfile"])
        .args([digest.as_os_str(), name.as_ref()])
        .arg(format!("oci-archive:{}:{name}", archive.display()));
    run_quietly(&mut push).with_context(|| format!("can't write {}", archive.display()))?;
    let digest = fs::read_to_string(&digest).context("buildah left no digest")?;
    Ok(digest.trim().to_owned())
}

/// Where buildah keeps layers: a folder that is removed when this is dropped.
struct Storage(PathBuf);

impl Storage {
    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(self.0.join("root"))
            .arg("--runroot")
            .arg(self.0.join("run"));
        command
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
