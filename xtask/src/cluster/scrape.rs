//! A Prometheus on this machine that scrapes Bartizan in a cluster.
//!
//! ```text
//!   kubectl get pods ──► targets.json ──► Prometheus ──► API server ──► pods' metrics
//! ```
//! Pods' addresses are the cluster's own, so the API server passes questions on:
//! `/api/v1/namespaces/NAMESPACE/pods/POD:PORT/proxy/metrics`. Debian's Prometheus can't
//! ask Kubernetes for pods, but it reads a file again when that changes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::access::kubectl_command;
use super::folder::Folder;
use crate::command::output;
use crate::monitoring::write_rules;
use crate::prometheus::Prometheus;

/// Between two looks at the pods.
const POLL: Duration = Duration::from_secs(2);

/// Starts one.
pub(super) fn start(folder: &Folder) -> Result<Prometheus> {
    let path = folder.file("kubeconfig");
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let config: Value = serde_json::from_str(&text).context("a kubeconfig of others")?;
    let server = config["clusters"][0]["cluster"]["server"].as_str();
    let server = server.context("the kubeconfig has no server")?;
    let server = server.trim_start_matches("https://").to_owned();
    let targets = folder.file("prometheus-targets.json");
    fs::write(&targets, "[]").with_context(|| format!("can't write {}", targets.display()))?;
    let rules = folder.file("prometheus-rules.yaml");
    write_rules(&rules)?;
    let user = &config["users"][0]["user"];
    // JSON is YAML.
    let configuration = json!({
        // A starved node takes longer than two seconds to answer, now and then.
        "global": { "scrape_interval": "5s", "evaluation_interval": "5s" },
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "bartizan",
            "scheme": "https",
            "honor_labels": true,
            "tls_config": {
                "ca_file": config["clusters"][0]["cluster"]["certificate-authority"],
                "cert_file": user["client-certificate"],
                "key_file": user["client-key"],
            },
            "file_sd_configs": [{ "files": [targets] }],
        }],
    });
    let prometheus = Prometheus::start(&folder.file("prometheus"), &configuration.to_string())?;
    let mut kubectl = kubectl_command(folder)?;
    kubectl.args([
        "--namespace=bartizan-system",
        "get",
        "pods",
        "--output=json",
    ]);
    // It ends with this program, or when the cluster's folder is gone.
    thread::spawn(move || while tell(&mut kubectl, &server, &targets).is_ok() {});
    Ok(prometheus)
}

/// Writes which pods there are, and waits a while.
fn tell(kubectl: &mut Command, server: &str, targets: &Path) -> Result<()> {
    // Before the namespace is there, and while the API server is away, nothing is new.
    if let Ok(pods) = output(kubectl)
        && let Ok(pods) = serde_json::from_str(&pods)
    {
        let new = targets.with_extension("new.json");
        fs::write(&new, list(&pods, server).to_string()).context("can't write the targets")?;
        fs::rename(&new, targets).context("can't replace the targets")?;
    }
    thread::sleep(POLL);
    targets.metadata().context("the targets are gone")?;
    Ok(())
}

/// The pods with a port for metrics, as Prometheus reads them, with the labels that
/// `config/monitoring` gives them.
fn list(pods: &Value, server: &str) -> Value {
    let mut all = Vec::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let ports = pod["spec"]["containers"][0]["ports"].as_array();
        let mut ports = ports.into_iter().flatten();
        let Some(port) = ports.find(|port| port["name"] == "metrics") else {
            continue;
        };
        let meta = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
        let number = &port["containerPort"];
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{number}/proxy/metrics");
        all.push(json!({
            "targets": [server],
            "labels": {
                "__metrics_path__": path,
                "job": meta["labels"]["app.kubernetes.io/name"],
                "instance": name,
                "node": text(&pod["spec"]["nodeName"]),
            },
        }));
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_with_a_port_for_metrics_are_targets() {
        let pod = |ports: Value| {
            json!({
                "metadata": {
                    "namespace": "bartizan-system",
                    "name": "bartizan-enforcer-x",
                    "labels": { "app.kubernetes.io/name": "bartizan-enforcer" },
                },
                "spec": { "nodeName": "node-1", "containers": [{ "ports": ports }] },
            })
        };
        let metrics = pod(json!([{ "name": "metrics", "containerPort": 9464 }]));
        let pods = json!({ "items": [pod(json!([])), metrics] });
        let path = "/api/v1/namespaces/bartizan-system/pods/bartizan-enforcer-x:9464/proxy/metrics";
        assert_eq!(
            list(&pods, "127.0.0.1:6443"),
            json!([{
                "targets": ["127.0.0.1:6443"],
                "labels": {
                    "__metrics_path__": path,
                    "job": "bartizan-enforcer",
                    "instance": "bartizan-enforcer-x",
                    "node": "node-1",
                },
            }])
        );
    }
}
