//! What to say about a single value that doesn't fit its schema.

use bartizan_abi::op::{Category, Operation};
use serde_json::Value as Json;

use super::node::{Node, Value};
use crate::excerpt::excerpt;
use crate::nearest::suggestion;

/// What is wrong with a value itself, whatever is inside it.
pub(super) fn of(node: &Node, schema: &Json) -> Option<String> {
    if let Some(words) = words(schema) {
        return word_problem(node, &words);
    }
    let types = types(schema);
    if !types.is_empty() && !types.contains(&kind(&node.value)) {
        return Some(type_problem(node, &types, schema));
    }
    limit_problem(&node.value, schema)
}

/// The words of an enumeration.
pub(super) fn words(schema: &Json) -> Option<Vec<&str>> {
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
    Some(format!(
        "unknown value `{}`{}",
        excerpt(word),
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
        Category::Restrict => Some("for `restrict` to deny"),
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
        Value::Bool(..) => "boolean",
        Value::Integer(..) => "integer",
        Value::Float(..) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn kind_in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Float(_, text) if text.contains('.') => "a number with a point",
        Value::Float(_, text) if text.contains(['e', 'E']) => "a number with an exponent",
        Value::Float(..) => "a number with too many digits",
        Value::Integer(..) => "a number",
        _ => type_in_words(kind(value)),
    }
}

fn type_in_words(name: &str) -> &'static str {
    match name {
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number with a point",
        "string" => "a text",
        "array" => "a list",
        _ => "a map",
    }
}

fn type_problem(node: &Node, types: &[&str], schema: &Json) -> String {
    let wanted: Vec<&str> = types.iter().map(|name| type_in_words(name)).collect();
    let mut wanted = wanted.join(" or ");
    if let (Some(low), Some(high)) = (schema.get("minimum"), schema.get("maximum")) {
        wanted = format!("{wanted} from {low} to {high}");
    }
    match (types, &node.value) {
        (_, Value::Null) => format!("has no value: write {wanted}, or leave the field out"),
        (["string"], Value::Bool(..) | Value::Integer(..) | Value::Float(..)) => {
            let is = kind_in_words(&node.value);
            match written(&node.value) {
                Some(text) => format!("is {is}, but should be a text: write \"{text}\""),
                None => format!("is {is}, but should be a text: write it in quotes"),
            }
        }
        (["array"], _) => {
            let is = kind_in_words(&node.value);
            let of_scalars = schema
                .get("items")
                .is_none_or(|items| items.get("properties").is_none());
            match written(&node.value).filter(|_| of_scalars) {
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

/// What was written, if it is one short word or text.
fn written(value: &Value) -> Option<&str> {
    match value {
        Value::Bool(_, text)
        | Value::Integer(_, text)
        | Value::Float(_, text)
        | Value::String(text) => Some(text.as_str()).filter(|text| text.len() <= 80),
        Value::Null | Value::List(_) | Value::Map(_) => None,
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
        Value::Integer(number, text) if number.to_string() != *text => {
            // `010` is 8 to some readers of YAML and 10 to others.
            return Some(format!(
                "`{}` is a number in another notation: write {number}",
                excerpt(text)
            ));
        }
        Value::Integer(number, _) => (*number, "minimum", "maximum", ""),
        _ => return None,
    };
    let (low, high) = (limit(low), limit(high));
    match (value, low, high) {
        (Value::List(_), Some(low), _) if size < low => {
            Some("the list is empty: leave the field out, or name at least one".to_owned())
        }
        (Value::String(_), Some(low), _) if size < low => Some("the text is empty".to_owned()),
        (Value::Integer(..), Some(low), Some(high)) if !(low..=high).contains(&size) => {
            Some(format!("is {size}, but should be {low} to {high}"))
        }
        (_, _, Some(high)) if size > high => {
            Some(format!("has {size} {unit}, but at most {high} are allowed"))
        }
        _ => None,
    }
}
