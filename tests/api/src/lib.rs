//! A real API server for tests: etcd and kube-apiserver on this machine, without nodes.
//!
//! ```text
//! #[test] ─► run(Setup, async |cluster| ..)          own servers, gone afterwards
//!        └─► shared(async |cluster| ..)              one cluster for all such tests
//!                         │
//!          Cluster ───────┴─► kubectl, kube::Client, kubeconfig: as admin, as anybody
//!            ├ Component etcd, kube-apiserver, ...   stop, kill, pause, start again
//!            ├ requests()                            the audit log: who asked for what
//!            ├ pods, Enforcers                       what kubelets and enforcers would do
//!            └ Operator                              a replica, with the rights of its role
//! ```
//! A cluster takes about three seconds and 400 MB, so tests that only read or that keep to
//! a namespace of their own share one; tests that stop servers, count requests or run the
//! operator have one each.
//! Every cluster has a loopback address of its own (127.x.y.z), so that ports never
//! collide and a server that is stopped finds its port free again.
//! Its processes die with the test's process, however that ends.
//!
//! The programs come from `cargo xtask api`, which says where they are in
//! `BARTIZAN_ETCD` and `BARTIZAN_OPERATOR` (programs) and `BARTIZAN_KUBERNETES` (a folder).

mod access;
mod address;
mod audit;
mod clock;
mod cluster;
mod component;
pub mod deployment;
mod flags;
mod folder;
mod nodes;
mod operator;
pub mod pods;
mod programs;
mod scenario;
mod spawner;
mod wait;

pub use access::{Access, Said};
pub use audit::Request;
pub use clock::Clock;
pub use cluster::{Cluster, Setup, checkout};
pub use component::{Component, Recipe};
pub use nodes::{Enforcers, arm};
pub use operator::Operator;
pub use scenario::{run, serve, shared};
pub use wait::{eventually, within};
