//! One command of the demo, and what it has to show.

use std::fmt;

/// A command that is typed into a shell.
#[derive(Debug)]
pub(super) struct Step {
    /// A remark above it; empty for none.
    pub(super) about: &'static str,
    /// The command, as a shell takes it.
    pub(super) command: &'static str,
    /// Its exit status.
    pub(super) status: u8,
    /// Texts in its output, in this order.
    pub(super) shows: &'static [&'static str],
    /// The denials among its output, each by a part of its line; there are no others.
    pub(super) denials: &'static [&'static str],
    /// Whether the same denial may come as several lines: how many depends on the time
    /// between them.
    pub(super) repeated: bool,
}

/// What a command did.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Lines of output.
    pub(super) output: Vec<String>,
    /// Its exit status; `None` if it never ended.
    pub(super) status: Option<u8>,
}

/// A command that did something else than it should.
#[derive(Debug)]
pub(super) struct Mismatch<'a> {
    step: &'a Step,
    seen: Seen,
}

impl Step {
    /// Compares; `None` if the command did what it should.
    pub(super) fn check(&self, seen: &Seen) -> Option<Mismatch<'_>> {
        let lines: Vec<_> = seen.output.iter().filter(|line| is_denial(line)).collect();
        let denied = (self.repeated || lines.len() == self.denials.len())
            && (self.denials.iter()).all(|part| lines.iter().any(|line| line.contains(part)))
            && (lines.iter()).all(|line| self.denials.iter().any(|part| line.contains(part)));
        let text = seen.output.join("\n");
        let shown = self
            .shows
            .iter()
            .try_fold(text.as_str(), |rest, part| Some(rest.split_once(part)?.1))
            .is_some();
        if denied && shown && seen.status == Some(self.status) {
            return None;
        }
        Some(Mismatch {
            step: self,
            seen: seen.clone(),
        })
    }
}

/// How the enforcer's lines begin: with their time.
pub(super) const DENIAL: &str = r#"{"time":"#;

fn is_denial(line: &str) -> bool {
    line.starts_with(DENIAL)
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "MISMATCH: $ {}", self.step.command)?;
        writeln!(f, "  expected: exit status {}", self.step.status)?;
        for text in self.step.shows {
            writeln!(f, "            {text}")?;
        }
        match self.step.denials {
            [] => writeln!(f, "            no denials")?,
            denials => {
                for denial in denials {
                    writeln!(f, "            a denial with {denial}")?;
                }
            }
        }
        match self.seen.status {
            Some(status) => write!(f, "  got:      exit status {status}")?,
            None => write!(f, "  got:      no end")?,
        }
        for line in &self.seen.output {
            write!(f, "\n            {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step = Step {
        about: "",
        command: "cat /etc/shadow",
        status: 1,
        shows: &["can't open", "denied"],
        denials: &[r#""verdict":"deny""#],
        repeated: false,
    };

    fn seen(status: Option<u8>, output: &[&str]) -> Seen {
        Seen {
            output: output.iter().map(ToString::to_string).collect(),
            status,
        }
    }

    const DENIED: &str = r#"{"time":"now","verdict":"deny"}"#;

    #[test]
    fn status_text_and_denials_all_have_to_be_right() {
        let said = "cat: can't open: Permission denied";
        assert!(STEP.check(&seen(Some(1), &[said, DENIED])).is_none());
        for wrong in [
            seen(Some(0), &[said, DENIED]),
            seen(None, &[said, DENIED]),
            seen(Some(1), &["denied: can't open", DENIED]),
            seen(Some(1), &[said]),
            seen(Some(1), &[said, DENIED, DENIED]),
            seen(Some(1), &[said, r#"{"time":"now","verdict":"audit"}"#]),
        ] {
            assert!(STEP.check(&wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn only_repeated_denials_may_be_any_number_of_lines() {
        let said = "can't open: denied";
        let step = Step {
            repeated: true,
            ..STEP
        };
        assert!(
            step.check(&seen(Some(1), &[said, DENIED, DENIED]))
                .is_none()
        );
        assert!(step.check(&seen(Some(1), &[said])).is_some());
        let other = r#"{"time":"now","verdict":"audit"}"#;
        assert!(step.check(&seen(Some(1), &[said, DENIED, other])).is_some());
    }

    #[test]
    fn a_mismatch_shows_both_sides() {
        let text = STEP.check(&seen(Some(0), &["root:*"])).unwrap().to_string();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "MISMATCH: $ cat /etc/shadow",
                "expected: exit status 1",
                "can't open",
                "denied",
                r#"a denial with "verdict":"deny""#,
                "got:      exit status 0",
                "root:*",
            ]
        );
    }
}
