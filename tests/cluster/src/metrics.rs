//! What an enforcer's or operator's metrics say.

use anyhow::Result;

use crate::kubectl::Kubectl;

/// A page of metrics.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Those of the enforcer of a node.
    pub(crate) fn of_enforcer(kubectl: &Kubectl, node: &str) -> Result<Self> {
        let pod = kubectl.enforcer(node)?;
        let path = format!("/api/v1/namespaces/bartizan-system/pods/{pod}:9464/proxy/metrics");
        Ok(Self(kubectl.run(&["get", "--raw", &path])?))
    }

    /// The value of a series, named as on the page, labels included.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.0.lines().find_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            (name == series).then(|| value.parse().ok()).flatten()
        })
    }

    /// The sum of the series of a name that have a label, as on the page.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let wanted = lines.filter(|(series, _)| {
            let labels = series.strip_prefix(name);
            labels.is_some_and(|labels| labels.starts_with('{') && labels.contains(label))
        });
        wanted
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }
}
