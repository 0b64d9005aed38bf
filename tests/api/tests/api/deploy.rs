//! `config/deploy`, as a user installs it.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::deployment::NAMESPACE;
use bartizan_api_tests::{Access, Operator, Said, Setup, deployment, eventually, run};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{Api, PostParams};

fn folder() -> Result<String> {
    let folder = deployment::manifests();
    let folder = folder.to_str().context("the checkout's path is no text")?;
    Ok(folder.to_owned())
}

async fn apply(access: &Access) -> Result<Said> {
    let said = access.try_kubectl(["apply", "-k", &folder()?], "").await?;
    ensure!(said.success && said.stderr.is_empty(), "{said:?}");
    Ok(said)
}

#[test]
fn everything_is_accepted_and_a_second_time_nothing_changes() {
    run(Setup::default(), async |cluster| {
        let first = apply(cluster.admin()).await?.stdout;
        ensure!(
            first.lines().all(|line| line.ends_with(" created")),
            "{first}"
        );
        // Every version of every object, once they stand still.
        let versions = "-o=jsonpath={range .items[*]}{.kind} {.metadata.name} \
                        {.metadata.resourceVersion}{'\\n'}{end}";
        let settled = ["wait", "--for=condition=Established", "crd", "--all"];
        cluster.admin().kubectl(settled).await?;
        let before = cluster
            .admin()
            .kubectl(["get", "-k", &folder()?, versions])
            .await?;

        let second = apply(cluster.admin()).await?.stdout;
        // kubectl sends a disruption budget's selector every time and says `configured`,
        // whether or not anything has changed.
        let told = second
            .lines()
            .filter(|line| !line.starts_with("poddisruptionbudget."));
        let changed: Vec<_> = told.filter(|line| !line.ends_with(" unchanged")).collect();
        ensure!(changed.is_empty(), "{changed:?}");
        let after = cluster
            .admin()
            .kubectl(["get", "-k", &folder()?, versions])
            .await?;
        assert_eq!(before, after);
        assert_eq!(before.lines().count(), first.lines().count());
        Ok(())
    });
}

/// A pod as a controller makes it of a template.
fn pod_of(name: &str, template: PodTemplateSpec) -> Result<Pod> {
    let mut pod = Pod {
        metadata: template.metadata.context("a template without labels")?,
        spec: template.spec,
        status: None,
    };
    pod.metadata.name = Some(name.to_owned());
    Ok(pod)
}

#[test]
fn the_operators_pods_are_restricted_and_the_enforcers_are_let_in() {
    run(Setup::default(), async |cluster| {
        apply(cluster.admin()).await?;
        let client = cluster.client();
        let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
        let deployment = deployments.get("bartizan-operator").await?;
        let template = deployment.spec.context("a deployment without spec")?;
        let mut pod = pod_of("operator", template.template)?;
        // What the namespace itself doesn't ask for, because of the enforcers.
        let restricted = cluster.namespace("restricted").await?;
        let label = [
            "label",
            "namespace",
            &restricted,
            "pod-security.kubernetes.io/enforce=restricted",
        ];
        cluster.admin().kubectl(label).await?;
        let pods = Api::namespaced(client.clone(), &restricted);
        pods.create(&PostParams::default(), &pod)
            .await
            .context("`restricted` refuses the operator's pods")?;
        pod.metadata.name = Some("careless".to_owned());
        let spec = pod.spec.as_mut().context("a pod without spec")?;
        spec.containers[0].security_context = None;
        let refused = pods.create(&PostParams::default(), &pod).await;
        let refused = refused
            .err()
            .context("a pod without restrictions is accepted")?;
        ensure!(
            refused.to_string().contains("PodSecurity \"restricted"),
            "{refused}"
        );

        let daemons = Api::<DaemonSet>::namespaced(client.clone(), NAMESPACE);
        let daemon = daemons.get("bartizan-enforcer").await?;
        let template = daemon.spec.context("a daemon set without spec")?;
        let pod = pod_of("enforcer", template.template)?;
        let spec = pod.spec.as_ref().context("a pod without spec")?;
        let security = spec.containers[0].security_context.as_ref();
        ensure!(
            security.is_some_and(|security| security.privileged != Some(true)),
            "capabilities are enough"
        );
        Api::namespaced(client, NAMESPACE)
            .create(&PostParams::default(), &pod)
            .await
            .context("the namespace refuses the enforcers' pods")?;
        Ok(())
    });
}

#[test]
fn the_webhook_being_away_stops_no_policy() {
    run(Setup::default(), async |cluster| {
        apply(cluster.admin()).await?;
        let policy = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: early, namespace: default }
spec: { selector: {} }
";
        // At first the kinds may not be served yet.
        eventually("a policy is accepted", async || {
            let said = cluster.admin().apply(policy).await?;
            ensure!(said.success, "{}", said.stderr);
            Ok(Some(()))
        })
        .await
    });
}

#[test]
fn applying_again_keeps_the_certificate_that_the_operator_has_written() {
    run(Setup::default(), async |cluster| {
        cluster.deploy().await?;
        let webhook = format!("{}:9443", cluster.ip());
        let _operator = Operator::start(cluster, 0, &["--webhook", &webhook]).await?;
        let show = [
            "get",
            "validatingwebhookconfiguration/bartizan-operator",
            "-o=jsonpath={.webhooks[0].clientConfig.caBundle}",
        ];
        let written = eventually("the operator writes its certificate", async || {
            let bundle = cluster.admin().kubectl(show).await?;
            Ok((!bundle.is_empty()).then_some(bundle))
        })
        .await?;
        // It warns of the Service, which was made anew for the test.
        let again = ["apply", "-k", &folder()?];
        cluster.admin().kubectl(again).await?;
        assert_eq!(cluster.admin().kubectl(show).await?, written);
        Ok(())
    });
}
