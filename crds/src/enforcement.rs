//! What is to be enforced in a pod, and what its node's enforcer says about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Startup;

/// What is to be enforced in a pod of the same name and namespace.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource,
)]
#[kube(
    group = "bartizan.dev",
    version = "v1alpha1",
    kind = "PodEnforcement",
    plural = "podenforcements",
    shortname = "penf",
    category = "bartizan",
    namespaced,
    status = "PodEnforcementStatus",
    derive = "PartialEq",
    doc = "What is enforced in the pod of the same name: the operator writes the spec, the enforcer of the pod's node the status.",
    selectable = ".spec.node",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Armed", type_ = "string", json_path = ".status.armed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec.podUID == oldSelf.spec.podUID")
        .message("another pod has another PodEnforcement: delete this one first"),
    validation = Rule::new("!has(oldSelf.spec.node) || (has(self.spec.node) && self.spec.node == oldSelf.spec.node)")
        .message("a pod never changes its node")
)]
#[serde(rename_all = "camelCase")]
pub struct PodEnforcementSpec {
    /// The node the pod is bound to; left out until it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub node: Option<String>,
    /// The pod's UID as its cgroup carries it: `metadata.uid`, or for a static pod the
    /// annotation `kubernetes.io/config.hash`.
    #[serde(rename = "podUID")]
    #[schemars(length(min = 1, max = 64))]
    pub pod_uid: String,
    /// All containers of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["name"])
    )]
    pub containers: Vec<ContainerEnforcement>,
}

/// What is to be enforced in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEnforcement {
    /// Its name in the pod.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What kind of container it is.
    pub kind: ContainerKind,
    /// The image as the pod names it, for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// The name of its `RuleMap`; left out: no policy selects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub rule_map: Option<String>,
    /// What happens to it if it would start before `ruleMap` is in the kernel: `Hold` if one
    /// of its policies says so. Left out: `Report`.
    #[serde(default, skip_serializing_if = "Startup::is_report")]
    pub startup: Startup,
    /// Policies with `startup: Hold` that select it and are not in `ruleMap`, because they
    /// don't fit together with others: it is not started until they do. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 320)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub withheld: Vec<String>,
}

/// The kinds of containers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ContainerKind {
    /// Runs to its end before the others start.
    Init,
    /// An init container that goes on running.
    Sidecar,
    /// A container of the pod's own list.
    Regular,
    /// Added to a running pod, as `kubectl debug` does.
    Ephemeral,
}

/// What the enforcer of the pod's node says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodEnforcementStatus {
    /// Containers whose rule map is enforced in full, of those that have one and have not
    /// ended: `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub armed: Option<String>,
    /// What is true of each container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["name"])
    )]
    pub containers: Vec<ContainerReport>,
}

/// What is true of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerReport {
    /// Its name in the pod.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Whether its rules are in the kernel.
    pub state: ContainerState,
    /// The rule map that is in the kernel for it; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub rule_map: Option<String>,
    /// Since when this rule map has been in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Microseconds from the container's first exec to its arming: how long it ran without
    /// rules. 0 or less: it was armed before it ran anything, by that much. Left out while it
    /// has run nothing, and where the time is not known (`RanBefore`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprotected_micros: Option<i64>,
    /// Whether it waits for its rules; left out: it needn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldState>,
    /// Why it is in this state, in one word (`NotStarted`, `NoSuchRuleMap`,
    /// `NotEnforceableHere`);
    /// left out where `state` says all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub reason: Option<String>,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Policies of `ruleMap` that the node's kernel can't enforce in full, because it lacks
    /// hooks; at most 64, and of more than that nobody knows which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["policy"])
    )]
    pub unenforceable: Vec<UnenforceablePolicy>,
}

/// Policies that [`ContainerReport::unenforceable`] has room for.
pub const MAX_UNENFORCEABLE: usize = 64;

/// What of a policy a node's kernel can't enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnenforceablePolicy {
    /// The policy: `NAMESPACE/NAME`, or `NAME` of a `ClusterSecurityPolicy`.
    #[schemars(length(min = 1, max = 320))]
    pub policy: String,
    /// Names or places of its rules that are not enforced in full; at most 16.
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub rules: Vec<String>,
    /// Operations that these rules are about, and that are not judged wherever they happen.
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 32)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub operations: Vec<String>,
    /// The hooks that the kernel lacks.
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub hooks: Vec<String>,
}

impl ContainerReport {
    /// Whether a policy of the rule map is enforced in full.
    pub fn enforces(&self, policy: &str) -> bool {
        match self.state {
            ContainerState::Armed => true,
            // A list that is full may have left some out.
            ContainerState::Partial => {
                self.unenforceable.len() < MAX_UNENFORCEABLE && self.lacking(policy).is_none()
            }
            ContainerState::Pending | ContainerState::Failed | ContainerState::Ended => false,
        }
    }

    /// What of a policy of the rule map is not enforceable on the container's node.
    pub fn lacking(&self, policy: &str) -> Option<&UnenforceablePolicy> {
        self.unenforceable.iter().find(|it| it.policy == policy)
    }
}

/// How a container of a policy with `startup: Hold` is kept from starting without its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HoldState {
    /// The container runtime asks before it starts it, and starts it only with its rules.
    Kept,
    /// The runtime has asked and was refused: `reason` says what the rules wait for.
    Waiting,
    /// The runtime doesn't ask: it may start without its rules.
    Impossible,
}

/// How far the enforcement in a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContainerState {
    /// The container has not been created, or its rules are on their way.
    Pending,
    /// `ruleMap` is in the kernel, which enforces all of it.
    Armed,
    /// `ruleMap` is in the kernel, which lacks hooks for some of its rules: `unenforceable`
    /// has these, all else is enforced.
    Partial,
    /// It runs without its rules; `reason` says why.
    Failed,
    /// It has ended.
    Ended,
}
