//! Steps done in a place where they have consequences.

use anyhow::Result;

use crate::denial::Denial;
use crate::step::Step;

/// A container with everything that the steps run, open and call from.
pub trait World {
    /// Makes way for what the step makes.
    fn before(&mut self, step: &Step) -> Result<()>;
    /// Does it: the errno, 0 for success.
    fn perform(&mut self, step: &Step) -> Result<i32>;
    /// Puts everything back.
    fn after(&mut self, step: &Step) -> Result<()>;
}

/// Does all steps; returns what was answered wrong.
pub fn perform(world: &mut impl World, steps: &[Step]) -> Result<Vec<String>> {
    let mut mistakes = Vec::new();
    for step in steps {
        world.before(step)?;
        let result = world.perform(step).and_then(|errno| step.check(errno));
        world.after(step)?;
        if let Err(error) = result {
            let (line, operation) = (step.case.line, step.case.operation());
            mistakes.push(format!("{line}: {operation}: {error:#}"));
        }
    }
    Ok(mistakes)
}

/// What is wrong with what was reported of them: lines that are missing, lines that are
/// about something allowed.
pub fn unreported(steps: &[Step], reported: &[Denial]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for step in steps {
        let expected = step.reported();
        let (line, operation) = (step.case.line, step.case.operation());
        let find = |fits: fn(&Denial, &Denial) -> bool| {
            let mut reported = reported.iter();
            reported.find(|seen| expected.iter().any(|one| fits(seen, one)))
        };
        match step.case.verdict.as_str() {
            // The log doesn't tell an owner from others, so a line may be another case's.
            "allow" if step.is_told_apart_from(steps) => {
                if let Some(seen) = find(Denial::is_about) {
                    mistakes.push(format!(
                        "{line}: {operation}: allowed, but reported: {seen:?}"
                    ));
                }
            }
            "allow" => {}
            _ if find(Denial::is).is_none() => {
                mistakes.push(format!("{line}: {operation}: not reported so"));
            }
            _ => {}
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    fn steps() -> Vec<Step> {
        let text = "caller: /bin/app\n\
                    file read /etc/shadow -> deny no-hashes\n\
                    file read /etc/passwd -> allow\n";
        Step::all(&table::parse(text).unwrap()).unwrap()
    }

    fn read(target: &str) -> Denial {
        Denial {
            verdict: "deny".to_owned(),
            rule: Some("no-hashes".to_owned()),
            operation: "Read".to_owned(),
            target: Some(target.to_owned()),
            executable: Some("/bin/app".to_owned()),
        }
    }

    #[test]
    fn a_line_that_is_missing_and_one_too_many_are_mistakes() {
        let steps = steps();
        let right = read("/etc/shadow");
        assert_eq!(unreported(&steps, std::slice::from_ref(&right)), [""; 0]);
        assert_eq!(unreported(&steps, &[]).len(), 1);
        let stray = read("/etc/passwd");
        let said = unreported(&steps, &[right, stray]);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("allowed, but reported"), "{said:?}");
    }

    #[test]
    fn another_answer_than_the_table_s_is_a_mistake() {
        struct Always(i32);
        impl World for Always {
            fn before(&mut self, _: &Step) -> Result<()> {
                Ok(())
            }
            fn perform(&mut self, _: &Step) -> Result<i32> {
                Ok(self.0)
            }
            fn after(&mut self, _: &Step) -> Result<()> {
                Ok(())
            }
        }
        for (errno, wrong) in [(0, "2: "), (13, "3: "), (1, "2: ")] {
            let said = perform(&mut Always(errno), &steps()).unwrap();
            assert!(said[0].starts_with(wrong), "{errno}: {said:?}");
        }
    }
}
