//! The two policy kinds and what their categories have in common.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::restrict::Restrictions;
use crate::rule::{CapabilityRule, FileRule, NetworkRule, ProcessRule};
use crate::selector::LabelSelector;
use crate::status::PolicyStatus;

/// What processes of the selected containers may do, enforced in the kernel.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource,
)]
#[kube(
    group = "bartizan.dev",
    version = "v1alpha1",
    kind = "SecurityPolicy",
    plural = "securitypolicies",
    shortname = "secpol",
    category = "bartizan",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "What processes of the selected containers of a namespace may do, enforced in the kernel.",
    namespaced,
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Enforced", type_ = "string", json_path = ".status.enforced"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Enforced\")].message"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SecurityPolicySpec {
    /// The pods the policy holds for, by their labels. Required; `{}` selects every pod.
    pub selector: LabelSelector,
    /// Names of the containers it holds for, init and ephemeral containers included, as
    /// globs (`*`, `?`, `[a-z]`, `{a,b}`). Left out: every container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 253)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub containers: Option<Vec<String>>,
    /// `Audit` reports what would be denied and blocks nothing; `Enforce` blocks.
    #[serde(default)]
    pub mode: Mode,
    /// What happens to a container that would start before its rules are in the kernel:
    /// `Report` starts it and says so, `Hold` has it wait. Counts in mode `Enforce` only.
    #[serde(default)]
    pub startup: Startup,
    /// How serious a violation is, 1 to 10; carried into denials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 10))]
    pub severity: Option<u8>,
    /// A text for whoever reads a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        extend("x-kubernetes-validations" = [{
            "rule": "!self.matches('[[:cntrl:]]')",
            "message": "control characters and line breaks are not allowed",
        }])
    )]
    pub message: Option<String>,
    /// Words carried into denials, such as `pci` or `team-shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 63)),
        extend("x-kubernetes-list-type" = "set"),
        extend("x-kubernetes-validations" = [{
            "rule": "self.all(tag, !tag.matches('[[:space:][:cntrl:]]'))",
            "message": "a tag is one word: write it without blanks",
        }])
    )]
    pub tags: Option<Vec<String>>,
    /// Running programs and mapping files executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Rules<ProcessRule>>,
    /// Opening, changing, making, moving and removing files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Rules<FileRule>>,
    /// Creating sockets and using IP addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Rules<NetworkRule>>,
    /// Using Linux capabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Rules<CapabilityRule>>,
    /// Operations that are denied as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrict: Option<Restrictions>,
}

/// A policy for pods of several namespaces.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource,
)]
#[kube(
    group = "bartizan.dev",
    version = "v1alpha1",
    kind = "ClusterSecurityPolicy",
    plural = "clustersecuritypolicies",
    shortname = "csecpol",
    category = "bartizan",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "What processes of the selected containers of several namespaces may do, enforced in the kernel.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Enforced", type_ = "string", json_path = ".status.enforced"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Enforced\")].message"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSecurityPolicySpec {
    /// The namespaces the policy holds in, by their labels. Left out or `{}`: every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Everything a `SecurityPolicy` has.
    #[serde(flatten)]
    pub policy: SecurityPolicySpec,
}

/// Whether a policy blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// A dry run: nothing is blocked, would-be denials are reported.
    #[default]
    Audit,
    /// Denials are enforced.
    Enforce,
}

/// What happens to a container that would start before its rules are in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Startup {
    /// It starts, and how long it ran without rules is reported.
    #[default]
    Report,
    /// It is not started until they are there, for as long as that takes.
    Hold,
}

impl Startup {
    /// Whether it is the default.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn is_report(&self) -> bool {
        *self == Self::Report
    }
}

/// What happens to operations that no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultAction {
    /// They are allowed.
    #[default]
    Allow,
    /// They are denied: the allow rules are a complete list.
    Deny,
}

/// The rules of a category. Deny beats allow, allow beats the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rules<R> {
    /// What happens to operations that no rule names.
    #[serde(default)]
    pub default: DefaultAction,
    /// Allowed, although the default is `Deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("x-kubernetes-list-type" = "atomic"))]
    pub allow: Option<Vec<R>>,
    /// Denied, whatever allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("x-kubernetes-list-type" = "atomic"))]
    pub deny: Option<Vec<R>>,
    /// Reported and never blocked, whatever the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("x-kubernetes-list-type" = "atomic"))]
    pub audit: Option<Vec<R>>,
}
