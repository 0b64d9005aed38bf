//! All costs of one kernel, as tables.

use std::fmt::Write as _;

use anyhow::Result;

use super::markdown::{grouped, head, row};
use super::plan::{CROWD, EDITED, EMPTY, UNMANAGED};
use super::readings::Readings;
use super::targets::{
    self, CAPABLE, CONNECT, DEPTHS, OPENED, OTHERS, SENDTO, SOCKET, Target, UNDECIDED, UNKNOWN,
};
use super::workloads::{Rules, WORKLOADS};

/// Adds them.
pub(super) fn costs(text: &mut String, release: &str, readings: &Readings) -> Result<()> {
    let _ = writeln!(
        text,
        "\nInstructions added to `open` and `close` on {release}:\n"
    );
    opening(text, readings)?;
    let _ = writeln!(
        text,
        "\nTo other operations on files, at depth 5 and then with 10 rules at others:\n"
    );
    others(text, readings)?;
    let _ = writeln!(text, "\nTo what is done without files:\n");
    without_files(text, readings)?;
    crowd(text, readings)?;
    let (drift, of) = readings.drift()?;
    let _ = write!(
        text,
        "With nothing attached, costs changed by up to {} within the boot ({of}).\n\
         Slowest of five edits:",
        grouped(drift)
    );
    for workloads in EDITED {
        let ms = readings.edit(workloads)?;
        let _ = write!(text, " {workloads} workloads {ms} ms,");
    }
    text.pop();
    text.push_str(".\n");
    Ok(())
}

fn opening(text: &mut String, readings: &Readings) -> Result<()> {
    let mut columns: Vec<(String, Target)> = DEPTHS
        .iter()
        .zip(OPENED)
        .map(|(depth, path)| (format!("depth {depth}"), targets::open(path)))
        .collect();
    columns.push(("depth 5, no known name".to_owned(), UNKNOWN));
    let undecided = UNDECIDED.iter();
    columns
        .extend(undecided.map(|(length, target)| (format!("{length} bytes for globs"), *target)));
    let titles = columns.iter().map(|(title, _)| title.as_str());
    head(text, ["workload"].into_iter().chain(titles));
    let managed = WORKLOADS
        .iter()
        .filter(|workload| matches!(workload.rules, Rules::Files { .. }))
        .map(|workload| (workload.name, workload.title));
    let others = [(EMPTY, "empty program"), (UNMANAGED, UNMANAGED)];
    for (label, title) in others.into_iter().chain(managed) {
        let cells = columns.iter().map(|(_, target)| (label, *target));
        costs_of(text, title, readings, cells)?;
    }
    Ok(())
}

fn others(text: &mut String, readings: &Readings) -> Result<()> {
    let titles = [
        "operation",
        "empty program",
        UNMANAGED,
        "1 rule",
        "10 rules",
        "100 rules",
        "1,000 rules",
        "depth 1",
        "depth 10",
        "depth 20",
    ];
    head(text, titles.into_iter());
    for operation in OTHERS {
        let [first, fifth, tenth, twentieth] = targets::at_depths(operation);
        let labels = [EMPTY, UNMANAGED, "r1", "r10", "r100", "r1000"];
        let cells = labels.map(|label| (label, fifth)).into_iter();
        let deeper = [first, tenth, twentieth].map(|target| ("r10", target));
        let title = format!("`{operation}`");
        costs_of(text, &title, readings, cells.chain(deeper))?;
    }
    Ok(())
}

fn without_files(text: &mut String, readings: &Readings) -> Result<()> {
    let titles = [
        "operation",
        "empty program",
        UNMANAGED,
        "managed, one network",
        "100 networks",
        "10,000 networks",
    ];
    head(text, titles.into_iter());
    for target in [CONNECT, SENDTO] {
        let labels = [EMPTY, UNMANAGED, "cidr1", "cidr100", "cidr10000"];
        let cells = labels.into_iter().map(|label| (label, target));
        costs_of(text, &format!("`{target}`"), readings, cells)?;
    }
    text.push('\n');
    head(
        text,
        ["operation", "empty program", UNMANAGED, "managed"].into_iter(),
    );
    for target in [SOCKET, CAPABLE] {
        let cells = [EMPTY, UNMANAGED, "all"].map(|label| (label, target));
        costs_of(text, &format!("`{target}`"), readings, cells.into_iter())?;
    }
    Ok(())
}

/// Adds a row.
fn costs_of<'a>(
    text: &mut String,
    title: &str,
    readings: &Readings,
    cells: impl Iterator<Item = (&'a str, Target)>,
) -> Result<()> {
    let cells = cells
        .map(|(label, target)| Ok(grouped(readings.added(label, target)?)))
        .collect::<Result<Vec<String>>>()?;
    row(
        text,
        [title].into_iter().chain(cells.iter().map(String::as_str)),
    );
    Ok(())
}

fn crowd(text: &mut String, readings: &Readings) -> Result<()> {
    let [managed, beside] = readings.crowd()?;
    let spread = |(least, most): (f64, f64)| match (grouped(least), grouped(most)) {
        (least, most) if least == most => least,
        (least, most) => format!("{least} to {most}"),
    };
    let _ = writeln!(
        text,
        "\nWith {} workloads, opening at depth 5 costs {} in eight of them with 1 rule, and {} \
         in eight other cgroups.",
        grouped(f64::from(CROWD)),
        spread(managed),
        spread(beside)
    );
    Ok(())
}
