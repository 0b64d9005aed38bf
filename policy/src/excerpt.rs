//! Texts as messages repeat them.

use std::borrow::Cow;

/// Characters that a message repeats at most.
const MAX_SHOWN: usize = 80;

/// A text, or its start with `...` where nobody would read all of it.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_behind_eighty_characters() {
        let fits = "ä".repeat(80);
        assert_eq!(excerpt(&fits), fits);
        assert_eq!(excerpt(&format!("{fits}ä")), format!("{fits}..."));
    }
}
