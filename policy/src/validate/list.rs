//! Lists of a rule: every element parsed or its problem noted at its place.

use std::collections::HashSet;

use serde::Serialize;

use crate::excerpt::excerpt;
use crate::pattern::Pattern;

use super::field::{FieldPath, Problems};

/// Patterns of a list that may be left out.
pub(super) fn optional(
    texts: Option<&Vec<String>>,
    field: &FieldPath,
    left_out: &str,
    problems: &mut Problems,
) -> Option<Vec<Pattern>> {
    not_empty(texts, field, left_out, problems);
    patterns(texts.map_or(&[][..], Vec::as_slice), field, problems)
}

/// All patterns, or `None` after each problem was noted.
fn patterns(texts: &[String], field: &FieldPath, problems: &mut Problems) -> Option<Vec<Pattern>> {
    each(texts, field, problems, |text| Pattern::parse(text))
}

/// All elements parsed, or `None` after each problem was noted at its element.
pub(super) fn each<T: Serialize, U, E: std::fmt::Display>(
    list: &[T],
    field: &FieldPath,
    problems: &mut Problems,
    parse: impl Fn(&T) -> Result<U, E>,
) -> Option<Vec<U>> {
    repeated(list, field, problems);
    let before = problems.found.len();
    let mut parsed = Vec::with_capacity(list.len());
    for (i, element) in list.iter().enumerate() {
        match parse(element) {
            Ok(element) => parsed.push(element),
            Err(error) => problems.add(field.index(i), error.to_string()),
        }
    }
    (problems.found.len() == before).then_some(parsed)
}

/// Refuses a list that was written, but empty.
pub(super) fn not_empty<T>(
    list: Option<&Vec<T>>,
    field: &FieldPath,
    left_out: &str,
    problems: &mut Problems,
) {
    if list.is_some_and(Vec::is_empty) {
        let message = format!("the list is empty: leave it out for {left_out}");
        problems.add(field.clone(), message);
    }
}

/// Warns of what a list says again: often something else was meant.
pub(super) fn repeated<T: Serialize>(list: &[T], field: &FieldPath, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for (i, element) in list.iter().enumerate() {
        let json = serde_json::to_string(element).unwrap_or_default();
        // `80` and `"80"` are the same port.
        let text = json.trim_matches('"');
        if !seen.insert(text.to_owned()) {
            let message = format!("`{}` is there twice: remove one", excerpt(text));
            problems.warn(field.index(i), message);
        }
    }
}

/// The required `paths` of a rule.
pub(super) fn paths(
    texts: &[String],
    rule: &FieldPath,
    problems: &mut Problems,
) -> Option<Vec<Pattern>> {
    let field = rule.key("paths");
    if texts.is_empty() {
        problems.add(field, "the list is empty: write `/**` for every path");
        return None;
    }
    patterns(texts, &field, problems)
}
