//! `docs/metrics.md`: every metric, made from the scrapes.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::scrape::{Family, Program, families};
use crate::paths;

const HEAD: &str = "\
# Metrics

<!-- Written by `cargo xtask generate` from config/monitoring/scrapes; changes here get lost. -->

Both programs serve `/metrics` as OpenMetrics text.
[`operations.md`](operations.md#monitoring) says how Prometheus finds them, [`troubleshooting.md`](troubleshooting.md) what to do about an alert.
A histogram `NAME` has the series `NAME_bucket` (with the label `le`), `NAME_sum` and `NAME_count`.
";

/// Where the page is.
pub(crate) fn file() -> PathBuf {
    paths::root().join("docs/metrics.md")
}

/// The page.
pub(crate) fn page() -> Result<String> {
    let mut page = HEAD.to_owned();
    for program in Program::ALL {
        let about = match program {
            Program::Enforcer => {
                "\n## Enforcer\n\nServed where `--metrics` says; port 9464 in `config/deploy`.\n\
                 [`enforcer.md`](enforcer.md#metrics) says more about some.\n"
            }
            Program::Operator => {
                "\n## Operator\n\nServed where `--listen` says; port 8080 in `config/deploy`.\n\
                 Every replica has them.\n"
            }
        };
        page += about;
        page += "\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";
        for family in families(&program.scrape()?) {
            row(&mut page, &family);
        }
    }
    Ok(page)
}

fn row(page: &mut String, family: &Family) {
    let labels: Vec<_> = family
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let (name, kind, help) = (&family.name, &family.kind, &family.help);
    let unit = family.unit.as_deref().unwrap_or_default();
    let row = format!(
        "| `{name}` | {kind} | {unit} | {} | {help} |",
        labels.join(", ")
    );
    // An empty cell is one blank.
    let _ = writeln!(
        page,
        "{}",
        row.replace("|  |", "| |").replace("|  |", "| |")
    );
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn page_is_up_to_date() {
        let there = fs::read_to_string(file()).unwrap_or_default();
        assert!(
            there == page().unwrap(),
            "docs/metrics.md is out of date: run `cargo xtask generate`"
        );
    }

    #[test]
    fn every_metric_says_what_it_means() {
        for program in Program::ALL {
            for family in families(&program.scrape().unwrap()) {
                assert!(!family.help.is_empty(), "{}", family.name);
                assert!(!family.series.is_empty(), "{} has no sample", family.name);
                assert!(!family.help.contains('|'), "{}", family.name);
            }
        }
    }
}
