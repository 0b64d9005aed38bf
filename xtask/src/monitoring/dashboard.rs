//! `config/monitoring/dashboard.json`: what Grafana shows.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::paths;

const FILE: &str = "config/monitoring/dashboard.json";
/// What Grafana fills in, and what is asked for instead: all there is.
const VARIABLES: [(&str, &str); 4] = [
    ("$__rate_interval", "1m"),
    ("$__range", "1m"),
    ("$namespace", ".*"),
    ("$node", ".*"),
];

/// A query and the panel or variable that it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) panel: String,
    pub(super) expression: String,
}

/// All queries of the dashboard.
pub(super) fn queries() -> Result<Vec<Query>> {
    let text = fs::read_to_string(paths::root().join(FILE))
        .with_context(|| format!("can't read {FILE}"))?;
    let dashboard = serde_json::from_str(&text).with_context(|| format!("{FILE} is no JSON"))?;
    let queries = of(&dashboard)?;
    ensure!(!queries.is_empty(), "the dashboard shows nothing");
    Ok(queries)
}

fn of(dashboard: &Value) -> Result<Vec<Query>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = Vec::new();
    for variable in list(&dashboard["templating"]["list"]) {
        // A data source is none of Prometheus's.
        if variable["type"] == "query" {
            let query = variable["query"]["query"].as_str();
            queries.push(choices(query.context("a variable has no query")?)?);
        }
    }
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().context("a panel has no title")?;
        let targets = list(&panel["targets"]);
        ensure!(
            panel["type"] == "row" || !targets.is_empty(),
            "panel {title} shows nothing"
        );
        for target in targets {
            let expression = target["expr"].as_str();
            let expression = expression.with_context(|| format!("a query of {title} is none"))?;
            queries.push(Query {
                panel: title.to_owned(),
                expression: filled_in(expression)?,
            });
        }
    }
    Ok(queries)
}

/// What a variable offers: `label_values(SERIES, LABEL)`, which is Grafana's own.
fn choices(query: &str) -> Result<Query> {
    let words = query.strip_prefix("label_values(");
    let words = words.and_then(|words| words.strip_suffix(')')?.split_once(", "));
    let (series, label) = words.with_context(|| format!("no label's values: {query}"))?;
    Ok(Query {
        panel: format!("${label}"),
        expression: format!("count by ({label}) ({series}{{{label}!=\"\"}})"),
    })
}

fn filled_in(expression: &str) -> Result<String> {
    let mut text = expression.to_owned();
    for (variable, value) in VARIABLES {
        text = text.replace(variable, value);
    }
    ensure!(
        !text.contains('$'),
        "an unknown variable is in {expression}"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_come_with_variables_filled_in() {
        let dashboard = json!({ "panels": [
            { "type": "row", "title": "Top" },
            { "type": "stat", "title": "Nodes", "targets": [
                { "expr": "sum(rate(a{node=~\"$node\"}[$__rate_interval]))" },
            ] },
        ] });
        let expected = Query {
            panel: "Nodes".to_owned(),
            expression: "sum(rate(a{node=~\".*\"}[1m]))".to_owned(),
        };
        assert_eq!(of(&dashboard).unwrap(), [expected]);
        assert!(filled_in("$pod").is_err());
        let variable = |query| json!({ "type": "query", "query": { "query": query } });
        let dashboard = |query| json!({ "templating": { "list": [variable(query)] } });
        let expected = Query {
            panel: "$node".to_owned(),
            expression: "count by (node) (a{node!=\"\"})".to_owned(),
        };
        assert_eq!(of(&dashboard("label_values(a, node)")).unwrap(), [expected]);
        assert!(of(&dashboard("label_names(a)")).is_err());
        assert!(of(&json!({ "panels": [{ "type": "stat", "title": "x" }] })).is_err());
    }
}
