//! API types of `bartizan.dev/v1alpha1`, as users write them.
//!
//! Types only, no client: what a field means is in `docs/policy-language.md`, and what a
//! value has to look like beyond its type (patterns, CIDRs, selectors) is checked by
//! `bartizan-policy`, which parses these into its own types. Documentation comments
//! and limits here become the schema, and so `kubectl explain`. What CEL can say within
//! the API server's budget is said here, in the words of `bartizan-policy`.
//!
//! ```text
//!   SecurityPolicy, ClusterSecurityPolicy ─► RuleMap ◄─ PodEnforcement
//!     users write spec, the operator status    └ operator ┘   └ the node's enforcer: status
//! ```
//!
//! `generated/` has the same as YAML, written by `cargo xtask generate`.

#![expect(
    clippy::duplicated_attributes,
    reason = "several printer columns of one kind have the same type"
)]

mod definitions;
mod enforcement;
mod policy;
mod restrict;
mod rule;
mod rule_map;
mod selector;
mod status;

pub use definitions::definitions;
pub use enforcement::{
    ContainerEnforcement, ContainerKind, ContainerReport, ContainerState, HoldState,
    MAX_UNENFORCEABLE, PodEnforcement, PodEnforcementSpec, PodEnforcementStatus,
    UnenforceablePolicy,
};
pub use policy::{
    ClusterSecurityPolicy, ClusterSecurityPolicySpec, DefaultAction, Mode, Rules, SecurityPolicy,
    SecurityPolicySpec, Startup,
};
pub use restrict::{RestrictedOperation, Restriction, Restrictions};
pub use rule::{
    CapabilityRule, FileOperation, FileRule, IpProtocol, NetworkOperation, NetworkRule, Port,
    ProcessRule, RuleHead, Socket,
};
pub use rule_map::{
    LinkedAddresses, LinkedCapabilities, LinkedFiles, LinkedPolicy, LinkedPrograms, LinkedRule,
    LinkedSockets, LinkedUnix, RuleCategory, RuleEffect, RuleMap, RuleMapSpec,
};
pub use selector::{LabelSelector, LabelSelectorRequirement, SelectorOperator};
pub use status::{ContainerCounts, NodeBehind, PolicyStatus};

/// API group of every kind here.
pub const GROUP: &str = "bartizan.dev";
/// Version of every kind here.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind here.
pub const API_VERSION: &str = "bartizan.dev/v1alpha1";
/// Kind of [`SecurityPolicySpec`].
pub const SECURITY_POLICY: &str = "SecurityPolicy";
/// Kind of [`ClusterSecurityPolicySpec`].
pub const CLUSTER_SECURITY_POLICY: &str = "ClusterSecurityPolicy";
