//! `bartizan-enforcer kernel-features`: what policies can be checked against elsewhere.

use std::io::{self, Write as _};

use crate::bpf;
use crate::failure::Failure;

/// Prints them.
pub fn run() -> Result<u8, Failure> {
    let features = bpf::kernel_features()?;
    io::stdout().write_all(features.to_json().as_bytes())?;
    Ok(0)
}
