//! `config/monitoring`, beside `config/deploy`: what it selects is there.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::deployment::{NAMESPACE, manifests};
use bartizan_api_tests::{Access, Setup, run};
use serde_json::Value;

/// The kinds of the Prometheus Operator, without what is in them.
fn kinds() -> String {
    let kinds = [
        ("ServiceMonitor", "servicemonitors"),
        ("PrometheusRule", "prometheusrules"),
    ];
    let documents = kinds.map(|(kind, plural)| {
        format!(
            "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{ name: {plural}.monitoring.coreos.com }}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{ kind: {kind}, plural: {plural} }}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {{ type: object, x-kubernetes-preserve-unknown-fields: true }}
---
"
        )
    });
    documents.concat()
}

/// Objects of a kind that have some labels.
async fn list(access: &Access, kind: &str, labels: &Value) -> Result<Vec<Value>> {
    let labels = labels.as_object().into_iter().flatten();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let selector = labels.join(",");
    let list = ["get", kind, "-n", NAMESPACE, "-o=json", "-l", &selector];
    let list: Value = serde_json::from_str(&access.kubectl(list).await?)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn names(value: &Value, name: &Value) -> bool {
    let list = value.as_array().into_iter().flatten();
    list.into_iter().any(|one| one["name"] == *name)
}

/// Whether the pods of a template have these labels, and a port of that name.
fn serves(template: &Value, labels: &Value, port: &Value) -> bool {
    let own = &template["metadata"]["labels"];
    let mut labels = labels.as_object().into_iter().flatten();
    let containers = template["spec"]["containers"].as_array();
    labels.all(|(key, value)| own[key] == *value)
        && containers
            .into_iter()
            .flatten()
            .any(|container| names(&container["ports"], port))
}

#[test]
fn each_monitor_finds_a_service_and_that_its_pods() {
    run(Setup::default(), async |cluster| {
        let access = cluster.admin();
        let deploy = manifests();
        let monitoring = deploy.with_file_name("monitoring");
        let made = access.apply(&kinds()).await?;
        ensure!(made.success, "{made:?}");
        let folder = |path: &std::path::Path| path.to_str().map(str::to_owned);
        let deploy = folder(&deploy).context("the checkout's path is no text")?;
        let monitoring = folder(&monitoring).context("the checkout's path is no text")?;
        access.kubectl(["apply", "-k", &deploy]).await?;
        let settled = ["wait", "--for=condition=Established", "crd", "--all"];
        access.kubectl(settled).await?;
        let said = access.try_kubectl(["apply", "-k", &monitoring], "").await?;
        ensure!(said.success && said.stderr.is_empty(), "{said:?}");

        let mut workloads = list(access, "deployments", &Value::Null).await?;
        workloads.extend(list(access, "daemonsets", &Value::Null).await?);
        let monitors = list(access, "servicemonitors", &Value::Null).await?;
        assert_eq!(monitors.len(), 2);
        for monitor in monitors {
            let spec = &monitor["spec"];
            let name = &monitor["metadata"]["name"];
            let port = &spec["endpoints"][0]["port"];
            let services = list(access, "services", &spec["selector"]["matchLabels"]).await?;
            ensure!(services.len() == 1, "{name} selects {services:?}");
            let service = &services[0]["spec"];
            let own = service["ports"].as_array().into_iter().flatten();
            let own = own.into_iter().find(|own| own["name"] == *port);
            let own = own.with_context(|| format!("{name}: no port {port}"))?;
            let serving = workloads.iter().filter(|workload| {
                let template = &workload["spec"]["template"];
                serves(template, &service["selector"], &own["targetPort"])
            });
            ensure!(serving.count() == 1, "{name} finds no pods");
        }
        let dashboard = [
            "get",
            "configmap/bartizan-dashboard",
            "-n",
            NAMESPACE,
            "-o=jsonpath={.data.bartizan\\.json}",
        ];
        let dashboard: Value = serde_json::from_str(&access.kubectl(dashboard).await?)?;
        ensure!(dashboard["title"] == "Bartizan", "no dashboard");
        Ok(())
    });
}
