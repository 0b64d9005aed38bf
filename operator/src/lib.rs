//! The operator: policies in, rule maps and the truth about them out.
//!
//! ```text
//!   watch ─► cluster (what is known, pure) ─► plan ─► engine ─► write ─► API server
//!                                       └──► status ──┘
//!   lease: who writes      http: metrics, health      webhook: judges before it is stored
//! ```
//!
//! **Architecture invariant:** [`cluster`] knows no clock and no API server; everything
//! that is decided is decided there. Only [`engine`] starts writes, and only for what
//! would change something.
//!
//! # Rights
//!
//! What it does with the API, which is what its role allows and nothing else:
//!
//! | group | resources | verbs | why |
//! |---|---|---|---|
//! | core | `pods`, `namespaces` | list, watch | whom policies select |
//! | `bartizan.dev` | `securitypolicies`, `clustersecuritypolicies` | list, watch | what they say |
//! | `bartizan.dev` | `securitypolicies/status`, `clustersecuritypolicies/status` | patch | what is true of them |
//! | `bartizan.dev` | `rulemaps` | list, watch, create, patch, delete | published, and collected |
//! | `bartizan.dev` | `podenforcements` | list, watch, create, patch, delete | what is enforced where |
//! | `events.k8s.io` | `events` | create, patch | refusals and first enforcement |
//! | `admissionregistration.k8s.io` | `validatingwebhookconfigurations` named `bartizan-operator` | get, patch | its certificate |
//! | `coordination.k8s.io` | `leases` in its own namespace | get, create, update | who writes |

pub mod args;
pub mod cluster;
pub mod engine;
pub mod http;
pub mod lease;
pub mod logging;
pub mod metrics;
pub mod review;
pub mod run;
pub mod watch;
pub mod webhook;
pub mod write;
