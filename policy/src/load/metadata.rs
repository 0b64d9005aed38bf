//! `metadata` of objects in files: the fields that Kubernetes has there and no others.
//!
//! A `namspace` that is taken for one of Kubernetes' own fields puts a policy into
//! `default` without a word. What the known fields say is Kubernetes' business, but for
//! labels and annotations, which people write.

use super::node::{Entry, Value};
use super::shape::{self, Finding};
use crate::validate::FieldPath;

/// Those of `metav1.ObjectMeta`.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Notes what no `metadata` of an object at `field` has.
pub(super) fn check(entries: &[Entry], field: &FieldPath, found: &mut Vec<Finding>) {
    shape::check_fields(entries, &FIELDS, field, found);
    for entry in entries {
        if matches!(entry.key.as_str(), "labels" | "annotations") {
            check_texts(entry, &field.key(&entry.key), found);
        }
    }
}

/// Notes what in a map of texts is none.
fn check_texts(texts: &Entry, field: &FieldPath, found: &mut Vec<Finding>) {
    let mut add = |entry: &Entry, field: FieldPath, message: &str| {
        found.push(Finding {
            at: entry.at,
            field,
            message: message.to_owned(),
        });
    };
    match &texts.value.value {
        // As tools that generate objects write it.
        Value::Null => {}
        Value::Map(entries) => {
            for entry in entries {
                if !matches!(entry.value.value, Value::String(_)) {
                    let field = field.key(&entry.key);
                    add(entry, field, "should be a text: write it in quotes");
                }
            }
        }
        _ => add(
            texts,
            field.clone(),
            "is no map: write `KEY: TEXT` for each",
        ),
    }
}
