//! Checks a tree against the schema of the API types: unknown fields, types, words,
//! what is required, lengths and ranges.
//!
//! The schema is the one that becomes the CRD, so a file is judged by what the API
//! server judges by, but with every problem found, its line, and the nearest valid
//! name. Knows the keywords that the types produce; a test says when one is missing.

use std::sync::LazyLock;

use bartizan_abi::op::{Category, Operation};
use bartizan_crds::{ClusterSecurityPolicySpec, SecurityPolicySpec};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::yaml::{Entry, Node, Position, Value};
use crate::nearest::suggestion;
use crate::validate::FieldPath;

/// Schema of `spec` of a `SecurityPolicy`.
pub(super) static NAMESPACED: LazyLock<Json> = LazyLock::new(schema::<SecurityPolicySpec>);
/// Schema of `spec` of a `ClusterSecurityPolicy`.
pub(super) static CLUSTER: LazyLock<Json> = LazyLock::new(schema::<ClusterSecurityPolicySpec>);

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
    let types = types(schema);
    let problem = if let Some(words) = words(schema) {
        word_problem(node, &words)
    } else if !types.is_empty() && !types.contains(&kind(&node.value)) {
        Some(type_problem(node, &types, schema))
    } else {
        limit_problem(&node.value, schema)
    };
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
    for (i, entry) in entries.iter().enumerate() {
        let path = field.key(&entry.key);
        let mut add = |message| {
            found.push(Finding {
                at: entry.at,
                field: path.clone(),
                message,
            });
        };
        if let Some(first) = entries[..i].iter().find(|first| first.key == entry.key) {
            add(twice(&entry.key, first.at));
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

/// About a key that comes again.
pub(super) fn twice(key: &str, first: Position) -> String {
    format!(
        "`{key}` is there twice, first on line {}: keep one",
        first.line
    )
}

/// About a field that isn't one of `names`.
pub(super) fn unknown_field(key: &str, names: &[&str]) -> String {
    if key == "namespaceSelector" {
        return "only a ClusterSecurityPolicy has `namespaceSelector`: a SecurityPolicy holds in \
                its own namespace"
            .to_owned();
    }
    let shown: String = key.chars().take(80).collect();
    format!("unknown field `{shown}`{}", suggestion(key, names))
}

/// The words of an enumeration.
fn words(schema: &Json) -> Option<Vec<&str>> {
    schema
        .get("oneOf")?
        .as_array()?
        .iter()
        .map(|one| one.get("const")?.as_str())
        .collect()
}

fn word_problem(node: &Node, words: &[&str]) -> Option<String> {
    let Value::String(word) = &node.value else {
        let what = kind_in_words(&node.value);
        return Some(format!(
            "is {what}, but should be one of {}",
            words.join(", ")
        ));
    };
    if words.contains(&word.as_str()) {
        return None;
    }
    if let Some(there) = elsewhere(word, words) {
        return Some(format!(
            "`{word}` is {there}; here are {}",
            words.join(", ")
        ));
    }
    let shown: String = word.chars().take(80).collect();
    Some(format!(
        "unknown value `{shown}`{}",
        suggestion(word, words)
    ))
}

/// What a word is that is an operation, but of another category.
fn elsewhere(word: &str, words: &[&str]) -> Option<&'static str> {
    let are_operations = words.contains(&"Connect") || words.contains(&"Chmod");
    let mut all = Operation::ALL.iter().filter(|_| are_operations);
    let operation = all.find(|operation| operation.name().eq_ignore_ascii_case(word))?;
    match operation.category() {
        _ if words.contains(&operation.name()) => None,
        Category::Files => Some("an operation of `files` rules"),
        Category::Network if *operation == Operation::Socket => {
            Some("what `sockets` of a network rule is about")
        }
        Category::Network => Some("an operation of `network` rules"),
        Category::Process => Some("what every `process` rule is about"),
        Category::Capabilities => Some("what every `capabilities` rule is about"),
    }
}

/// Types a schema allows; none where it doesn't say. `null` is never one: a field
/// without a value looks like a list that was meant to be filled.
fn types(schema: &Json) -> Vec<&str> {
    let own = match schema.get("type") {
        Some(Json::String(name)) => vec![name.as_str()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let choices = schema
        .get("anyOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    own.into_iter()
        .chain(choices.flat_map(types))
        .filter(|name| *name != "null")
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn kind_in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        _ => type_in_words(kind(value)),
    }
}

fn type_in_words(name: &str) -> &'static str {
    match name {
        "boolean" => "`true` or `false`",
        "integer" => "a number",
        "number" => "a number with a point",
        "string" => "a text",
        "array" => "a list",
        _ => "a map",
    }
}

fn type_problem(node: &Node, types: &[&str], schema: &Json) -> String {
    let wanted: Vec<&str> = types.iter().map(|name| type_in_words(name)).collect();
    let wanted = wanted.join(" or ");
    let scalar = |node: &Node| match &node.value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::String(text) if text.len() <= 80 => Some(text.clone()),
        _ => None,
    };
    match (types, &node.value) {
        (_, Value::Null) => format!("has no value: write {wanted}, or leave the field out"),
        (["string"], Value::Bool(_) | Value::Integer(_) | Value::Float(_)) => {
            let text = scalar(node).unwrap_or_default();
            format!(
                "is {}, but should be a text: write \"{text}\"",
                kind_in_words(&node.value)
            )
        }
        (["array"], _) => {
            let is = kind_in_words(&node.value);
            let of_scalars = schema
                .get("items")
                .is_none_or(|items| items.get("properties").is_none());
            match scalar(node).filter(|_| of_scalars) {
                Some(text) => format!("is {is}, but should be a list: write [\"{text}\"]"),
                None if matches!(node.value, Value::Map(_)) && !of_scalars => {
                    format!("is {is}, but should be a list: start each element with `- `")
                }
                None => format!("is {is}, but should be a list"),
            }
        }
        _ => format!("is {}, but should be {wanted}", kind_in_words(&node.value)),
    }
}

/// A length as the schema has them.
fn length(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

fn limit_problem(value: &Value, schema: &Json) -> Option<String> {
    let limit = |name: &str| schema.get(name).and_then(Json::as_i64);
    let (size, low, high, unit) = match value {
        Value::List(nodes) => (length(nodes.len()), "minItems", "maxItems", "elements"),
        Value::String(text) => (
            length(text.chars().count()),
            "minLength",
            "maxLength",
            "characters",
        ),
        Value::Integer(number) => (*number, "minimum", "maximum", ""),
        _ => return None,
    };
    let (low, high) = (limit(low), limit(high));
    match (value, low, high) {
        (Value::List(_), Some(low), _) if size < low => {
            Some("the list is empty: leave the field out, or name at least one".to_owned())
        }
        (Value::String(_), Some(low), _) if size < low => Some("the text is empty".to_owned()),
        (Value::Integer(_), Some(low), Some(high)) if !(low..=high).contains(&size) => {
            Some(format!("is {size}, but should be {low} to {high}"))
        }
        (_, _, Some(high)) if size > high => {
            Some(format!("has {size} {unit}, but at most {high} are allowed"))
        }
        _ => None,
    }
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
        const STRINGS: [&str; 4] = [
            "const",
            "minLength",
            "maxLength",
            "x-kubernetes-int-or-string",
        ];
        fn visit(schema: &Json) {
            for (keyword, value) in schema.as_object().into_iter().flatten() {
                let known =
                    KNOWN.contains(&keyword.as_str()) || STRINGS.contains(&keyword.as_str());
                assert!(known, "{keyword} is not checked");
                match keyword.as_str() {
                    "properties" => value.as_object().unwrap().values().for_each(visit),
                    "items" | "additionalProperties" => visit(value),
                    "oneOf" => assert!(words(schema).is_some(), "{schema} is no list of words"),
                    "anyOf" => value.as_array().unwrap().iter().for_each(visit),
                    _ => {}
                }
            }
        }
        visit(&CLUSTER);
        visit(&NAMESPACED);
    }
}
