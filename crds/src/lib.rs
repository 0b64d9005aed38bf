//! API types of `bartizan.dev/v1alpha1`, as users write them.
//!
//! Types only: what a field means is in `docs/policy-language.md`, and what a value
//! has to look like beyond its type (patterns, CIDRs, selectors) is checked by
//! `bartizan-policy`, which parses these into its own types. Documentation comments
//! and limits here become the schema, and so `kubectl explain`.

mod policy;
mod rule;
mod selector;

pub use policy::{ClusterSecurityPolicySpec, DefaultAction, Mode, Rules, SecurityPolicySpec};
pub use rule::{
    CapabilityRule, FileOperation, FileRule, IpProtocol, NetworkOperation, NetworkRule, Port,
    ProcessRule, RuleHead, Socket,
};
pub use selector::{LabelSelector, LabelSelectorRequirement, SelectorOperator};

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
