//! The schema is what `kubectl explain` shows and what `bartizan check` checks by.

use bartizan_crds::{ClusterSecurityPolicySpec, Port, SecurityPolicySpec};
use serde_json::{Value, json};

fn schema() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<ClusterSecurityPolicySpec>()
        .to_value()
}

/// Calls `visit` with the path and schema of every property.
fn properties(at: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    if let Some(Value::Object(fields)) = schema.get("properties") {
        for (name, field) in fields {
            let path = format!("{at}.{name}");
            visit(&path, field);
            properties(&path, field, visit);
        }
    }
    if let Some(items) = schema.get("items") {
        properties(&format!("{at}[]"), items, visit);
    }
}

#[test]
fn every_field_is_described() {
    let mut count = 0;
    properties("spec", &schema(), &mut |path, field| {
        count += 1;
        let text = field
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert!(text.len() > 10, "{path} has no description");
    });
    assert!(count > 50, "only {count} fields seen");
}

#[test]
fn every_list_and_string_of_a_rule_is_bounded() {
    properties("spec", &schema(), &mut |path, field| {
        if field.get("items").is_some() {
            assert!(field.get("maxItems").is_some(), "{path} has no maxItems");
        }
    });
}

#[test]
fn a_spec_survives_a_round_trip_and_left_out_fields_stay_out() {
    let value = json!({
        "selector": { "matchLabels": { "app": "web" } },
        "mode": "Enforce",
        "startup": "Hold",
        "network": {
            "default": "Deny",
            "allow": [{ "name": "https", "protocols": ["TCP"], "ports": [443, "8000-8100"] }],
        },
    });
    let spec: SecurityPolicySpec = serde_json::from_value(value.clone()).unwrap();
    let ports = spec.network.as_ref().unwrap().allow.as_ref().unwrap()[0]
        .ports
        .clone()
        .unwrap();
    assert_eq!(ports, [Port::Number(443), Port::Text("8000-8100".into())]);
    assert_eq!(serde_json::to_value(&spec).unwrap(), value);
}

#[test]
fn a_cluster_policy_has_the_fields_of_a_policy_beside_its_namespace_selector() {
    let value = json!({
        "namespaceSelector": { "matchExpressions": [{ "key": "team", "operator": "Exists" }] },
        "selector": {},
        "mode": "Audit",
        "startup": "Report",
    });
    let spec: ClusterSecurityPolicySpec = serde_json::from_value(value.clone()).unwrap();
    assert!(spec.namespace_selector.is_some());
    assert_eq!(serde_json::to_value(&spec).unwrap(), value);
}
