//! Tests against a real API server; `cargo xtask api` runs them.

#[path = "api/clock.rs"]
mod clock;
#[path = "api/conflicts.rs"]
mod conflicts;
#[path = "api/deploy.rs"]
mod deploy;
#[path = "api/enforcer.rs"]
mod enforcer;
#[path = "api/faults.rs"]
mod faults;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/holds.rs"]
mod holds;
#[path = "api/kinds.rs"]
mod kinds;
#[path = "api/large.rs"]
mod large;
#[path = "api/leader.rs"]
mod leader;
#[path = "api/monitoring.rs"]
mod monitoring;
#[path = "api/operator.rs"]
mod operator;
#[path = "api/rights.rs"]
mod rights;
#[path = "api/story.rs"]
mod story;
#[path = "api/unenforceable.rs"]
mod unenforceable;
#[path = "api/webhook.rs"]
mod webhook;
