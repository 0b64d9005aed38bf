//! Label selectors, byte for byte those of Kubernetes (`metav1.LabelSelector`).
//!
//! Own types, so that the pure crates need neither kube nor k8s-openapi and the
//! operator is an enum instead of a string.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Selects objects by their labels; all conditions must hold. `{}` selects every object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that the object must have, with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
        "messageExpression": "'`' + self.operator + '` needs at least one value'",
        "message": "`In` and `NotIn` need at least one value",
    },
    {
        "rule": "!(self.operator in ['Exists', 'DoesNotExist']) \
                 || !has(self.values) || size(self.values) == 0",
        "messageExpression": "'`' + self.operator + '` takes no values: leave them out'",
        "message": "`Exists` and `DoesNotExist` take no values: leave them out",
    },
]))]
pub struct LabelSelectorRequirement {
    /// The label's key, such as `app.kubernetes.io/name`.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the key's value relates to `values`.
    pub operator: SelectorOperator,
    /// The values: at least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 1024),
        inner(length(max = 63)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub values: Option<Vec<String>>,
}

/// How a label relates to the values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label exists and its value is one of `values`.
    In,
    /// The label doesn't exist or its value is none of `values`.
    NotIn,
    /// The label exists.
    Exists,
    /// The label doesn't exist.
    DoesNotExist,
}
