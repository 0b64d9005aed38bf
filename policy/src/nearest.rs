//! The valid name that was probably meant.

/// The nearest of the valid names, if one is near enough to be meant: the same but
/// for case, `-` and `_`, or a few letters away.
pub(crate) fn nearest<'a>(text: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .flat_map(char::to_lowercase)
            .collect()
    };
    // Nothing valid is so long, and the distance takes time by its square.
    if text.len() > 64 {
        return None;
    }
    let wanted = plain(text);
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= name.len().min(text.len()) / 3)
        .min()
        .map(|(_, name)| name)
}

/// `, did you mean ...?` or the list of what is valid.
pub(crate) fn suggestion(text: &str, valid: &[&str]) -> String {
    match nearest(text, valid.iter().copied()) {
        Some(name) => format!(", did you mean `{name}`?"),
        None => format!(" (there are {})", valid.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_or_a_letter_are_near() {
        let valid = ["allow", "audit", "default", "deny", "exceptFrom"];
        assert_eq!(nearest("exceptfrom", valid), Some("exceptFrom"));
        assert_eq!(nearest("except_from", valid), Some("exceptFrom"));
        assert_eq!(nearest("dney", valid), Some("deny"));
        assert_eq!(nearest("alow", valid), Some("allow"));
        assert_eq!(nearest("block", valid), None);
        assert_eq!(nearest("", valid), None);
        assert_eq!(nearest(&"a".repeat(1 << 20), valid), None);
    }

    #[test]
    fn what_is_near_nothing_gets_the_whole_list() {
        assert_eq!(
            suggestion("x", &["Allow", "Deny"]),
            " (there are Allow, Deny)"
        );
        assert_eq!(
            suggestion("deny", &["Allow", "Deny"]),
            ", did you mean `Deny`?"
        );
    }
}
