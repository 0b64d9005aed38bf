//! `config/monitoring/rules.yaml`: alerts as an object of the Prometheus Operator.

use std::fs;

use anyhow::{Context as _, Result};

use crate::paths;

const FILE: &str = "config/monitoring/rules.yaml";

/// The object's text.
pub(super) fn object() -> Result<String> {
    fs::read_to_string(paths::root().join(FILE)).with_context(|| format!("can't read {FILE}"))
}

/// The same as Prometheus itself reads it: what is below `spec`, which comes last.
pub(super) fn plain(object: &str) -> Result<String> {
    let (_, spec) = object
        .split_once("\nspec:\n")
        .context("the rules have no spec")?;
    let lines = spec.lines().map(|line| {
        line.strip_prefix("  ")
            .or(line.is_empty().then_some(""))
            .with_context(|| format!("`{line}` is not in the spec"))
    });
    let lines: Vec<_> = lines.collect::<Result<_>>()?;
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::monitoring::scrape::{exported, mentioned};

    /// What Prometheus adds to all series of a scrape.
    const OF_THE_TARGET: [&str; 4] = ["job", "instance", "node", "le"];

    fn read(file: &str) -> String {
        fs::read_to_string(paths::root().join(file)).unwrap()
    }

    fn tests() -> String {
        let all = ["enforcement", "reports", "operator"];
        all.map(|name| read(&format!("config/monitoring/tests/{name}.yaml")))
            .concat()
    }

    fn alerts() -> Vec<String> {
        let object = object().unwrap();
        let names = object
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- alert: "));
        names.map(str::to_owned).collect()
    }

    #[test]
    fn the_spec_alone_is_a_file_of_rules() {
        let object = "kind: PrometheusRule\nspec:\n  groups:\n    - name: a\n\n      rules: []\n";
        assert_eq!(
            plain(object).unwrap(),
            "groups:\n  - name: a\n\n    rules: []\n"
        );
        assert!(plain("spec:\n").is_err());
        assert!(plain("a: 1\nspec:\n  groups: []\nkind: x\n").is_err());
    }

    #[test]
    fn everything_asked_for_is_exported_with_such_labels() {
        let exported = exported().unwrap();
        let dashboard = read("config/monitoring/dashboard.json").replace("\\\"", "\"");
        let texts = [
            ("rules.yaml", object().unwrap()),
            ("tests", tests()),
            ("dashboard.json", dashboard),
        ];
        for (place, text) in texts {
            let mut any = false;
            for (series, labels) in mentioned(&text) {
                let known = exported.get(series);
                let known = known.unwrap_or_else(|| panic!("{place}: {series} is not exported"));
                for label in labels {
                    let is_known = known.iter().any(|own| own == label);
                    let is_known = is_known || OF_THE_TARGET.contains(&label);
                    assert!(is_known, "{place}: {series} has no label {label}");
                }
                any = true;
            }
            assert!(any, "{place} asks for nothing");
        }
    }

    /// The tests by alert, each with whether it expects nothing.
    fn cases(tests: &str) -> BTreeMap<&str, BTreeSet<bool>> {
        let mut cases: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
        for case in tests.split("- alertname: ").skip(1) {
            let name = case.lines().next().unwrap();
            let quiet = case.contains("exp_alerts: []");
            cases.entry(name).or_default().insert(quiet);
        }
        cases
    }

    #[test]
    fn each_alert_has_a_test_that_it_fires_and_one_that_it_does_not() {
        let (alerts, tests) = (alerts(), tests());
        let cases = cases(&tests);
        assert!(!alerts.is_empty());
        for alert in &alerts {
            let both = BTreeSet::from([false, true]);
            let tested = cases.get(alert.as_str());
            assert_eq!(tested, Some(&both), "quiet and firing cases of {alert}");
        }
        assert_eq!(cases.len(), alerts.len(), "tests of alerts that are gone");
    }

    #[test]
    fn each_alert_says_what_to_do_in_a_section_that_is_there() {
        let (object, page) = (object().unwrap(), read("docs/troubleshooting.md"));
        for alert in alerts() {
            let link = format!(
                "runbook_url: docs/troubleshooting.md#{}\n",
                alert.to_lowercase()
            );
            assert!(object.contains(&link), "{alert} has no link to its section");
            let heading = format!("\n### {alert}\n");
            assert!(page.contains(&heading), "no section about {alert}");
        }
        for key in ["summary: ", "description: ", "severity: "] {
            assert_eq!(object.matches(key).count(), alerts().len(), "{key}");
        }
    }
}
