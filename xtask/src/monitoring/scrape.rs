//! What our programs export, as the tests of their crates have written it down in
//! `config/monitoring/scrapes/`.

#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use crate::paths;

/// A program with metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Of a node.
    Enforcer,
    /// Of the cluster.
    Operator,
}

impl Program {
    pub(crate) const ALL: [Self; 2] = [Self::Enforcer, Self::Operator];

    /// As files and paths call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enforcer => "enforcer",
            Self::Operator => "operator",
        }
    }

    /// Its scrape.
    pub(crate) fn scrape(self) -> Result<String> {
        let file = format!("config/monitoring/scrapes/{}.txt", self.name());
        let path = paths::root().join(&file);
        fs::read_to_string(path).with_context(|| format!("can't read {file}"))
    }

    /// Names of all series in it.
    pub(crate) fn series(self) -> Result<BTreeSet<String>> {
        let families = families(&self.scrape()?).into_iter();
        Ok(families.flat_map(|family| family.series).collect())
    }
}

/// A metric with all its series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// As queries name it: counters with `_total`, histograms without an ending.
    pub(crate) name: String,
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    /// Names of its labels, in their order. Bounds of buckets are none.
    pub(crate) labels: Vec<String>,
    /// Names of its series.
    pub(crate) series: BTreeSet<String>,
}

/// Reads a scrape.
pub(crate) fn families(scrape: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in scrape.lines() {
        let comment = line.strip_prefix("# ").map(|line| line.splitn(3, ' '));
        if let Some(mut words) = comment {
            let mut next = || words.next().unwrap_or_default().to_owned();
            let (keyword, name, text) = (next(), next(), next());
            match (keyword.as_str(), families.last_mut()) {
                ("HELP", _) => families.push(Family {
                    name,
                    help: text.trim_end_matches('.').to_owned(),
                    ..Family::default()
                }),
                ("TYPE", Some(family)) => {
                    if text == "counter" {
                        family.name += "_total";
                    }
                    family.kind = text;
                }
                ("UNIT", Some(family)) => family.unit = Some(text),
                _ => {}
            }
        } else if let Some(family) = families.last_mut() {
            let (name, labels) = series(line);
            family.series.insert(name.to_owned());
            for label in labels.into_iter().filter(|label| *label != "le") {
                if !family.labels.iter().any(|known| known == label) {
                    family.labels.push(label.to_owned());
                }
            }
        }
    }
    families
}

/// Name and names of labels of `name{label="value",...}`, whatever follows.
fn series(text: &str) -> (&str, Vec<&str>) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let pairs = labels.map_or("", |(labels, _)| labels).split(',');
    let names = pairs.filter_map(|pair| pair.split_once(['=', '!']));
    (name, names.map(|(name, _)| name.trim()).collect())
}

/// All series that our programs export, with the labels that they can have.
#[cfg(test)]
pub(crate) fn exported() -> Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    for program in Program::ALL {
        for family in families(&program.scrape()?) {
            for series in family.series {
                all.insert(series, family.labels.clone());
            }
        }
    }
    Ok(all)
}

/// Series of ours that a text names, with the names of the labels that it asks for.
pub(crate) fn mentioned(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let starts = text.match_indices("bartizan_").map(|(at, _)| at);
    starts
        .filter(|at| !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        .map(|at| series(&text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_read_family_by_family() {
        let scrape = "# HELP a_b Denials, by rule.\n# TYPE a_b counter\n\
                      a_b_total{rule=\"x\",mode=\"y\"} 1\n\
                      # HELP c_seconds Time.\n# TYPE c_seconds histogram\n\
                      # UNIT c_seconds seconds\nc_seconds_sum 1\n\
                      c_seconds_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let families = families(scrape);
        assert_eq!(families[0].name, "a_b_total");
        assert_eq!(families[0].help, "Denials, by rule");
        assert_eq!(families[0].labels, ["rule", "mode"]);
        assert_eq!(families[1].kind, "histogram");
        assert_eq!(families[1].unit.as_deref(), Some("seconds"));
        assert!(families[1].labels.is_empty());
        let series: Vec<_> = families[1].series.iter().collect();
        assert_eq!(series, ["c_seconds_bucket", "c_seconds_sum"]);
    }

    #[test]
    fn expressions_are_searched_for_our_series() {
        let text = r#"sum(rate(bartizan_a_total{mode="x", rule!~"y"}[5m])) / bartizan_b > 1"#;
        let found: Vec<_> = mentioned(text).collect();
        let labels = vec!["mode", "rule"];
        assert_eq!(
            found,
            [("bartizan_a_total", labels), ("bartizan_b", Vec::new())]
        );
    }
}
