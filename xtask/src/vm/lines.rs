//! A stream that is looked at line by line.

use std::io::{self, Write};

/// Calls a function for each complete line (without its end) and for a last part line.
pub(crate) struct Lines<F: FnMut(&str)> {
    part: Vec<u8>,
    each: F,
}

impl<F: FnMut(&str)> Lines<F> {
    pub(crate) fn new(each: F) -> Self {
        Self {
            part: Vec::new(),
            each,
        }
    }
}

impl<F: FnMut(&str)> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                (self.each)(&String::from_utf8_lossy(&self.part));
                self.part.clear();
            } else {
                self.part.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&str)> Drop for Lines<F> {
    fn drop(&mut self) {
        if !self.part.is_empty() {
            (self.each)(&String::from_utf8_lossy(&self.part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_being_cut_into_pieces() {
        let mut seen = Vec::new();
        let mut lines = Lines::new(|line: &str| seen.push(line.to_owned()));
        lines.write_all(b"first\nsec").unwrap();
        lines.write_all(b"ond\nlast").unwrap();
        drop(lines);
        assert_eq!(seen, ["first", "second", "last"]);
    }
}
