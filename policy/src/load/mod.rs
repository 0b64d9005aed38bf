//! Policy files to policies, or everything that is wrong with them.
//!
//! ```text
//!   bytes ─► yaml (a tree with places) ─► shape (the schema) ─► serde ─► validate
//!                     └──────────────── every problem with file, line and field ◄──┘
//! ```
//!
//! All or nothing: one mistake in one file, and no policy comes out, because half of
//! a set of policies is a set that nobody wrote.

mod diagnostic;
mod envelope;
mod metadata;
mod misfit;
mod node;
mod object;
mod shape;
mod source;
mod yaml;

use std::collections::HashMap;

use bartizan_crds::{CLUSTER_SECURITY_POLICY, SECURITY_POLICY};

pub use diagnostic::{Diagnostic, Diagnostics};
pub use source::Source;

use crate::excerpt::excerpt;
use crate::policy::Policy;
use crate::validate::{FieldPath, Problem};
use node::Node;
use object::Object;

/// Bytes of a file; a Kubernetes object has at most 1.5 MiB.
pub const MAX_BYTES: usize = 4 << 20;

/// Problems of all files that are reported: nobody reads more.
const MAX_PROBLEMS: usize = 1_000;

/// The policies of all files, in the order of files and documents.
pub fn load(sources: &[Source]) -> Result<Vec<Policy>, Diagnostics> {
    let mut problems = Vec::new();
    let mut policies: Vec<Policy> = Vec::new();
    let mut names = HashMap::new();
    for source in sources {
        for object in objects(source, &mut problems) {
            let Object {
                kind,
                namespace,
                name,
                at,
                ..
            } = &object;
            let place = format!("{}:{}", source.file, at.line);
            if let (Some(kind), Some(name)) = (kind, name)
                && let Some(first) = names.insert((*kind, namespace.clone(), name.clone()), place)
            {
                let name = excerpt(name);
                let full = match namespace {
                    Some(namespace) => format!("{}/{name}", excerpt(namespace)),
                    None => name.into_owned(),
                };
                problems.push(Diagnostic {
                    file: source.file.clone(),
                    line: Some(at.line),
                    column: Some(at.column),
                    field: Some("metadata.name".to_owned()),
                    message: format!("{kind} {full} is already at {first}: rename or remove one"),
                });
            }
            match object.result {
                Ok(policy) => policies.push(policy),
                Err(findings) => {
                    let findings = findings.into_iter();
                    problems.extend(findings.map(|found| Diagnostic::new(&source.file, found)));
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(policies);
    }
    let file = |problem: &Diagnostic| sources.iter().position(|s| s.file == problem.file);
    problems.sort_by_cached_key(|problem| (file(problem), problem.line, problem.column));
    if problems.len() > MAX_PROBLEMS {
        let last = &problems[MAX_PROBLEMS - 1];
        let message = "more problems follow: fix these first";
        let more = Diagnostic {
            column: None,
            field: None,
            message: message.into(),
            ..last.clone()
        };
        problems.truncate(MAX_PROBLEMS);
        problems.push(more);
    }
    Err(Diagnostics(problems))
}

/// The policy that an object of the API server is, or everything that is wrong with it,
/// in the words that [`load`] has for a file.
pub fn object(json: &serde_json::Value) -> Result<Policy, Vec<Problem>> {
    let node = Node::from_json(json);
    let object = object::one(&node, FieldPath::default(), None);
    object.result.map_err(|findings| {
        let problems = findings.into_iter().map(|found| Problem {
            field: found.field,
            message: found.message,
        });
        problems.take(MAX_PROBLEMS).collect()
    })
}

/// The objects of a file.
fn objects(source: &Source, problems: &mut Vec<Diagnostic>) -> Vec<Object> {
    let file = &source.file;
    let bytes = match &source.bytes {
        Ok(bytes) => bytes,
        Err(why) => {
            problems.push(Diagnostic::of_file(file, why));
            return Vec::new();
        }
    };
    if bytes.len() > MAX_BYTES {
        let message = format!("is larger than {} MiB: split it", MAX_BYTES >> 20);
        problems.push(Diagnostic::of_file(file, message));
        return Vec::new();
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let message = format!(
                "byte 0x{:02x} is not UTF-8: save the file as UTF-8",
                bytes[at]
            );
            problems.push(at_byte(file, bytes, at, message));
            return Vec::new();
        }
    };
    // To the parser it is the end of the text.
    if let Some(at) = text.find('\0') {
        let message = "a NUL byte is in no YAML: is this a text file?".to_owned();
        problems.push(at_byte(file, bytes, at, message));
        return Vec::new();
    }
    let (documents, error) = yaml::parse(text);
    let broken = error.is_some();
    problems.extend(error.map(|error| Diagnostic {
        file: file.clone(),
        line: Some(error.at.line),
        column: Some(error.at.column),
        field: None,
        message: error.message,
    }));
    let mut found = Vec::new();
    let objects: Vec<Object> = documents
        .iter()
        .flat_map(|document| envelope::read(document, file, &mut found))
        .collect();
    let broken = broken || !found.is_empty();
    let found = found.into_iter();
    problems.extend(found.map(|found| Diagnostic::new(file, found)));
    if objects.is_empty() && !broken {
        // An editor that empties a file before it writes must not end enforcement.
        let message =
            format!("has no policy: write a {SECURITY_POLICY} or {CLUSTER_SECURITY_POLICY}");
        problems.push(Diagnostic::of_file(file, message));
    }
    objects
}

/// About a byte with valid text before it.
fn at_byte(file: &str, bytes: &[u8], at: usize, message: String) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let last = before.rsplit('\n').next().unwrap_or_default();
    Diagnostic {
        file: file.to_owned(),
        line: Some(before.split('\n').count() as u32),
        column: Some(last.chars().count() as u32 + 1),
        field: None,
        message,
    }
}

#[cfg(test)]
mod tests;
