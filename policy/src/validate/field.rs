//! Places in an object, and what is wrong there.

use std::fmt;

use crate::excerpt::excerpt;
use crate::printable::Printable;

/// A field's place in an object: `spec.files.deny[0].paths[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A field of an object or key of a map.
    Key(String),
    /// An element of a list.
    Index(usize),
}

impl FieldPath {
    /// The place of a field of this object.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The place of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                // Nobody reads a name of hundreds of characters.
                Segment::Key(key) if excerpt(key) != *key => write!(f, "[{:?}]", excerpt(key))?,
                Segment::Key(key) if key.contains(|c: char| !c.is_ascii_alphanumeric()) => {
                    write!(f, "[{key:?}]")?;
                }
                Segment::Key(key) if i == 0 => write!(f, "{key}")?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// One thing that is wrong with an object, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub field: FieldPath,
    /// What, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field.to_string();
        write!(f, "{}: {}", Printable(&field), Printable(&self.message))
    }
}

/// Warnings about a policy that are kept: nobody reads more.
const MAX_WARNINGS: usize = 100;

/// Collects problems, so that all of them are reported and not only the first.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// What makes the object invalid.
    pub(crate) found: Vec<Problem>,
    /// What is probably not meant, but means something.
    pub(crate) warnings: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, field: FieldPath, message: impl Into<String>) {
        self.found.push(Problem {
            field,
            message: message.into(),
        });
    }

    pub(crate) fn warn(&mut self, field: FieldPath, message: impl Into<String>) {
        let message = message.into();
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Problem { field, message });
        }
    }

    /// The value, or `None` after its error was noted at `field`.
    pub(crate) fn note<T, E: fmt::Display>(
        &mut self,
        field: FieldPath,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_jq() {
        let path = FieldPath::default()
            .key("spec")
            .key("files")
            .key("deny")
            .index(0);
        assert_eq!(
            path.key("paths").index(1).to_string(),
            "spec.files.deny[0].paths[1]"
        );
        let labels = FieldPath::default()
            .key("spec")
            .key("selector")
            .key("matchLabels");
        let label = labels.key("app.kubernetes.io/name");
        assert_eq!(
            label.to_string(),
            r#"spec.selector.matchLabels["app.kubernetes.io/name"]"#
        );
    }
}
