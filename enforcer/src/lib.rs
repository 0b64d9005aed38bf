//! The node agent as a library, so that tests and fuzzers reach its parts.

pub mod events;
pub mod mounts;
