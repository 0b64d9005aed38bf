//! The node agent as a library, so that tests and fuzzers reach its parts.
//!
//! ```text
//!   args ─► policies ─► engine ─► bpf ─► kernel
//!                          ▲                │ ring
//!        container, mounts ┘   report ◄─ events
//! ```
//!
//! **Architecture invariants:** only [`bpf`] knows aya; only [`bpf`] and `sys` are
//! `unsafe`; nothing forks once there are threads.

pub mod agent;
pub mod args;
pub mod bpf;
pub mod cgroup;
pub mod container;
pub mod cri;
pub mod engine;
pub mod events;
pub mod failure;
pub mod http;
pub mod kernel_features;
pub mod kubepods;
pub mod logging;
pub mod metrics;
pub mod mounts;
pub mod node;
pub mod nri;
pub mod policies;
mod privileges;
pub mod protobuf;
pub mod report;
pub mod run;
pub mod selftest;
pub mod standalone;
mod sys;
pub mod uninstall;
mod watch;
