//! The custom resource definitions of every kind.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value as Json;

use crate::{ClusterSecurityPolicy, PodEnforcement, RuleMap, SecurityPolicy};

/// The definitions of every kind, in the order in which a reader meets them.
pub fn definitions() -> [CustomResourceDefinition; 4] {
    [
        SecurityPolicy::crd(),
        ClusterSecurityPolicy::crd(),
        RuleMap::crd(),
        PodEnforcement::crd(),
    ]
    .map(tidy)
}

/// Makes the schema say what the types mean: a field that may be left out still can't be
/// `null`, and what is an integer or a string needs no list of empty alternatives.
fn tidy(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    fn visit(json: &mut Json) {
        if let Json::Object(map) = json {
            if map.get("nullable") == Some(&Json::Bool(true)) {
                map.remove("nullable");
            }
            if map.contains_key("x-kubernetes-int-or-string") {
                map.remove("anyOf");
            }
            map.values_mut().for_each(visit);
        } else if let Json::Array(list) = json {
            list.iter_mut().for_each(visit);
        }
    }
    let mut json = serde_json::to_value(definition).expect("a definition is JSON");
    visit(&mut json);
    serde_json::from_value(json).expect("fewer keywords are a definition, too")
}
