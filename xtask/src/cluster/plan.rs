//! What a supervisor has to do, as `up` leaves it for it.

use std::fs;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::folder::Folder;

const FILE: &str = "plan.json";

/// Commands in the cluster's namespaces.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Plan {
    /// Commands that make the network; each has to succeed.
    pub(super) network: Vec<Vec<String>>,
    /// Where connections to the supervisor's standard input, a listening socket, go.
    pub(super) forward: String,
    /// Programs that run until the cluster ends.
    pub(super) servers: Vec<Server>,
}

/// A program that is started again whenever it ends.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Server {
    /// Also that of its log.
    pub(super) name: String,
    /// Its command line.
    pub(super) line: Vec<String>,
}

impl Plan {
    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("can't write a plan")?;
        folder.write(FILE, &text).map(|_| ())
    }

    pub(super) fn read(folder: &Folder) -> Result<Self> {
        let path = folder.file(FILE);
        let text = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("can't read {}", path.display()))
    }
}
