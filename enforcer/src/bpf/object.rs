//! The kernel programs' object: embedded in released binaries, named by the
//! environment while developing.

use crate::bpf::error::LoadError;

/// Environment variable that names the object's file.
const VARIABLE: &str = "BARTIZAN_LSM_OBJECT";

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
