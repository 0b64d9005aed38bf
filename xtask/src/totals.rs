//! Counts of test results, whoever printed them.

use std::fmt;

/// Results of many cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Totals {
    /// Parses `N passed, N failed, N skipped`, which is also how totals are printed.
    pub(crate) fn of_summary(line: &str) -> Option<Self> {
        let mut parts = line.split(", ");
        let mut next = |word| parts.next()?.strip_suffix(word)?.parse().ok();
        let totals = Self {
            passed: next(" passed")?,
            failed: next(" failed")?,
            skipped: next(" skipped")?,
        };
        parts.next().is_none().then_some(totals)
    }

    /// Parses cargo's `test result: ok. N passed; N failed; N ignored; ...`.
    pub(crate) fn of_cargo(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut parts = counts.split("; ");
        let mut next = |word| parts.next()?.strip_suffix(word)?.parse().ok();
        let totals = Self {
            passed: next(" passed")?,
            failed: next(" failed")?,
            skipped: next(" ignored")?,
        };
        Some(totals)
    }

    /// Adds the results of others.
    pub(crate) fn add(&mut self, others: Self) {
        self.passed += others.passed;
        self.failed += others.failed;
        self.skipped += others.skipped;
    }

    /// An exit status: 0 if nothing failed.
    pub(crate) fn status(self) -> u8 {
        u8::from(self.failed > 0)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_summary_reads_back() {
        let totals = Totals {
            passed: 12,
            failed: 3,
            skipped: 4,
        };
        assert_eq!(Totals::of_summary(&totals.to_string()), Some(totals));
        assert_eq!(
            Totals::of_summary("    | 1 passed, 0 failed, 0 skipped"),
            None
        );
    }

    #[test]
    fn cargo_summaries_are_understood_whether_they_are_ok_or_not() {
        let line = "test result: FAILED. 9 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out";
        let expected = Totals {
            passed: 9,
            failed: 1,
            skipped: 2,
        };
        assert_eq!(Totals::of_cargo(line), Some(expected));
    }
}
