//! Faults: whatever happens meanwhile, the end is that of a quiet run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::deployment::OPERATOR;
use bartizan_api_tests::{Cluster, Enforcers, Operator, Setup, checkout, eventually, run};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::story::{self, Picture};

pub(crate) fn setup() -> Setup {
    Setup {
        controllers: true,
        ..Setup::default()
    }
}

/// The end of the story when nothing goes wrong; told once for all tests.
pub(crate) async fn quiet_end() -> Result<&'static Picture> {
    static END: OnceCell<Picture> = OnceCell::const_new();
    END.get_or_try_init(async || {
        let cluster = Cluster::start(setup()).await?;
        cluster.deploy().await?;
        let _operator = Operator::start(&cluster, 0, &[]).await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(&cluster).await?;
        story::end(&cluster).await?;
        story::settle(&cluster).await
    })
    .await
}

/// Tells the story with a disturbance between its halves.
pub(crate) fn disturbed(fault: impl AsyncFnOnce(&Cluster, &Operator) -> Result<()>) {
    run(setup(), async |cluster| {
        let expected = quiet_end().await.context("the quiet run failed")?;
        cluster.deploy().await?;
        let operator = Operator::start(cluster, 0, &[]).await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        fault(cluster, &operator).await?;
        story::end(cluster).await?;
        story::looks_like(cluster, expected).await?;
        operator.process.check()
    });
}

pub(crate) async fn leads(operator: &Operator) -> Result<()> {
    let leads = async || Ok(operator.leads().await?.then_some(()));
    eventually("the replica leads", leads).await
}

/// Requests of the operator that changed something, leader election aside.
async fn writes(cluster: &Cluster) -> Result<usize> {
    let requests = cluster.requests().await?.into_iter();
    let own = requests.filter(|request| request.user == OPERATOR && request.is_write());
    Ok(own.filter(|request| request.resource != "leases").count())
}

#[test]
fn a_restart_on_a_settled_cluster_writes_nothing() {
    disturbed(async |cluster, operator| {
        story::settle(cluster).await?;
        let before = writes(cluster).await?;
        operator.process.stop()?;
        operator.process.start()?;
        leads(operator).await?;
        story::settle(cluster).await?;
        assert_eq!(writes(cluster).await?, before);
        Ok(())
    });
}

#[test]
fn the_operator_killed() {
    disturbed(async |cluster, operator| {
        operator.process.kill()?;
        story::end(cluster).await?;
        operator.process.start()
    });
}

#[test]
fn the_leader_killed_for_good_on_a_settled_cluster_writes_nothing_twice() {
    disturbed(async |cluster, operator| {
        leads(operator).await?;
        story::settle(cluster).await?;
        let before = writes(cluster).await?;
        let other = Operator::start(cluster, 1, &[]).await?;
        operator.process.kill()?;
        leads(&other).await?;
        story::settle(cluster).await?;
        assert_eq!(writes(cluster).await?, before);
        // The other way round: it ends while there is work.
        operator.process.start()?;
        operator.ready().await?;
        story::end(cluster).await?;
        other.process.kill()?;
        leads(operator).await
    });
}

#[test]
fn the_api_server_restarted() {
    disturbed(async |cluster, _| {
        cluster.api_server().kill()?;
        cluster.api_server().start()?;
        cluster.ready().await
    });
}

#[test]
fn etcd_gone_for_half_a_minute() {
    disturbed(async |cluster, operator| {
        cluster.etcd().kill()?;
        sleep(Duration::from_secs(30)).await;
        operator.process.check()?;
        cluster.etcd().start()?;
        cluster.ready().await
    });
}

#[test]
fn watches_expired() {
    disturbed(async |cluster, operator| {
        // What happens while it is frozen is forgotten when it goes on.
        operator.process.pause()?;
        cluster.api_server().stop()?;
        cluster.api_server().start()?;
        cluster.ready().await?;
        story::end(cluster).await?;
        cluster.compact().await?;
        cluster.api_server().stop()?;
        cluster.api_server().start()?;
        cluster.ready().await?;
        operator.process.resume()
    });
}

#[test]
fn requests_refused_because_there_are_too_many() {
    /// One request of the operator at a time; the others are told to come back later.
    const STRICT: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: { name: strict }
spec:
  type: Limited
  limited: { nominalConcurrencyShares: 1, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: { type: Reject } }
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: { name: strict }
spec:
  matchingPrecedence: 2
  priorityLevelConfiguration: { name: strict }
  rules:
  - subjects: [{ kind: ServiceAccount, serviceAccount: { namespace: bartizan-system, name: bartizan-operator } }]
    resourceRules:
    - { verbs: [patch, delete], apiGroups: [bartizan.dev], resources: [\"*\"], namespaces: [\"*\"], clusterScope: true }
";
    run(setup(), async |cluster| {
        let expected = quiet_end().await.context("the quiet run failed")?;
        cluster.deploy().await?;
        let said = cluster.admin().apply(STRICT).await?;
        ensure!(said.success, "{said:?}");
        // Everything at once, when the operator starts.
        story::begin(cluster).await?;
        story::end(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::looks_like(cluster, expected).await?;
        let requests = cluster.requests().await?;
        let refused = requests.iter().filter(|request| request.code == 429);
        ensure!(
            refused.count() > 0,
            "no request was refused, so this proves nothing"
        );
        Ok(())
    });
}

#[test]
fn kinds_missing_at_the_start() {
    run(setup(), async |cluster| {
        let expected = quiet_end().await.context("the quiet run failed")?;
        cluster.deploy().await?;
        let crds = checkout().join("crds");
        let crds = crds.to_str().context("the checkout's path is no text")?;
        cluster.admin().kubectl(["delete", "-k", crds]).await?;
        let operator = Operator::launch(cluster, 0, &[]).await?;
        eventually("the operator has looked for its kinds", async || {
            let requests = cluster.requests().await?;
            let mut missed = requests.iter().filter(|request| request.code == 404);
            Ok(missed
                .find(|request| request.user == OPERATOR && request.verb == "list")
                .map(|_| ()))
        })
        .await?;
        operator.process.check()?;
        cluster.install_kinds().await?;
        operator.ready().await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        story::end(cluster).await?;
        story::looks_like(cluster, expected).await
    });
}

#[test]
fn an_object_that_does_not_parse() {
    /// An older version of the kind that let everything through.
    const LOOSE: &str = r#"[{"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema",
        "value":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}]"#;
    const BROKEN: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: broken, namespace: default }
spec: { selector: 5, process: [] }
";
    const YOUNG: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: young, namespace: shop }
spec: { selector: {}, process: { deny: [{ paths: [/usr/bin/vi] }] } }
";
    disturbed(async |cluster, operator| {
        let kind = "crd/securitypolicies.bartizan.dev";
        let admin = cluster.admin();
        admin
            .kubectl(["patch", kind, "--type=json", "-p", LOOSE])
            .await?;
        eventually("a broken policy is stored", async || {
            let said = admin.apply(BROKEN).await?;
            ensure!(said.success, "{}", said.stderr);
            Ok(Some(()))
        })
        .await?;
        cluster.install_kinds().await?;
        // Also when it is there from the start.
        operator.process.stop()?;
        operator.process.start()?;
        operator.ready().await?;
        // It is said there that it is refused, and the others are judged meanwhile: among
        // them is one that is younger.
        for (name, expected) in [("default/broken", "False"), ("shop/young", "True")] {
            let (namespace, name) = name.split_once('/').context("no namespace")?;
            if name == "young" {
                let said = admin.apply(YOUNG).await?;
                ensure!(said.success, "{}", said.stderr);
            }
            let policy = format!("securitypolicy/{name}");
            let accepted = "-o=jsonpath={.status.conditions[?(@.type==\"Accepted\")].status}";
            eventually(&format!("{policy} is judged"), async || {
                let said = admin
                    .kubectl(["get", "-n", namespace, &policy, accepted])
                    .await?;
                ensure!(said == expected, "Accepted: {said:?}");
                Ok(Some(()))
            })
            .await?;
        }
        admin
            .kubectl(["delete", "-n", "shop", "securitypolicy/young"])
            .await?;
        admin
            .kubectl(["delete", "-n", "default", "securitypolicy/broken"])
            .await?;
        Ok(())
    });
}
