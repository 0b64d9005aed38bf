//! `cargo xtask generate`: files that are made from the code and checked in.

use anyhow::Result;

use crate::command::{cargo, run};

/// Writes the custom resource definitions of `crds/`. The test that compares them also writes
/// them, so that the two can't differ.
pub(crate) fn all() -> Result<()> {
    run(cargo()
        .args(["test", "--locked", "--quiet", "--package", "bartizan-crds"])
        .args(["--test", "generated"])
        .env("BARTIZAN_GENERATE", "1"))
}
