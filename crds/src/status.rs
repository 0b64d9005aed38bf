//! What the operator says about a policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is true of a policy, by the operator's and the enforcers' own word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation of the policy that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Containers in which the policy is enforced in full, of those it selects: `12/12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<String>,
    /// The same as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerCounts>,
    /// Nodes with containers in which the policy is not enforced in full, the longest waiting
    /// first; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub behind: Vec<NodeBehind>,
    /// `Accepted`: the policy is valid. `Enforced`: it is enforced in full in every container
    /// it selects. `Conflicted`: rules that other policies override. `Unreachable`: rules that can
    /// never decide anything. `Holds`, of a policy with `startup: Hold`: no container that it
    /// selects starts without its rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Containers that a policy selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerCounts {
    /// Containers it selects that have not ended.
    pub selected: i32,
    /// Those for which an enforcer reports that the kernel enforces all of the policy's rules.
    pub enforced: i32,
}

/// A node that is behind with a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeBehind {
    /// Its name; empty for pods that have no node yet.
    pub node: String,
    /// Containers on it in which the policy is not enforced in full.
    pub containers: i32,
    /// Since when the first of them has been waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why, in one word, by the enforcer if it has said anything: `NotScheduled`, `NoReport`,
    /// `NotStarted`, `NotEnforceableHere`.
    pub reason: String,
}
