//! A Prometheus on this machine that scrapes Bartizan in a cluster.
//!
//! ```text
//!   kubectl get pods ──► targets ──► Prometheus ──► API server ──► pods' metrics
//!   config/monitoring ──► configuration ──┘
//! ```
//! Pods' addresses are the cluster's own, so the API server passes questions on:
//! `/api/v1/namespaces/NAMESPACE/pods/POD:PORT/proxy/metrics`. Debian's Prometheus can't
//! ask Kubernetes for pods, but it reads a file again when that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::access::kubectl_command;
use super::folder::Folder;
use crate::command::output;
use crate::monitoring::monitor::{Monitor, NAMESPACE};
use crate::monitoring::scrape::Program;
use crate::monitoring::write_rules;
use crate::prometheus::Prometheus;

/// Between two looks at the pods.
const POLL: Duration = Duration::from_secs(2);

/// Whom a monitor finds, as Prometheus reads it.
struct Targets {
    monitor: Monitor,
    file: PathBuf,
}

/// Starts one.
pub(super) fn start(folder: &Folder) -> Result<Prometheus> {
    let path = folder.file("kubeconfig");
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let config: Value = serde_json::from_str(&text).context("a kubeconfig of others")?;
    let server = config["clusters"][0]["cluster"]["server"].as_str();
    let server = server.context("the kubeconfig has no server")?;
    let server = server.trim_start_matches("https://").to_owned();
    let rules = folder.file("prometheus-rules.yaml");
    write_rules(&rules)?;
    let user = &config["users"][0]["user"];
    // Gone with the Prometheus.
    let own = folder.file("prometheus");
    let (mut targets, mut jobs) = (Vec::new(), Vec::new());
    for program in Program::ALL {
        let monitor = Monitor::of(program)?;
        let file = own.join(format!("targets-{}.json", program.name()));
        let mut job = monitor.scrape_config()?;
        job["scheme"] = json!("https");
        job["tls_config"] = json!({
            "ca_file": config["clusters"][0]["cluster"]["certificate-authority"],
            "cert_file": user["client-certificate"],
            "key_file": user["client-key"],
        });
        job["file_sd_configs"] = json!([{ "files": [file] }]);
        jobs.push(job);
        targets.push(Targets { monitor, file });
    }
    // JSON is YAML.
    let configuration = json!({
        // The monitors' half a minute is too long for tests, which wait for rates of a
        // minute. A starved node takes longer than two seconds to answer, now and then.
        "global": { "scrape_interval": "5s", "evaluation_interval": "5s" },
        "rule_files": [rules],
        "scrape_configs": jobs,
    });
    let prometheus = Prometheus::start(&own, &configuration.to_string())?;
    for of_program in &targets {
        replace(&of_program.file, &json!([]))?;
    }
    let mut kubectl = kubectl_command(folder)?;
    let namespace = format!("--namespace={NAMESPACE}");
    kubectl.args([&namespace, "get", "pods", "--output=json"]);
    // It ends with the Prometheus, when the targets are gone.
    thread::spawn(move || while tell(&mut kubectl, &server, &targets).is_ok() {});
    Ok(prometheus)
}

/// Writes which pods there are, and waits a while.
fn tell(kubectl: &mut Command, server: &str, targets: &[Targets]) -> Result<()> {
    // Before the namespace is there, and while the API server is away, nothing is new.
    if let Ok(pods) = output(kubectl)
        && let Ok(pods) = serde_json::from_str(&pods)
    {
        for of_program in targets {
            replace(&of_program.file, &list(&of_program.monitor, &pods, server))?;
        }
    }
    thread::sleep(POLL);
    let mut files = targets.iter().map(|of_program| &of_program.file);
    files.try_for_each(|file| file.metadata().map(|_| ()).context("the targets are gone"))
}

/// Gives a file a content, which is complete whenever it is read.
fn replace(file: &Path, content: &Value) -> Result<()> {
    let new = file.with_extension("new.json");
    fs::write(&new, content.to_string()).context("can't write the targets")?;
    fs::rename(&new, file).context("can't replace the targets")
}

/// The pods that a monitor finds, as Prometheus reads them.
fn list(monitor: &Monitor, pods: &Value, server: &str) -> Value {
    let mut all = Vec::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        // As the Operator has it: no pods that have ended, nor any without an address.
        let status = &pod["status"];
        let has_ended = status["phase"] == "Succeeded" || status["phase"] == "Failed";
        let Some(address) = status["podIP"].as_str().filter(|_| !has_ended) else {
            continue;
        };
        let Some((port, mut labels)) = monitor.finds(pod) else {
            continue;
        };
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:{port}/proxy/metrics");
        labels["__metrics_path__"] = json!(path);
        // Prometheus would take the API server's.
        labels["instance"] = json!(format!("{address}:{port}"));
        all.push(json!({ "targets": [server], "labels": labels }));
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_pods_are_targets_with_what_the_operator_would_know_of_them() {
        let monitor = Monitor::of(Program::Enforcer).unwrap();
        let pod = monitor.pod("bartizan-enforcer-x", "node-1");
        let mut ended = pod.clone();
        ended["status"]["phase"] = json!("Failed");
        let mut waiting = pod.clone();
        waiting["status"] = json!({ "phase": "Pending" });
        let operators = Monitor::of(Program::Operator).unwrap().pod("op", "node-1");
        let pods = json!({ "items": [ended, waiting, operators, pod] });
        let path = "/api/v1/namespaces/bartizan-system/pods/bartizan-enforcer-x:9464/proxy/metrics";
        assert_eq!(
            list(&monitor, &pods, "127.0.0.1:6443"),
            json!([{
                "targets": ["127.0.0.1:6443"],
                "labels": {
                    "__metrics_path__": path,
                    "__meta_kubernetes_namespace": "bartizan-system",
                    "__meta_kubernetes_service_name": "bartizan-enforcer",
                    "__meta_kubernetes_endpoint_port_name": "metrics",
                    "__meta_kubernetes_pod_name": "bartizan-enforcer-x",
                    "__meta_kubernetes_pod_node_name": "node-1",
                    "__meta_kubernetes_pod_container_name": "main",
                    "instance": "10.0.0.7:9464",
                },
            }])
        );
    }
}
