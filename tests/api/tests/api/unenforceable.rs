//! Nodes whose kernels lack hooks, from the schema to what is said of policies.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Operator, Setup, pods, run, shared};
use bartizan_crds::{ContainerState, PodEnforcement};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::operator::{apply, enforcement, policy, rule_map, status};

const MODES: &str = "{ selector: { matchLabels: { app: web } }, mode: Enforce, \
                     files: { deny: [{ name: fixed, paths: [/a], operations: [Chmod] }] } }";
const PROGRAMS: &str = "{ selector: { matchLabels: { app: web } }, mode: Enforce, \
                        process: { deny: [{ paths: [/usr/bin/curl] }] } }";

/// Writes a status as the enforcer of a node does.
async fn report(cluster: &Cluster, namespace: &str, container: &Value) -> Result<()> {
    let body = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": { "name": "web-1" },
        "status": { "armed": "0/1", "containers": [container] },
    });
    let api = Api::<PodEnforcement>::namespaced(cluster.client(), namespace);
    let params = PatchParams::apply("bartizan-enforcer").force();
    api.patch_status("web-1", &params, &Patch::Apply(body))
        .await?;
    Ok(())
}

/// What an enforcer says of a container whose kernel can't enforce a policy.
fn partial(rule_map: &str, policy: &str) -> Value {
    json!({
        "name": "main",
        "state": "Partial",
        "ruleMap": rule_map,
        "reason": "NotEnforceableHere",
        "unenforceable": [{
            "policy": policy,
            "rules": ["fixed"],
            "operations": ["Chmod"],
            "hooks": ["path_chmod"],
        }],
    })
}

#[test]
fn only_the_policy_that_needs_what_a_kernel_lacks_is_not_enforced() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        let pod = pods::pod("web-1", &[("app", "web")]);
        pods::create(&client, &namespace, &pod).await?;
        pods::bind(&client, &namespace, "web-1", "node-a").await?;
        apply(cluster, &policy(&namespace, "programs", PROGRAMS)).await?;
        let first = rule_map(cluster, &namespace, "web-1", "rules", |_| true).await?;
        apply(cluster, &policy(&namespace, "modes", MODES)).await?;
        let is_other = |e: &PodEnforcement| {
            let map = e.spec.containers[0].rule_map.as_ref();
            map.is_some_and(|map| *map != first)
        };
        let map = rule_map(cluster, &namespace, "web-1", "both", is_other).await?;

        let modes = format!("{namespace}/modes");
        report(cluster, &namespace, &partial(&map, &modes)).await?;
        let there = enforcement(cluster, &namespace, "web-1").await?;
        let there = there.and_then(|it| it.status).context("no status")?;
        assert_eq!(there.containers[0].state, ContainerState::Partial);
        assert_eq!(there.containers[0].unenforceable[0].policy, modes);

        let said = status(cluster, &namespace, "programs", "it is enforced", |s| {
            s.enforced.as_deref() == Some("1/1")
        })
        .await?;
        assert!(said.behind.is_empty());
        let said = status(cluster, &namespace, "modes", "it is not", |s| {
            s.behind
                .first()
                .is_some_and(|it| it.reason == "NotEnforceableHere")
        })
        .await?;
        assert_eq!(said.enforced.as_deref(), Some("0/1"));
        let enforced = said.conditions.iter().find(|it| it.type_ == "Enforced");
        let enforced = enforced.context("no condition")?;
        let (state, reason) = (enforced.status.as_str(), enforced.reason.as_str());
        assert_eq!((state, reason), ("False", "NotEnforceableHere"));
        let lacks = "by the kernel of node-a: it lacks path_chmod for Chmod of fixed";
        assert!(enforced.message.ends_with(lacks), "{}", enforced.message);

        // A kernel that has the hook, as after a restart of the node.
        let armed = json!({ "name": "main", "state": "Armed", "ruleMap": map });
        report(cluster, &namespace, &armed).await?;
        for name in ["programs", "modes"] {
            status(cluster, &namespace, name, "it is enforced", |s| {
                s.enforced.as_deref() == Some("1/1")
            })
            .await?;
        }
        Ok(())
    });
}

#[test]
fn what_a_kernel_lacks_is_explained() {
    shared(async |cluster| {
        let field = "podenforcement.status.containers.unenforceable.hooks";
        let said = cluster.admin().kubectl(["explain", field]).await?;
        ensure!(said.contains("The hooks that the kernel lacks"), "{said}");
        Ok(())
    });
}
