//! A shell's output as a transcript: what was typed, and what came of it.
//!
//! The script marks where a command begins and ends with lines that start with a
//! control character. What a command leaves of a line comes before the mark. A denial
//! comes when it happens, which may be in the middle of a line of somebody else; that line
//! is put together again behind it.

use super::step::{DENIAL, Mismatch, Seen, Step};

/// Starts a mark: the ASCII record separator, which no command of the demo prints.
const MARK: char = '\u{1e}';

/// The script that runs all steps in one shell.
pub(super) fn script(steps: &[Step]) -> String {
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        script.push_str("printf '\\036begin\\n'\n");
        script.push_str(step.command);
        script.push_str("\nprintf '\\036%s\\n' $?\n");
    }
    script.push_str("exit 0\n");
    script
}

/// The steps and what has been seen of them.
#[derive(Debug)]
pub(super) struct Transcript {
    steps: &'static [Step],
    seen: Vec<Seen>,
    /// The beginning of a line that a denial came into.
    begun: String,
}

impl Transcript {
    pub(super) fn new(steps: &'static [Step]) -> Self {
        Self {
            steps,
            seen: Vec::new(),
            begun: String::new(),
        }
    }

    /// How many steps there are.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Takes a line of the shell's output; what to print, if anything.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let line = std::mem::take(&mut self.begun) + line;
        let (begun, line) = line.split_at(line.find(DENIAL).unwrap_or(0));
        begun.clone_into(&mut self.begun);
        let Some((text, mark)) = line.split_once(MARK) else {
            self.output(line);
            return Some(line.to_owned());
        };
        let text = (!text.is_empty()).then(|| {
            self.output(text);
            text.to_owned()
        });
        let said = if mark == "begin" {
            self.begin()
        } else {
            self.end(mark)
        };
        match (text, said) {
            (Some(text), Some(said)) => Some(format!("{text}\n{said}")),
            (text, said) => text.or(said),
        }
    }

    fn output(&mut self, line: &str) {
        if let Some(seen) = self.seen.last_mut() {
            seen.output.push(line.to_owned());
        }
    }

    fn begin(&mut self) -> Option<String> {
        let step = self.steps.get(self.seen.len())?;
        self.seen.push(Seen::default());
        let about = match step.about {
            "" => String::new(),
            about => format!("\n# {}\n", about.replace('\n', "\n# ")),
        };
        Some(format!("{about}$ {}", step.command))
    }

    fn end(&mut self, status: &str) -> Option<String> {
        let status = status.parse().ok()?;
        self.seen.last_mut()?.status = Some(status);
        (status != 0).then(|| format!("(exit status {status})"))
    }

    /// The steps that did something else than they should, those that never ran included.
    pub(super) fn mismatches(&self) -> Vec<Mismatch<'_>> {
        let never = std::iter::repeat_with(Seen::default);
        self.steps
            .iter()
            .zip(self.seen.iter().cloned().chain(never))
            .filter_map(|(step, seen)| step.check(&seen))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[
        Step {
            about: "First.",
            command: "printf x; false",
            status: 1,
            shows: &["x"],
            denials: &[],
            repeated: false,
        },
        Step {
            about: "",
            command: "true",
            status: 0,
            shows: &[],
            denials: &[],
            repeated: false,
        },
    ];

    #[test]
    fn a_transcript_reads_like_a_terminal() {
        let mut transcript = Transcript::new(STEPS);
        let lines = ["\u{1e}begin", "x\u{1e}1", "\u{1e}begin", "\u{1e}0"];
        let printed: Vec<_> = lines
            .iter()
            .filter_map(|line| transcript.line(line))
            .collect();
        assert_eq!(
            printed,
            [
                "\n# First.\n$ printf x; false",
                "x\n(exit status 1)",
                "$ true"
            ]
        );
        assert!(transcript.mismatches().is_empty());
    }

    #[test]
    fn a_denial_in_the_middle_of_a_line_is_a_line() {
        let mut transcript = Transcript::new(STEPS);
        let denial = r#"{"time":"now","verdict":"deny"}"#;
        let into = format!("sh: {denial}");
        let lines = ["\u{1e}begin", &into, denial, "denied", "\u{1e}1"];
        let printed: Vec<_> = lines
            .iter()
            .filter_map(|line| transcript.line(line))
            .collect();
        let expected = [denial, denial, "sh: denied", "(exit status 1)"];
        assert_eq!(printed[1..], expected);
        assert_eq!(transcript.seen[0].output, expected[..3]);
    }

    #[test]
    fn a_step_that_never_ran_is_a_mismatch() {
        let mut transcript = Transcript::new(STEPS);
        for line in ["\u{1e}begin", "x\u{1e}1"] {
            transcript.line(line);
        }
        assert_eq!(transcript.mismatches().len(), 1);
    }

    #[test]
    fn the_script_runs_each_command_as_it_is_shown() {
        let script = script(STEPS);
        for step in STEPS {
            assert!(script.contains(&format!("\n{}\n", step.command)));
        }
    }
}
