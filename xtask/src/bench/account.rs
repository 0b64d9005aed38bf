//! Where the instructions of a decision go.
//!
//! Each step is the difference of two measurements that differ by that step alone, so the
//! account adds up to what is measured as a whole.

use anyhow::Result;

use super::markdown::{grouped, head, row};
use super::page::Kernels;
use super::plan::{EMPTY, UNMANAGED};
use super::readings::Readings;
use super::targets::{DEPTH_5, OPENED, ROOT, UNDECIDED, open};

/// A step: what is done, and what it costs.
type Step = (&'static str, fn(&Readings) -> Result<f64>);

/// Opening at depth 5 under ten rules. `cidr1` judges no files, `r1` has an automaton
/// that ends at the first component.
const OPENING: [Step; 6] = [
    ("the hook: trampoline, call, return", |all| {
        all.added(EMPTY, DEPTH_5)
    }),
    ("the caller's cgroup and its label", |all| {
        Ok(all.added(UNMANAGED, DEPTH_5)? - all.added(EMPTY, DEPTH_5)?)
    }),
    ("binding and table, whether any rule judges files", |all| {
        Ok(all.added("cidr1", DEPTH_5)? - all.added(UNMANAGED, DEPTH_5)?)
    }),
    (
        "mode, flags, dentry, mount, start state; row and verdict",
        |all| Ok(all.added("r1", ROOT)? - all.added("cidr1", DEPTH_5)?),
    ),
    (
        "five components, leaf to root: name, hash, class; one step of the automaton",
        |all| Ok(all.added("r1", DEPTH_5)? - all.added("r1", ROOT)?),
    ),
    ("four more steps of the automaton, root to leaf", |all| {
        Ok(all.added("r10", DEPTH_5)? - all.added("r1", DEPTH_5)?)
    }),
];

/// What is further of something, and a name that globs must decide.
const FURTHER: [Step; 5] = [
    (
        "a further component of at most 8 bytes, leaf to root",
        |all| {
            let [_, _, tenth, twentieth] = OPENED.map(open);
            let components = twentieth.depth() - tenth.depth();
            Ok((all.added("r1", twentieth)? - all.added("r1", tenth)?) / f64::from(components))
        },
    ),
    ("a further step of the automaton, root to leaf", |all| {
        Ok((all.added("r10", DEPTH_5)? - all.added("r1", DEPTH_5)?) / 4.0)
    }),
    ("a name whose first and last byte no glob has", |all| {
        Ok(all.added("r10-globs", DEPTH_5)? - all.added("r10", DEPTH_5)?)
    }),
    ("a name of 8 bytes that globs have to read", |all| {
        undecided(all, 0)
    }),
    ("each further byte of it, up to 24", undecided_byte),
];

/// What a name of [`UNDECIDED`] costs more than if no rule had a glob.
pub(super) fn undecided(all: &Readings, at: usize) -> Result<f64> {
    let (_, target) = UNDECIDED[at];
    Ok(all.added("r1000", target)? - all.added("r1000-no-globs", target)?)
}

/// What each byte between the first two of [`UNDECIDED`] costs more.
pub(super) fn undecided_byte(all: &Readings) -> Result<f64> {
    let [(short, _), (long, _), _] = UNDECIDED;
    Ok((undecided(all, 1)? - undecided(all, 0)?) / f64::from(long - short))
}

/// Adds the account.
pub(super) fn account(text: &mut String, kernels: &Kernels) -> Result<()> {
    text.push_str(
        "\nWhere the instructions of opening at depth 5 under ten rules go; \
         [below](#what-was-tried) is what was tried:\n\n",
    );
    let releases = kernels.iter().map(|(release, _)| release.as_str());
    head(text, ["step"].into_iter().chain(releases));
    for step in OPENING
        .iter()
        .chain(&[("in all", total as fn(&Readings) -> _)])
    {
        line(text, kernels, step)?;
    }
    text.push('\n');
    let releases = kernels.iter().map(|(release, _)| release.as_str());
    head(text, ["of it"].into_iter().chain(releases));
    for step in &FURTHER {
        line(text, kernels, step)?;
    }
    Ok(())
}

fn total(all: &Readings) -> Result<f64> {
    all.added("r10", DEPTH_5)
}

fn line(text: &mut String, kernels: &Kernels, (what, of): &Step) -> Result<()> {
    let values = kernels
        .iter()
        .map(|(_, readings)| Ok(grouped(of(readings)?)))
        .collect::<Result<Vec<String>>>()?;
    row(
        text,
        [*what].into_iter().chain(values.iter().map(String::as_str)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan::NONE;
    use super::*;

    #[test]
    fn the_steps_add_up_to_the_whole() {
        let line = |label: &str, target, ns: u32| {
            format!("{{\"label\":\"{label}\",\"target\":\"{target}\",\"ns\":{ns}}}\n")
        };
        let report = line(NONE, DEPTH_5, 10_000)
            + &line(NONE, ROOT, 8_000)
            + &line(EMPTY, DEPTH_5, 10_180)
            + &line(UNMANAGED, DEPTH_5, 10_250)
            + &line("cidr1", DEPTH_5, 10_300)
            + &line("r1", ROOT, 8_500)
            + &line("r1", DEPTH_5, 11_000)
            + &line("r10", DEPTH_5, 11_160);
        let readings = Readings::parse(&report).unwrap();
        let steps: Vec<f64> = OPENING
            .iter()
            .map(|(_, of)| of(&readings).unwrap())
            .collect();
        assert_eq!(steps, [180.0, 70.0, 50.0, 200.0, 500.0, 160.0]);
        let sum: f64 = steps.iter().sum();
        assert!((sum - total(&readings).unwrap()).abs() < 0.01);
    }
}
