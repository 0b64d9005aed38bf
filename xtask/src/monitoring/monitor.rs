//! `config/monitoring/{enforcer,operator}.yaml`: whom Prometheus scrapes, and which labels
//! their series get, as the Prometheus Operator reads it.
//!
//! ```text
//!   ServiceMonitor ─► Service ─► pods: what is known of each (__meta_..)
//!                └──► relabelings: the Operator's, then its own ─► labels of all series
//! ```
//! Neither the Operator nor Debian's Prometheus asks Kubernetes here, so pods are said in
//! files or in the configuration. All else is what the Operator makes of the objects, so
//! that what is wrong with them shows.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::scrape::Program;
use crate::paths;

/// Where `config/monitoring` puts its objects.
pub(crate) const NAMESPACE: &str = "bartizan-system";
/// Services of programs that have one for other reasons.
const SERVICES: &str = "config/deploy/service.yaml";
/// Labels that all series of the Operator's have, and what of a pod they are, from its
/// `pkg/prometheus/promcfg.go`.
const GENERATED: [(&str, &str); 5] = [
    ("__meta_kubernetes_namespace", "namespace"),
    ("__meta_kubernetes_service_name", "service"),
    ("__meta_kubernetes_pod_name", "pod"),
    ("__meta_kubernetes_pod_container_name", "container"),
    ("__meta_kubernetes_service_name", "job"),
];
/// Fields of a relabelling, and how Prometheus spells them.
const FIELDS: [(&str, &str); 7] = [
    ("sourceLabels", "source_labels"),
    ("separator", "separator"),
    ("targetLabel", "target_label"),
    ("regex", "regex"),
    ("modulus", "modulus"),
    ("replacement", "replacement"),
    ("action", "action"),
];

/// A `ServiceMonitor`, with the Service that it selects.
#[derive(Debug)]
pub(crate) struct Monitor {
    name: String,
    endpoint: Endpoint,
    service: String,
    /// Labels of the Service's pods.
    selector: Map<String, Value>,
    /// What their containers call the port.
    port: String,
}

/// What is scraped. A field that is not here would change something that nobody tries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Endpoint {
    port: String,
    /// Tests are impatient and have one of their own.
    #[serde(rename = "interval")]
    _interval: Option<String>,
    #[serde(default)]
    honor_labels: bool,
    #[serde(default)]
    relabelings: Vec<Map<String, Value>>,
}

impl Monitor {
    /// That of a program.
    pub(crate) fn of(program: Program) -> Result<Self> {
        let own = format!("config/monitoring/{}.yaml", program.name());
        let mut objects = documents(&read(&own)?).with_context(|| format!("{own} is no YAML"))?;
        let services = documents(&read(SERVICES)?);
        objects.extend(services.with_context(|| format!("{SERVICES} is no YAML"))?);
        Self::find(&objects).with_context(|| format!("can't use {own}"))
    }

    fn find(objects: &[Value]) -> Result<Self> {
        let of_kind = |kind| objects.iter().filter(move |object| object["kind"] == kind);
        let monitor = of_kind("ServiceMonitor").next();
        let monitor = monitor.context("there is no ServiceMonitor")?;
        let [endpoint] = list(&monitor["spec"]["endpoints"]) else {
            bail!("it has not one endpoint");
        };
        let endpoint = Endpoint::deserialize(endpoint).context("an unusual endpoint")?;
        let wanted = &monitor["spec"]["selector"]["matchLabels"];
        let wanted = wanted.as_object().context("it selects no labels")?;
        let mut services = of_kind("Service");
        let service = services.find(|service| has(&service["metadata"]["labels"], wanted));
        let service = service.context("it selects no Service")?;
        let mut ports = list(&service["spec"]["ports"]).iter();
        let port = ports.find(|port| port["name"] == endpoint.port.as_str());
        let port = port.context("the Service has no such port")?;
        let selector = service["spec"]["selector"].as_object();
        Ok(Self {
            name: text(&monitor["metadata"]["name"]),
            service: text(&service["metadata"]["name"]),
            selector: selector.context("the Service selects no pods")?.clone(),
            port: text(&port["targetPort"]),
            endpoint,
        })
    }

    /// An item of `scrape_configs`, without where it finds whom.
    pub(crate) fn scrape_config(&self) -> Result<Value> {
        let generated = GENERATED
            .iter()
            .map(|(source, target)| json!({ "source_labels": [source], "target_label": target }));
        let mut relabelings: Vec<_> = generated.collect();
        relabelings.push(json!({ "target_label": "endpoint", "replacement": self.endpoint.port }));
        for own in &self.endpoint.relabelings {
            relabelings.push(relabeling(own)?);
        }
        Ok(json!({
            "job_name": format!("serviceMonitor/{NAMESPACE}/{}/0", self.name),
            "honor_labels": self.endpoint.honor_labels,
            "relabel_configs": relabelings,
        }))
    }

    /// The number of a pod's port that is scraped, if the pod is among the Service's, and
    /// its labels before relabelling.
    pub(crate) fn finds(&self, pod: &Value) -> Option<(u64, Value)> {
        if !has(&pod["metadata"]["labels"], &self.selector) {
            return None;
        }
        list(&pod["spec"]["containers"])
            .iter()
            .find_map(|container| {
                let mut ports = list(&container["ports"]).iter();
                let port = ports.find(|port| port["name"] == self.port.as_str())?;
                let labels = json!({
                    "__meta_kubernetes_namespace": text(&pod["metadata"]["namespace"]),
                    "__meta_kubernetes_service_name": self.service,
                    "__meta_kubernetes_endpoint_port_name": self.endpoint.port,
                    "__meta_kubernetes_pod_name": text(&pod["metadata"]["name"]),
                    "__meta_kubernetes_pod_node_name": text(&pod["spec"]["nodeName"]),
                    "__meta_kubernetes_pod_container_name": text(&container["name"]),
                });
                Some((port["containerPort"].as_u64()?, labels))
            })
    }

    /// A pod that it finds.
    pub(crate) fn pod(&self, name: &str, node: &str) -> Value {
        let port = json!({ "name": self.port, "containerPort": 9464 });
        json!({
            "metadata": { "namespace": NAMESPACE, "name": name, "labels": self.selector },
            "spec": { "nodeName": node, "containers": [{ "name": "main", "ports": [port] }] },
            "status": { "phase": "Running", "podIP": "10.0.0.7" },
        })
    }
}

/// A relabelling as Prometheus spells it.
fn relabeling(of_monitor: &Map<String, Value>) -> Result<Value> {
    let mut own = Map::new();
    for (field, value) in of_monitor {
        let known = FIELDS.iter().find(|(known, _)| known == field);
        let (_, name) = known.with_context(|| format!("no relabelling has {field}"))?;
        own.insert((*name).to_owned(), value.clone());
    }
    Ok(Value::Object(own))
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(paths::root().join(file)).with_context(|| format!("can't read {file}"))
}

fn documents(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).context("can't parse it")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether labels have all that are wanted.
fn has(labels: &Value, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| labels[key] == *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = "\
kind: Service
metadata: { name: web, labels: { app: web } }
spec:
  selector: { is: web }
  ports: [{ name: api, targetPort: https }, { name: metrics, targetPort: stats }]
---
kind: ServiceMonitor
metadata: { name: watch }
spec:
  selector: { matchLabels: { app: web } }
  endpoints:
    - port: metrics
      honorLabels: true
      relabelings:
        - { sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: node }
        - { sourceLabels: [pod], regex: web-(.+), replacement: $1, targetLabel: nr, action: replace }
";

    fn monitor(objects: &str) -> Result<Monitor> {
        Monitor::find(&documents(objects)?)
    }

    #[test]
    fn a_monitors_relabelings_arrive_in_the_scrape_configuration() {
        let config = monitor(OBJECTS).unwrap().scrape_config().unwrap();
        assert_eq!(config["job_name"], "serviceMonitor/bartizan-system/watch/0");
        assert_eq!(config["honor_labels"], true);
        let relabelings = list(&config["relabel_configs"]);
        let (generated, own) = relabelings.split_at(GENERATED.len() + 1);
        assert_eq!(
            generated[GENERATED.len()],
            json!({ "target_label": "endpoint", "replacement": "metrics" })
        );
        assert_eq!(
            own,
            [
                json!({
                    "source_labels": ["__meta_kubernetes_pod_node_name"],
                    "target_label": "node",
                }),
                json!({
                    "source_labels": ["pod"],
                    "regex": "web-(.+)",
                    "replacement": "$1",
                    "target_label": "nr",
                    "action": "replace",
                }),
            ]
        );
    }

    #[test]
    fn what_nobody_would_try_is_refused() {
        let unknown = OBJECTS.replace("honorLabels: true", "honorLabel: true");
        assert!(monitor(&unknown).is_err());
        let unknown = OBJECTS.replace("targetLabel: nr", "target: nr");
        assert!(monitor(&unknown).unwrap().scrape_config().is_err());
        let unselected = OBJECTS.replace("matchLabels: { app: web }", "matchLabels: { app: x }");
        assert!(monitor(&unselected).is_err());
    }

    #[test]
    fn pods_of_the_service_with_its_port_are_found() {
        let monitor = monitor(OBJECTS).unwrap();
        let pod = monitor.pod("web-1", "node-a");
        let (port, labels) = monitor.finds(&pod).unwrap();
        assert_eq!(port, 9464);
        assert_eq!(labels["__meta_kubernetes_service_name"], "web");
        assert_eq!(labels["__meta_kubernetes_pod_node_name"], "node-a");
        let mut other = pod.clone();
        other["metadata"]["labels"] = json!({ "is": "other" });
        assert_eq!(monitor.finds(&other), None);
        let mut silent = pod;
        silent["spec"]["containers"][0]["ports"] = json!([{ "name": "https" }]);
        assert_eq!(monitor.finds(&silent), None);
    }

    #[test]
    fn ours_are_understood() {
        for program in Program::ALL {
            let monitor = Monitor::of(program).unwrap();
            assert_eq!(monitor.service, format!("bartizan-{}", program.name()));
            monitor.scrape_config().unwrap();
        }
    }
}
