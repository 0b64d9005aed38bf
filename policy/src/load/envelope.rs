//! What a document of a file holds: one object, or a list of them as `kubectl get`
//! prints it.

use bartizan_crds::API_VERSION;

use super::node::{Node, Value};
use super::object::{self, Object, text};
use super::shape::{self, Finding};
use crate::validate::FieldPath;

/// Kinds of lists, and the `apiVersion` of each.
const LISTS: [(&str, &str); 3] = [
    ("List", "v1"),
    ("SecurityPolicyList", API_VERSION),
    ("ClusterSecurityPolicyList", API_VERSION),
];
/// Fields of a list.
const FIELDS: [&str; 4] = ["apiVersion", "items", "kind", "metadata"];
/// Those of `metav1.ListMeta`.
const METADATA: [&str; 4] = [
    "continue",
    "remainingItemCount",
    "resourceVersion",
    "selfLink",
];

/// The objects of a document of a file. What is wrong with the list they are in is noted.
pub(super) fn read(document: &Node, file: &str, found: &mut Vec<Finding>) -> Vec<Object> {
    let kind = text(document, "kind");
    let list = LISTS.iter().find(|(list, _)| Some(*list) == kind);
    let Some((kind, version)) = list else {
        return vec![object::one(document, FieldPath::default(), Some(file))];
    };
    check(document, kind, version, found);
    let Some(Value::List(items)) = document.get("items").map(|items| &items.value) else {
        return Vec::new();
    };
    let field = FieldPath::default().key("items");
    let items = items.iter().enumerate();
    items
        .map(|(i, item)| object::one(item, field.index(i), Some(file)))
        .collect()
}

/// Notes what is wrong with a list, its items aside.
fn check(list: &Node, kind: &str, version: &str, found: &mut Vec<Finding>) {
    let root = FieldPath::default();
    let mut add = |key: &str, message: String| {
        let at = list.get(key).map_or(list.at, |node| node.at);
        let field = root.key(key);
        found.push(Finding { at, field, message });
    };
    match text(list, "apiVersion") {
        Some(found) if found == version => {}
        _ => add(
            "apiVersion",
            format!("a {kind} is of version `{version}`: write that"),
        ),
    }
    let metadata = list.get("metadata").map(|metadata| &metadata.value);
    match metadata {
        None | Some(Value::Null | Value::Map(_)) => {}
        Some(_) => add("metadata", "is no map: leave it out".to_owned()),
    }
    match list.get("items").map(|items| &items.value) {
        Some(Value::List(_)) => {}
        Some(_) => add(
            "items",
            "is no list: start each policy with `- `".to_owned(),
        ),
        None => add(
            "items",
            format!("a {kind} has its policies in `items`: write them there, or the kind of one"),
        ),
    }
    if let Value::Map(entries) = &list.value {
        shape::check_fields(entries, &FIELDS, &root, found);
    }
    if let Some(Value::Map(entries)) = metadata {
        shape::check_fields(entries, &METADATA, &root.key("metadata"), found);
    }
}
