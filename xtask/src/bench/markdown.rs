//! Tables and numbers as the page has them.

use std::fmt::Write as _;

/// Adds a table's first two rows.
pub(super) fn head<'a>(text: &mut String, titles: impl Iterator<Item = &'a str> + Clone) {
    row(text, titles.clone());
    let _ = writeln!(text, "|{}", "---|".repeat(titles.count()));
}

/// Adds a row of a table.
pub(super) fn row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    text.push('|');
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

/// A number as people write it: 1,234.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value.round() < 0.0 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(-12.0), "-12");
        assert_eq!(grouped(-0.2), "0");
    }
}
