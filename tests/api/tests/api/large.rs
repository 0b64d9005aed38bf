//! Large and odd policies: refused with the reason, or enforced, never in part.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Operator, Said, Setup, pods, run};
use bartizan_crds::{ContainerState, PolicyStatus};
use serde_json::{Value, json};

use super::operator::{apply, policy, report, rule_map, status};

const SMALL: &str =
    "{ selector: {}, mode: Enforce, process: { deny: [{ paths: [/usr/bin/curl] }] } }";

/// Creates a policy: what `kubectl apply` keeps in an annotation has no room for large ones.
async fn create(cluster: &Cluster, namespace: &str, name: &str, spec: Value) -> Result<Said> {
    let object = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    });
    let create = ["create", "-f", "-"];
    cluster
        .admin()
        .try_kubectl(create, &object.to_string())
        .await
}

/// Rules about as many programs, called by one whose path is as long.
fn rules(number: usize, caller: usize) -> Value {
    let caller = format!("/{}", vec!["x".repeat(49); caller / 50].join("/"));
    let rule = |number| json!({ "paths": [format!("/p/{number}")], "from": [caller] });
    let deny: Vec<Value> = (0..number).map(rule).collect();
    json!({ "selector": {}, "mode": "Enforce", "process": { "deny": deny } })
}

fn said(status: &PolicyStatus, type_: &str) -> (String, String, String) {
    let mut all = status.conditions.iter();
    all.find(|one| one.type_ == type_)
        .map(|one| (one.status.clone(), one.reason.clone(), one.message.clone()))
        .unwrap_or_default()
}

#[test]
fn what_is_too_large_is_refused_by_name_and_nothing_gets_weaker() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = &cluster.namespace("shop").await?;
        let client = cluster.client();
        pods::create(&client, namespace, &pods::pod("web-1", &[])).await?;
        pods::bind(&client, namespace, "web-1", "node-a").await?;
        apply(cluster, &policy(namespace, "small", SMALL)).await?;
        let small = rule_map(cluster, namespace, "web-1", "rules", |_| true).await?;

        // More than etcd takes: the API server says so.
        let answer = create(cluster, namespace, "huge", rules(4096, 400)).await?;
        let limit = ["request is too large", "Request entity too large"];
        ensure!(
            !answer.success && limit.iter().any(|words| answer.stderr.contains(words)),
            "{answer:?}"
        );

        // 1 MiB is stored. What would be published of it has no room in an object.
        let answer = create(cluster, namespace, "large", rules(4096, 250)).await?;
        ensure!(answer.success, "{answer:?}");
        let large = status(cluster, namespace, "large", "it is refused", |status| {
            said(status, "Accepted").0 == "False"
        })
        .await?;
        let (_, reason, message) = said(&large, "Accepted");
        assert_eq!(reason, "RuleMapTooLarge", "{message}");
        let limit = "more than the 1310720 of an API object";
        ensure!(message.contains(limit), "{message}");
        assert_eq!(large.enforced.as_deref(), Some("0/0"));

        // Each of two has room alone, both together have not.
        let answer = create(cluster, namespace, "half", rules(3000, 250)).await?;
        ensure!(answer.success, "{answer:?}");
        let half = rule_map(cluster, namespace, "web-1", "half", |enforcement| {
            enforcement.spec.containers[0].rule_map.as_ref() != Some(&small)
        })
        .await?;
        report(cluster, namespace, "web-1", ContainerState::Armed).await?;
        let answer = create(cluster, namespace, "other", rules(3001, 250)).await?;
        ensure!(answer.success, "{answer:?}");
        let other = status(cluster, namespace, "other", "it is withheld", |status| {
            said(status, "Conflicted").0 == "True"
        })
        .await?;
        let (_, reason, message) = said(&other, "Conflicted");
        assert_eq!(reason, "RuleMapTooLarge", "{message}");
        let place = format!("withheld from 1 container, such as main of pod {namespace}/web-1");
        ensure!(message.starts_with(&place), "{message}");
        assert_eq!(said(&other, "Accepted").0, "True");
        assert_eq!(other.enforced.as_deref(), Some("0/1"));
        // The container has what it had.
        let now = rule_map(cluster, namespace, "web-1", "rules", |_| true).await?;
        assert_eq!(now, half);
        for name in ["small", "half"] {
            status(cluster, namespace, name, "it goes on", |status| {
                status.enforced.as_deref() == Some("1/1")
            })
            .await
            .with_context(|| format!("policy {name}"))?;
        }
        Ok(())
    });
}

#[test]
fn odd_policies_mean_what_they_say() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = &cluster.namespace("shop").await?;
        let other = &cluster.namespace("bank").await?;
        let client = cluster.client();
        for namespace in [namespace, other] {
            pods::create(&client, namespace, &pods::pod("web-1", &[])).await?;
        }
        // 10,000 rules in three lists, about so many paths.
        let many = |paths: u32| {
            let rule = |number| json!({ "paths": [format!("/data/{}", number % paths)] });
            let list = |from, to| (from..to).map(rule).collect::<Vec<Value>>();
            json!({
                "selector": {},
                "process": { "deny": list(0, 4000) },
                "files": { "deny": list(4000, 8000), "audit": list(8000, 10_000) },
            })
        };
        let answer = create(cluster, namespace, "many", many(4000)).await?;
        ensure!(answer.success, "{answer:?}");
        let map = rule_map(cluster, namespace, "web-1", "10,000 rules", |_| true).await?;
        status(cluster, namespace, "many", "it is accepted", |status| {
            said(status, "Accepted").0 == "True"
        })
        .await?;
        // No table has room for so many names.
        let answer = create(cluster, namespace, "more", many(10_000)).await?;
        ensure!(answer.success, "{answer:?}");
        let more = status(cluster, namespace, "more", "it is refused", |status| {
            said(status, "Accepted").1 == "TableTooLarge"
        })
        .await?;
        let (_, _, message) = said(&more, "Accepted");
        let first = format!("rule `process.deny[0]` of policy `{namespace}/more`");
        ensure!(message.contains(&first), "{message}");
        let now = rule_map(cluster, namespace, "web-1", "rules", |_| true).await?;
        assert_eq!(now, map, "the container has what it had");

        let nobody = SMALL.replace("{}", "{ matchLabels: { app: nobody } }");
        apply(cluster, &policy(namespace, "nobody", &nobody)).await?;
        let nobody = status(
            cluster,
            namespace,
            "nobody",
            "nothing is selected",
            |status| said(status, "Enforced").1 == "SelectsNothing",
        )
        .await?;
        assert_eq!(nobody.enforced.as_deref(), Some("0/0"));

        // Letters of every kind in paths; another policy of the same name elsewhere.
        let letters = SMALL.replace("/usr/bin/curl", "\"/opt/Größe/名前/ключ-🔑\"");
        apply(cluster, &policy(namespace, "same", &letters)).await?;
        apply(cluster, &policy(other, "same", SMALL)).await?;
        let theirs = rule_map(cluster, other, "web-1", "the other's", |_| true).await?;
        status(cluster, namespace, "same", "it is accepted", |status| {
            said(status, "Accepted").0 == "True" && status.enforced.as_deref() == Some("0/1")
        })
        .await?;
        let own = rule_map(cluster, namespace, "web-1", "its own", |_| true).await?;
        ensure!(own != theirs, "policies of one name are mixed up");
        let map = [
            "get",
            "rulemap",
            &theirs,
            "-o=jsonpath={.spec.policies[*].namespace}",
        ];
        assert_eq!(&cluster.admin().kubectl(map).await?, other);
        Ok(())
    });
}
