//! Tests against a real API server; `cargo xtask api` runs them.

#[path = "api/harness.rs"]
mod harness;
