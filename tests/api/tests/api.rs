//! Tests against a real API server; `cargo xtask api` runs them.

#[path = "api/deploy.rs"]
mod deploy;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/kinds.rs"]
mod kinds;
#[path = "api/leader.rs"]
mod leader;
#[path = "api/operator.rs"]
mod operator;
#[path = "api/webhook.rs"]
mod webhook;
