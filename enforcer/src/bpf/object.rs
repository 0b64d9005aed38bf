//! The kernel programs' object: embedded in released binaries, named by the
//! environment while developing.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::bpf::error::LoadError;

/// Environment variable that names the object's file.
const VARIABLE: &str = "BARTIZAN_LSM_OBJECT";
/// Bytes of the digest that are a version.
const VERSION_BYTES: usize = 8;

#[cfg(feature = "embed")]
const EMBEDDED: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/bpf/bartizan-lsm.o"
)));
#[cfg(not(feature = "embed"))]
const EMBEDDED: Option<&[u8]> = None;

/// The object's bytes.
pub(super) fn read() -> Result<Vec<u8>, LoadError> {
    if let Ok(path) = std::env::var(VARIABLE) {
        return std::fs::read(&path).map_err(|source| LoadError::ObjectFile { path, source });
    }
    EMBEDDED.map(<[u8]>::to_vec).ok_or(LoadError::NotEmbedded)
}

/// Which object it is: the start of its digest, in hex.
pub(super) fn version(object: &[u8]) -> String {
    let mut text = String::with_capacity(2 * VERSION_BYTES);
    for byte in &Sha256::digest(object)[..VERSION_BYTES] {
        write!(text, "{byte:02x}").expect("strings take everything");
    }
    text
}
