//! A Prometheus on this machine that scrapes Bartizan in a cluster.
//!
//! Pods' addresses are the cluster's own, so the API server passes questions on:
//! `/api/v1/namespaces/NAMESPACE/pods/POD:PORT/proxy/metrics`.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::folder::Folder;
use crate::prometheus::Prometheus;

/// What `config/monitoring` has the Prometheus Operator make, with another way to the pods.
const JOB: &str = r"
  - job_name: bartizan-@PROGRAM@
    scheme: https
    honor_labels: true
    tls_config: { ca_file: @CA@, cert_file: @CERTIFICATE@, key_file: @KEY@ }
    kubernetes_sd_configs:
      - role: pod
        kubeconfig_file: @KUBECONFIG@
        namespaces: { names: [bartizan-system] }
        selectors: [{ role: pod, label: app.kubernetes.io/name=bartizan-@PROGRAM@ }]
    relabel_configs:
      - { source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics, action: keep }
      - source_labels:
          [__meta_kubernetes_namespace, __meta_kubernetes_pod_name, __meta_kubernetes_pod_container_port_number]
        separator: /
        regex: (.+)/(.+)/(.+)
        replacement: /api/v1/namespaces/$1/pods/$2:$3/proxy/metrics
        target_label: __metrics_path__
      - { replacement: @SERVER@, target_label: __address__ }
      - { source_labels: [__meta_kubernetes_pod_name], target_label: instance }
      - { source_labels: [__meta_kubernetes_pod_node_name], target_label: node }
";

/// Starts one.
pub(super) fn start(folder: &Folder) -> Result<Prometheus> {
    let path = folder.file("kubeconfig");
    let text =
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let config: Value = serde_json::from_str(&text).context("a kubeconfig of others")?;
    let text = |value: &Value| -> Result<String> {
        let text = value.as_str().context("the kubeconfig has no such text")?;
        Ok(text.to_owned())
    };
    let cluster = &config["clusters"][0]["cluster"];
    let user = &config["users"][0]["user"];
    let job = JOB
        .replace("@CA@", &text(&cluster["certificate-authority"])?)
        .replace("@CERTIFICATE@", &text(&user["client-certificate"])?)
        .replace("@KEY@", &text(&user["client-key"])?)
        .replace("@KUBECONFIG@", &path.display().to_string())
        .replace(
            "@SERVER@",
            text(&cluster["server"])?.trim_start_matches("https://"),
        );
    let jobs = ["enforcer", "operator"].map(|program| job.replace("@PROGRAM@", program));
    let configuration = format!(
        "global: {{ scrape_interval: 2s }}\nscrape_configs:{}",
        jobs.concat()
    );
    Prometheus::start(&folder.file("prometheus"), &configuration)
}
