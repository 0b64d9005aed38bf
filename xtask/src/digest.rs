//! Names in the cache that depend on what something was made from.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Eight hexadecimal digits for some texts, the same for the same texts.
///
/// Another Rust may give others; then what is in the cache is made again.
pub(crate) fn digest(texts: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn texts_are_told_apart_by_where_they_end() {
        assert_eq!(digest(&["a", "b"]).len(), 8);
        assert_ne!(digest(&["a", "b"]), digest(&["ab", ""]));
    }
}
