//! Text from elsewhere that is safe to print.
//!
//! Names, patterns and messages are what others wrote. On a terminal an escape sequence
//! in them could rewrite what was printed before, a line break add a line that nobody
//! said, and a bidirectional override turn a path around.

use std::fmt::{self, Write as _};

/// A text with visible escapes (`\n`, `\u{1b}`) for whatever would not be seen.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_printable(c) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_default())?;
            }
        }
        Ok(())
    }
}

/// A JSON text that is safe to print: `\uNNNN` for whatever would not be seen, line breaks
/// between its values aside. It says the same, since only its strings have such characters.
pub struct PrintableJson<'a>(pub &'a str);

impl fmt::Display for PrintableJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c == '\n' || is_printable(c) {
                f.write_char(c)?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(f, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a character is seen and changes nothing but its own place: no control
/// character, no line or paragraph separator, none that is invisible or changes the
/// direction of what follows.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Appends the bytes of a name or path: what is not UTF-8 as `\xNN`, a backslash as
/// `\\`, so that different bytes are different texts.
pub fn push_path(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_is_escaped_and_nothing_else() {
        let text = "a\x1b[31m\n\t\u{9b}\u{7f}\u{202e}\u{feff} größe 日本 `\\`";
        assert_eq!(
            Printable(text).to_string(),
            r"a\u{1b}[31m\n\t\u{9b}\u{7f}\u{202e}\u{feff} größe 日本 `\`"
        );
    }

    #[test]
    fn json_says_the_same_and_nothing_else_to_a_terminal() {
        let value =
            serde_json::json!({ "a": "\u{9b}31m\u{202e}\u{7f}\u{e0001} \u{1b}\n日本 \"\\" });
        let text = serde_json::to_string(&value).unwrap();
        let printed = PrintableJson(&text).to_string();
        assert!(printed.chars().all(is_printable), "{printed}");
        assert!(printed.contains(r"\u202e\u007f\udb40\udc01"), "{printed}");
        assert!(printed.contains("日本"), "{printed}");
        let read: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn different_paths_are_different_texts() {
        let text = |bytes| {
            let mut text = String::new();
            push_path(&mut text, bytes);
            text
        };
        assert_eq!(text(b"/a\xff\xc3\xa4"), "/a\\xff\u{e4}");
        assert_eq!(text(b"/a\\xff"), r"/a\\xff");
    }
}
