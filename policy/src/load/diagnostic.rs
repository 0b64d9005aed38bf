//! What is wrong with the files a user gave, place by place.

use std::fmt;

use serde::Serialize;

use super::shape::Finding;
use crate::printable::Printable;
use crate::validate::FieldPath;

/// One thing that is wrong, where, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// File name as the user gave it; empty for an object of the API server.
    pub file: String,
    /// Line, from 1; absent where the whole file is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The field, such as `spec.files.deny[0].paths[1]`; absent where no field is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what to write instead; one line.
    pub message: String,
}

impl Diagnostic {
    /// About a place in a file.
    pub(super) fn new(file: &str, found: Finding) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(found.at.line),
            column: Some(found.at.column),
            field: Some(found.field.to_string()).filter(|field| !field.is_empty()),
            message: found.message,
        }
    }

    /// About a field of an object of the API server.
    pub(super) fn of_field(field: &FieldPath, message: String) -> Self {
        Self {
            field: Some(field.to_string()),
            ..Self::of_file("", message)
        }
    }

    /// About a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let file = file.to_owned();
        Self {
            file,
            line: None,
            column: None,
            field: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: field: message`, what is absent left out; one printable line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(&self.file))?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.file.is_empty() {
            write!(f, ": ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{}: ", Printable(field))?;
        }
        write!(f, "{}", Printable(&self.message))
    }
}

/// Everything that is wrong with the files; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Cause for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        "InvalidPolicy"
    }
}

impl fmt::Display for Diagnostics {
    /// One diagnostic per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{diagnostic}")?;
        }
        Ok(())
    }
}
