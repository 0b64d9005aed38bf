//! `startup: Hold`, from the schema to what is said in status.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Operator, Setup, pods, run, shared};
use bartizan_crds::{HoldState, PodEnforcement, SecurityPolicy, Startup};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::operator::{apply, enforcement, policy, rule_map, status};

const HOLD: &str = "{ selector: { matchLabels: { app: web } }, mode: Enforce, startup: Hold, \
                    process: { deny: [{ paths: [/usr/bin/curl] }] } }";

#[test]
fn what_happens_to_a_container_that_is_too_early_is_one_of_two_words() {
    shared(async |cluster| {
        let namespace = cluster.namespace("startup").await?;
        apply(cluster, &policy(&namespace, "plain", "{ selector: {} }")).await?;
        apply(cluster, &policy(&namespace, "hold", HOLD)).await?;
        let api = Api::<SecurityPolicy>::namespaced(cluster.client(), &namespace);
        assert_eq!(api.get("plain").await?.spec.startup, Startup::Report);
        assert_eq!(api.get("hold").await?.spec.startup, Startup::Hold);

        let later = policy(&namespace, "later", "{ selector: {}, startup: Later }");
        let said = cluster.admin().apply(&later).await?;
        let values = "supported values: \"Report\", \"Hold\"";
        ensure!(!said.success && said.stderr.contains(values), "{said:?}");

        for (field, word) in [
            ("securitypolicy.spec.startup", "Hold"),
            ("podenforcement.spec.containers.withheld", "startup: Hold"),
            ("podenforcement.status.containers.hold", "Impossible"),
        ] {
            let said = cluster.admin().kubectl(["explain", field]).await?;
            ensure!(said.contains(word), "{field}: {said}");
        }
        Ok(())
    });
}

/// As the enforcer of the pod's node says of a container that has to wait.
async fn report(cluster: &Cluster, namespace: &str, hold: HoldState, reason: &str) -> Result<()> {
    let body = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": { "name": "web-1" },
        "status": { "armed": "0/1", "containers": [
            { "name": "main", "state": "Pending", "hold": hold, "reason": reason },
        ] },
    });
    let api = Api::<PodEnforcement>::namespaced(cluster.client(), namespace);
    let params = PatchParams::apply("bartizan-enforcer").force();
    api.patch_status("web-1", &params, &Patch::Apply(body))
        .await?;
    Ok(())
}

#[test]
fn a_policy_says_whether_its_containers_wait_for_its_rules() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        apply(cluster, &policy(&namespace, "lockdown", HOLD)).await?;
        let pod = pods::pod("web-1", &[("app", "web")]);
        pods::create(&client, &namespace, &pod).await?;
        pods::bind(&client, &namespace, "web-1", "node-a").await?;
        let waits = |e: &PodEnforcement| e.spec.containers[0].startup == Startup::Hold;
        let map = rule_map(cluster, &namespace, "web-1", "it waits", waits).await?;

        for (hold, reason, expected) in [
            (
                HoldState::Waiting,
                "MapsFailed",
                (
                    "True",
                    "Kept",
                    "main of pod {}/web-1 (MapsFailed) waits for them",
                ),
            ),
            (
                HoldState::Impossible,
                "NotStarted",
                ("False", "Impossible", "(NRI) on node-a"),
            ),
        ] {
            report(cluster, &namespace, hold, reason).await?;
            let (truth, word, part) = expected;
            let part = part.replace("{}", &namespace);
            status(cluster, &namespace, "lockdown", &part, |status| {
                let mut all = status.conditions.iter();
                let holds = all.find(|condition| condition.type_ == "Holds");
                holds.is_some_and(|holds| {
                    (holds.status.as_str(), holds.reason.as_str()) == (truth, word)
                        && holds.message.ends_with(&part)
                })
            })
            .await?;
        }

        // The rules are the same; only how their container starts is another.
        let lax = HOLD.replace("startup: Hold, ", "");
        apply(cluster, &policy(&namespace, "lockdown", &lax)).await?;
        let starts = |e: &PodEnforcement| e.spec.containers[0].startup == Startup::Report;
        let same = rule_map(cluster, &namespace, "web-1", "it starts", starts).await?;
        assert_eq!(same, map);
        status(cluster, &namespace, "lockdown", "no word of it", |status| {
            let mut all = status.conditions.iter();
            all.all(|condition| condition.type_ != "Holds")
        })
        .await?;
        let there = enforcement(cluster, &namespace, "web-1").await?;
        let there = serde_json::to_value(there.context("it is there")?)?;
        assert_eq!(there["spec"]["containers"][0].get("startup"), None);
        Ok(())
    });
}
