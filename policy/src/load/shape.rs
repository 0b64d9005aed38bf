//! Checks a tree against the schema of the API types: unknown fields, types, words,
//! what is required, lengths and ranges.
//!
//! The schema is the one that becomes the CRD, so a file is judged by what the API
//! server judges by, but with every problem found, its line, and the nearest valid
//! name. Knows the keywords that the types produce; a test says when one is missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use bartizan_crds::{ClusterSecurityPolicySpec, PolicyStatus, SecurityPolicySpec};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::node::{Entry, Node, Position, Value};
use super::{MAX_PROBLEMS, misfit};
use crate::excerpt::excerpt;
use crate::nearest::suggestion;
use crate::validate::FieldPath;

/// Schema of `spec` of a `SecurityPolicy`.
pub(super) static NAMESPACED: LazyLock<Json> = LazyLock::new(schema::<SecurityPolicySpec>);
/// Schema of `spec` of a `ClusterSecurityPolicy`.
pub(super) static CLUSTER: LazyLock<Json> = LazyLock::new(schema::<ClusterSecurityPolicySpec>);
/// Schema of `status` of both.
pub(super) static STATUS: LazyLock<Json> = LazyLock::new(schema::<PolicyStatus>);

fn schema<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Something wrong at a place in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) at: Position,
    pub(super) field: FieldPath,
    pub(super) message: String,
}

/// Notes everything in which a tree differs from its schema, and gives the tree without
/// what differs, for the checks to come. `None`: nothing is left that fits.
pub(super) fn check(
    node: &Node,
    schema: &Json,
    field: &FieldPath,
    found: &mut Vec<Finding>,
) -> Option<Node> {
    if found.len() > MAX_PROBLEMS {
        return None;
    }
    let problem = misfit::of(node, schema);
    let fits = problem.is_none();
    found.extend(problem.map(|message| Finding {
        at: node.at,
        field: field.clone(),
        message,
    }));
    let value = match &node.value {
        Value::List(nodes) => {
            let items = schema.get("items")?;
            let nodes = nodes.iter().enumerate();
            let kept: Vec<Node> = nodes
                .filter_map(|(i, node)| check(node, items, &field.index(i), found))
                .collect();
            Value::List(Some(kept).filter(|kept| !kept.is_empty())?)
        }
        Value::Map(entries) if fits => Value::Map(check_map(node, entries, schema, field, found)?),
        value => value.clone(),
    };
    fits.then_some(Node { at: node.at, value })
}

/// The entries that fit; `None` if one that is required doesn't.
fn check_map(
    node: &Node,
    entries: &[Entry],
    schema: &Json,
    field: &FieldPath,
    found: &mut Vec<Finding>,
) -> Option<Vec<Entry>> {
    let properties = schema.get("properties").and_then(Json::as_object);
    let mut kept = Vec::new();
    let mut seen = HashMap::new();
    for entry in entries {
        if found.len() > MAX_PROBLEMS {
            return None;
        }
        let path = field.key(&entry.key);
        let mut add = |message| {
            found.push(Finding {
                at: entry.at,
                field: path.clone(),
                message,
            });
        };
        if let Some(first) = seen.insert(&entry.key, entry.at) {
            add(twice(&entry.key, first));
            continue;
        }
        let known = match properties {
            Some(properties) => properties.get(&entry.key),
            None => schema.get("additionalProperties"),
        };
        let Some(known) = known else {
            let names = properties.iter().flat_map(|properties| properties.keys());
            let names: Vec<&str> = names.map(String::as_str).collect();
            add(unknown_field(&entry.key, &names));
            continue;
        };
        if let Some(value) = check(&entry.value, known, &path, found) {
            kept.push(Entry {
                key: entry.key.clone(),
                at: entry.at,
                value,
            });
        }
    }
    for name in schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        let name = name.as_str().unwrap_or_default();
        if node.get(name).is_none() {
            let way_out = match name {
                "selector" => ": write `selector: {}` for every pod",
                "paths" => ": write `paths: [\"/**\"]` for every path",
                _ => "",
            };
            let message = format!("`{name}` is required{way_out}");
            found.push(Finding {
                at: node.at,
                field: field.clone(),
                message,
            });
        }
        if !kept.iter().any(|entry| entry.key == name) {
            let value = Node {
                at: node.at,
                value: stand_in(name)?,
            };
            kept.push(Entry {
                key: name.to_owned(),
                at: node.at,
                value,
            });
        }
    }
    Some(kept)
}

/// A value in which nothing is wrong, for a required field that is missing or unfit, so
/// that the rest of its object can still be checked.
fn stand_in(field: &str) -> Option<Value> {
    let list = |word: &str| {
        let at = Position { line: 0, column: 0 };
        Value::List(vec![Node {
            at,
            value: Value::String(word.to_owned()),
        }])
    };
    match field {
        "selector" => Some(Value::Map(Vec::new())),
        "paths" => Some(list("/")),
        "capabilities" => Some(list("CHOWN")),
        _ => None,
    }
}

/// Notes the fields of a map at `field` that come twice, or that aren't among `names`.
pub(super) fn check_fields(
    entries: &[Entry],
    names: &[&str],
    field: &FieldPath,
    found: &mut Vec<Finding>,
) {
    let mut seen = HashMap::new();
    for entry in entries {
        if found.len() > MAX_PROBLEMS {
            return;
        }
        let message = match seen.insert(&entry.key, entry.at) {
            Some(first) => twice(&entry.key, first),
            None if names.contains(&entry.key.as_str()) => continue,
            None => unknown_field(&entry.key, names),
        };
        found.push(Finding {
            at: entry.at,
            field: field.key(&entry.key),
            message,
        });
    }
}

/// About a key that comes again.
fn twice(key: &str, first: Position) -> String {
    format!(
        "`{}` is there twice, first on line {}: keep one",
        excerpt(key),
        first.line
    )
}

/// About a field that isn't one of `names`.
fn unknown_field(key: &str, names: &[&str]) -> String {
    if key == "namespaceSelector" {
        return "only a ClusterSecurityPolicy has `namespaceSelector`: a SecurityPolicy holds in \
                its own namespace"
            .to_owned();
    }
    if key == "<<" {
        return "merge keys (`<<`) are not read: write the fields out, or use an alias for a \
                whole value"
            .to_owned();
    }
    format!("unknown field `{}`{}", excerpt(key), suggestion(key, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keyword that `check` doesn't know would be ignored silently.
    #[test]
    fn every_keyword_of_the_schema_is_known() {
        const KNOWN: [&str; 16] = [
            "$schema",
            "title",
            "description",
            "default",
            "format",
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "oneOf",
            "anyOf",
            "minimum",
            "maximum",
            "minItems",
            "maxItems",
        ];
        // What `validations` and sets ask for, `validate` checks, too.
        const OTHERS: [&str; 8] = [
            "const",
            "minLength",
            "maxLength",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
            "x-kubernetes-validations",
        ];
        fn visit(schema: &Json) {
            for (keyword, value) in schema.as_object().into_iter().flatten() {
                let known = KNOWN.contains(&keyword.as_str()) || OTHERS.contains(&keyword.as_str());
                assert!(known, "{keyword} is not checked");
                match keyword.as_str() {
                    "properties" => value.as_object().unwrap().values().for_each(visit),
                    "items" | "additionalProperties" => visit(value),
                    "oneOf" => assert!(
                        misfit::words(schema).is_some(),
                        "{schema} is no list of words"
                    ),
                    "anyOf" => value.as_array().unwrap().iter().for_each(visit),
                    _ => {}
                }
            }
        }
        visit(&CLUSTER);
        visit(&NAMESPACED);
        visit(&STATUS);
    }
}
