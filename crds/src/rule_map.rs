//! The linked rules of one kind of container, as the operator publishes them.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Mode;
use crate::restrict::RestrictedOperation;
use crate::rule::{FileOperation, IpProtocol, NetworkOperation};

/// The linked rules of one kind of container: policies in the order in which they are judged,
/// each with its rules.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource,
)]
#[kube(
    group = "bartizan.dev",
    version = "v1alpha1",
    kind = "RuleMap",
    plural = "rulemaps",
    shortname = "rmap",
    category = "bartizan",
    derive = "PartialEq",
    doc = "All rules that hold for one kind of container, linked and normalised. Written by the operator, shared by every container with the same rules, never changed. Its name is the digest of its spec.",
    printcolumn(name = "Policies", type_ = "string", json_path = ".spec.policies[*].name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("a rule map never changes: other rules have another name")
)]
#[serde(rename_all = "camelCase")]
pub struct RuleMapSpec {
    /// The policies: namespaced ones before cluster-wide ones, then by namespace and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Vec<LinkedPolicy>,
}

/// A policy in a rule map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedPolicy {
    /// The namespace of a `SecurityPolicy`; left out for a `ClusterSecurityPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The policy's name.
    pub name: String,
    /// Whether it blocks.
    pub mode: Mode,
    /// How serious a violation is, 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 10))]
    pub severity: Option<u8>,
    /// A text for whoever reads a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Words carried into denials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub tags: Vec<String>,
    /// Its rules: deny, allow, audit and default of each category.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<LinkedRule>,
}

/// A rule in a rule map; exactly one of `process`, `files`, `network`, `unix`,
/// `sockets`, `capabilities`, `restrict` and `everything` says what it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedRule {
    /// Its name in reports.
    pub name: String,
    /// What it does.
    pub effect: RuleEffect,
    /// Programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<LinkedPrograms>,
    /// Files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<LinkedFiles>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<LinkedAddresses>,
    /// Unix sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<LinkedUnix>,
    /// Creation of sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<LinkedSockets>,
    /// Capabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<LinkedCapabilities>,
    /// An operation as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RestrictedOperation")]
    pub restrict: Option<RestrictedOperation>,
    /// Whatever no rule of this category allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everything: Option<RuleCategory>,
    /// Only when the calling executable matches one of these patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub from: Vec<String>,
    /// Not when the calling executable matches one of these patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub except_from: Vec<String>,
    /// Not when the calling process owns the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unless_owner: bool,
}

/// What a rule of a rule map does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleEffect {
    /// Denies.
    Deny,
    /// Allows, against a default of Deny.
    Allow,
    /// Reports.
    Audit,
    /// Denies what no rule allows.
    DefaultDeny,
}

/// A category of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleCategory {
    /// Programs.
    Process,
    /// Files and directories.
    Files,
    /// Sockets and addresses.
    Network,
    /// Linux capabilities.
    Capabilities,
}

/// Programs that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedPrograms {
    /// Patterns.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
}

/// Files that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedFiles {
    /// Patterns.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
    /// Exactly these operations: what `Write` and `Delete` of a policy take along is listed.
    /// Left out: every operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Vec<FileOperation>,
}

/// Addresses that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedAddresses {
    /// Exactly these operations; left out: every operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Vec<NetworkOperation>,
    /// Protocols; left out: every protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub protocols: Vec<IpProtocol>,
    /// CIDRs, IPv4 or IPv6; left out: every address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<String>,
    /// Ports, `443`, and ranges, `8000-8100`; left out: every port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<String>,
}

/// Unix sockets that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedUnix {
    /// Exactly these operations; left out: every operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Vec<NetworkOperation>,
    /// Patterns of paths, and abstract names behind an `@`.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<String>,
}

/// Sockets whose creation a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedSockets {
    /// Address families and types of IP sockets, by the words of policies.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub kinds: Vec<crate::rule::Socket>,
}

/// Capabilities that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedCapabilities {
    /// Names without `CAP_`.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub names: Vec<String>,
}
