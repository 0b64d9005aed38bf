//! One object of a file: its envelope (`apiVersion`, `kind`, `metadata`), then its
//! `spec` by the schema of its kind, then what it means.

use bartizan_crds::{API_VERSION, CLUSTER_SECURITY_POLICY, GROUP, SECURITY_POLICY};
use serde::de::DeserializeOwned;

use super::node::{Node, Position, Value};
use super::shape::{self, Finding};
use super::{Diagnostic, metadata};
use crate::excerpt::excerpt;
use crate::nearest::nearest;
use crate::policy::{Origin, Policy};
use crate::validate::{self, Checked, FieldPath, Problem, Segment};

/// Namespace of a `SecurityPolicy` that names none, as for `kubectl apply`.
const DEFAULT_NAMESPACE: &str = "default";

/// One object, with what is known of it even if it is wrong.
pub(super) struct Object {
    pub(super) kind: Option<&'static str>,
    /// Of a `SecurityPolicy`.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) at: Position,
    pub(super) result: Result<Policy, Vec<Finding>>,
}

pub(super) fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.get(key)?.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The object at a place in a document of a file; without a file, one of the API server.
pub(super) fn one(node: &Node, root: FieldPath, file: Option<&str>) -> Object {
    let mut reader = Reader {
        node,
        root,
        file,
        foreign: false,
        found: Vec::new(),
    };
    let kind = reader.kind();
    let (name, given) = if reader.foreign {
        (None, None)
    } else {
        reader.metadata()
    };
    let namespace = match kind {
        Some(SECURITY_POLICY) => Some(given.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())),
        Some(_) if given.is_some() => {
            let field = FieldPath::default().key("metadata").key("namespace");
            reader.add(
                field,
                "a ClusterSecurityPolicy is in no namespace: remove it",
            );
            None
        }
        _ => None,
    };
    let result = reader.policy(kind, namespace.as_deref(), name.as_deref());
    Object {
        kind,
        namespace,
        name,
        at: node.at,
        result,
    }
}

struct Reader<'a> {
    node: &'a Node,
    /// Place of the object in its document.
    root: FieldPath,
    /// `None`: from the API server, which has judged what surrounds `spec` by its own,
    /// maybe newer, rules.
    file: Option<&'a str>,
    /// Another API's object: its fields are not ours to judge.
    foreign: bool,
    found: Vec<Finding>,
}

impl Reader<'_> {
    /// Notes a problem of a field of the object.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers make the field for this alone"
    )]
    fn add(&mut self, field: FieldPath, message: impl Into<String>) {
        self.found.push(Finding {
            at: locate(self.node, &field),
            field: self.full(&field),
            message: message.into(),
        });
    }

    /// A field of the object as a field of its document.
    fn full(&self, field: &FieldPath) -> FieldPath {
        FieldPath([&self.root.0[..], &field.0[..]].concat())
    }

    /// Checks `apiVersion`, `kind` and the object's fields.
    fn kind(&mut self) -> Option<&'static str> {
        const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        let Value::Map(entries) = &self.node.value else {
            self.add(
                FieldPath::default(),
                "is no object: start with `apiVersion` and `kind`",
            );
            return None;
        };
        let (version, kind) = (text(self.node, "apiVersion"), text(self.node, "kind"));
        let group = version
            .and_then(|version| version.split_once('/'))
            .map(|(group, _)| group);
        let known = [SECURITY_POLICY, CLUSTER_SECURITY_POLICY];
        let found = known.into_iter().find(|known| Some(*known) == kind);
        let field = FieldPath::default().key("kind");
        match (found, kind) {
            (Some(_), _) => {}
            (None, Some(kind)) => {
                let shown = excerpt(kind);
                let message = match nearest(kind, known) {
                    Some(near) => format!("unknown kind `{shown}`, did you mean `{near}`?"),
                    None => format!(
                        "`{shown}` is no policy: only {SECURITY_POLICY} and \
                         {CLUSTER_SECURITY_POLICY} can be here"
                    ),
                };
                self.add(field, message);
                if version.is_none_or(|version| version != API_VERSION) && group != Some(GROUP) {
                    self.foreign = true;
                    return None;
                }
            }
            (None, None) => {
                let message =
                    format!("`kind` is required: {SECURITY_POLICY} or {CLUSTER_SECURITY_POLICY}");
                self.add(field, message);
            }
        }
        if version != Some(API_VERSION) {
            let message = match version {
                Some(version) => format!("unknown version `{version}`: write `{API_VERSION}`"),
                None => format!("`apiVersion` is required: write `{API_VERSION}`"),
            };
            self.add(FieldPath::default().key("apiVersion"), message);
        }
        shape::check_fields(entries, &FIELDS, &self.root, &mut self.found);
        found
    }

    /// The name and namespace. What other fields of `metadata` say is Kubernetes' business.
    fn metadata(&mut self) -> (Option<String>, Option<String>) {
        let field = FieldPath::default().key("metadata");
        let Some(metadata) = self.node.get("metadata") else {
            if matches!(self.node.value, Value::Map(_)) {
                self.add(
                    field,
                    "`metadata` is required: write `metadata: { name: NAME }`",
                );
            }
            return (None, None);
        };
        let Value::Map(entries) = &metadata.value else {
            self.add(field, "is no map: write `metadata: { name: NAME }`");
            return (None, None);
        };
        if self.file.is_some() {
            metadata::check(entries, &self.full(&field), &mut self.found);
        }
        let mut string = |key: &str| match metadata.get(key).map(|node| &node.value) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.add(field.key(key), "should be a text: write it in quotes");
                None
            }
            None => None,
        };
        let namespace = string("namespace");
        let name = string("name");
        if metadata.get("name").is_none() {
            self.add(field, "`name` is required");
        }
        (name, namespace)
    }

    fn policy(
        mut self,
        kind: Option<&str>,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Policy, Vec<Finding>> {
        let Some(kind) = kind else {
            return Err(self.found);
        };
        let Some(spec) = self.node.get("spec") else {
            self.add(FieldPath::default(), "`spec` is required");
            return Err(self.found);
        };
        let schema = if kind == SECURITY_POLICY {
            &*shape::NAMESPACED
        } else {
            &*shape::CLUSTER
        };
        if self.file.is_some()
            && let Some(status) = self.node.get("status")
        {
            let field = self.root.key("status");
            shape::check(status, &shape::STATUS, &field, &mut self.found);
        }
        let full = self.root.key("spec");
        // What doesn't fit the schema is left out, so that the rest is checked all the same.
        let Some(fitting) = shape::check(spec, schema, &full, &mut self.found) else {
            return Err(self.found);
        };
        // A name that is missing is a problem already; what it is then doesn't matter.
        let name = name.unwrap_or("unnamed");
        let checked = match namespace {
            Some(namespace) => self
                .parsed(&fitting)
                .map(|spec| validate::namespaced(namespace, name, &spec)),
            None => self
                .parsed(&fitting)
                .map(|spec| validate::cluster(name, &spec)),
        };
        match checked {
            Some(Ok(checked)) if self.found.is_empty() => Ok(self.placed(checked)),
            Some(Err(problems)) => {
                for Problem { field, message } in problems {
                    let field = in_file(&field, &fitting, spec);
                    self.add(field, message);
                }
                Err(self.found)
            }
            _ => Err(self.found),
        }
    }

    /// The API type. The schema has been checked, so this fails only where schema and
    /// type disagree.
    fn parsed<T: DeserializeOwned>(&mut self, spec: &Node) -> Option<T> {
        serde_json::from_value(spec.to_json())
            .map_err(|error| self.add(FieldPath::default().key("spec"), error.to_string()))
            .ok()
    }

    fn placed(&self, checked: Checked) -> Policy {
        let lines = checked.fields.iter();
        let lines = lines.map(|field| locate(self.node, field).line);
        let origin = self.file.map(|file| Origin {
            file: file.to_owned(),
            line: self.node.at.line,
            rules: lines.collect(),
        });
        let warning = |Problem { field, message }| match self.file {
            Some(file) => {
                let at = locate(self.node, &field);
                let field = self.full(&field);
                Diagnostic::new(file, Finding { at, field, message })
            }
            None => Diagnostic::of_field(&field, message),
        };
        Policy {
            origin,
            warnings: checked.warnings.into_iter().map(warning).collect(),
            ..checked.policy
        }
    }
}

/// A field of what is left of `spec`, as a field of all of it: elements of a list that
/// were left out count again.
fn in_file(field: &FieldPath, fitting: &Node, spec: &Node) -> FieldPath {
    let mut steps = field.0.iter();
    let mut path: Vec<Segment> = steps.next().cloned().into_iter().collect();
    let mut nodes = (Some(fitting), Some(spec));
    for segment in steps {
        let (Some(left), Some(whole)) = nodes else {
            path.push(segment.clone());
            continue;
        };
        match (segment, &left.value, &whole.value) {
            (Segment::Index(index), Value::List(left), Value::List(whole)) => {
                let left = left.get(*index);
                // No two elements start at the same place.
                let found = whole
                    .iter()
                    .position(|node| Some(node.at) == left.map(|n| n.at));
                path.push(Segment::Index(found.unwrap_or(*index)));
                nodes = (left, found.and_then(|found| whole.get(found)));
            }
            (Segment::Key(key), ..) => {
                path.push(segment.clone());
                nodes = (left.get(key), whole.get(key));
            }
            _ => {
                path.push(segment.clone());
                nodes = (None, None);
            }
        }
    }
    FieldPath(path)
}

/// Where a field is, or the nearest thing around it that is there.
fn locate(node: &Node, field: &FieldPath) -> Position {
    let mut at = node.at;
    let mut node = node;
    for segment in &field.0 {
        match (segment, &node.value) {
            (Segment::Key(key), Value::Map(entries)) => {
                let Some(entry) = entries.iter().find(|entry| entry.key == *key) else {
                    break;
                };
                at = entry.at;
                node = &entry.value;
            }
            (Segment::Index(index), Value::List(nodes)) => {
                let Some(element) = nodes.get(*index) else {
                    break;
                };
                at = element.at;
                node = element;
            }
            _ => break,
        }
    }
    at
}
