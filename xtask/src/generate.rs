//! `cargo xtask generate`: files that are made from the code and checked in.

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::{cargo, run};
use crate::monitoring::reference;

/// Tests that compare a file with the code, or write it: the package, and which test.
///
/// As the same code does both, the two can't differ.
const TESTS: [(&str, &[&str]); 4] = [
    ("bartizan-crds", &["--test", "generated"]),
    ("bartizan-enforcer", &["--test", "scrape"]),
    ("bartizan-operator", &["--lib", "scrape"]),
    ("bartizan-e2e", &["catalogue"]),
];

/// Writes the definitions of our kinds and their reference, what our programs export, the
/// bypass catalogue, and the reference of metrics.
pub(crate) fn all() -> Result<()> {
    for (package, test) in TESTS {
        run(cargo()
            .args(["test", "--locked", "--quiet", "--package", package])
            .args(test)
            .env("BARTIZAN_GENERATE", "1"))?;
    }
    let (file, page) = (reference::file(), reference::page()?);
    fs::write(&file, page).with_context(|| format!("can't write {}", file.display()))
}
