//! The operator: from `kubectl apply` to what is said in status, with a stand-in for the
//! enforcers.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Operator, Request, Setup, eventually, pods, run};
use bartizan_crds::{
    ContainerReport, ContainerState, PodEnforcement, PolicyStatus, RuleMap, SecurityPolicy,
};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

/// The operator's name in the audit log.
const USER: &str = "system:serviceaccount:bartizan-system:bartizan-operator";

pub(crate) fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n"
    )
}

const WEB: &str = "{ selector: { matchLabels: { app: web } }, mode: Enforce, \
                   process: { deny: [{ paths: [/usr/bin/curl] }] } }";

pub(crate) async fn apply(cluster: &Cluster, document: &str) -> Result<()> {
    let said = cluster.admin().apply(document).await?;
    ensure!(said.success, "{}", said.stderr);
    Ok(())
}

pub(crate) async fn enforcement(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<PodEnforcement>> {
    let api = Api::<PodEnforcement>::namespaced(cluster.client(), namespace);
    Ok(api.get_opt(name).await?)
}

/// The rule map of a pod's container `main`, once the `PodEnforcement` fits a description.
pub(crate) async fn rule_map(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    what: &str,
    fits: impl Fn(&PodEnforcement) -> bool,
) -> Result<String> {
    eventually(what, async || {
        let enforcement = enforcement(cluster, namespace, pod).await?;
        Ok(enforcement.filter(&fits).and_then(|enforcement| {
            let mut containers = enforcement.spec.containers.into_iter();
            containers.find(|one| one.name == "main")?.rule_map
        }))
    })
    .await
}

/// What the enforcer of the pod's node would write.
pub(crate) async fn report(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    state: ContainerState,
) -> Result<()> {
    let there = enforcement(cluster, namespace, pod).await?;
    let there = there.context("no PodEnforcement to report about")?;
    let containers = there.spec.containers.into_iter();
    let reports: Vec<ContainerReport> = containers
        .map(|container| ContainerReport {
            name: container.name,
            state,
            rule_map: container.rule_map,
            since: None,
            unprotected_micros: Some(-1500),
            hold: None,
            reason: None,
            message: None,
            unenforceable: Vec::new(),
        })
        .collect();
    let body = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcement",
        "metadata": { "name": pod },
        "status": { "armed": "1/1", "containers": reports },
    });
    let api = Api::<PodEnforcement>::namespaced(cluster.client(), namespace);
    let params = PatchParams::apply("bartizan-enforcer").force();
    api.patch_status(pod, &params, &Patch::Apply(body)).await?;
    Ok(())
}

/// The status of a policy, once it fits a description.
pub(crate) async fn status(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    what: &str,
    fits: impl Fn(&PolicyStatus) -> bool,
) -> Result<PolicyStatus> {
    let api = Api::<SecurityPolicy>::namespaced(cluster.client(), namespace);
    let mut last = None;
    let waited = eventually(what, async || {
        let status = api.get(name).await?.status;
        last.clone_from(&status);
        Ok(status.filter(&fits))
    })
    .await;
    waited.with_context(|| format!("the status is {last:#?}"))
}

fn condition(status: &PolicyStatus, type_: &str) -> (String, String, String) {
    let mut all = status.conditions.iter();
    all.find(|one| one.type_ == type_)
        .map(|one| (one.status.clone(), one.reason.clone(), one.message.clone()))
        .unwrap_or_default()
}

/// What the operator wrote, leases aside.
pub(crate) fn writes(requests: &[Request]) -> Vec<String> {
    let mine = requests
        .iter()
        .filter(|request| request.user == USER && request.is_write());
    mine.filter(|request| request.resource != "leases")
        .map(|request| {
            let Request {
                verb,
                resource,
                namespace,
                name,
                code,
                ..
            } = request;
            format!("{verb} {resource} {namespace}/{name} {code}")
        })
        .collect()
}

#[test]
fn a_policy_becomes_rules_and_what_enforcers_report_becomes_its_status() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let _operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();

        apply(cluster, &policy(&namespace, "lockdown", WEB)).await?;
        let said = status(cluster, &namespace, "lockdown", "it is judged", |s| {
            condition(s, "Accepted").0 == "True"
        })
        .await?;
        assert_eq!(condition(&said, "Enforced").1, "SelectsNothing");
        assert_eq!(said.observed_generation, Some(1));

        // Before it is bound, and owned by its pod.
        let pod = pods::pod("web-1", &[("app", "web")]);
        let pod = pods::create(&client, &namespace, &pod).await?;
        let map = rule_map(cluster, &namespace, "web-1", "the pod has rules", |_| true).await?;
        let there = enforcement(cluster, &namespace, "web-1").await?;
        let there = there.context("it was there")?;
        assert_eq!(there.spec.node, None);
        assert_eq!(Some(&there.spec.pod_uid), pod.uid().as_ref());
        assert_eq!(Some(there.owner_references()[0].uid.clone()), pod.uid());
        let published = Api::<RuleMap>::all(client.clone()).get(&map).await?;
        assert_eq!(published.spec.policies[0].name, "lockdown");
        assert_eq!(published.spec.policies[0].rules[0].name, "process.deny[0]");

        let other = "{\"spec\":{\"policies\":[]}}";
        let patch = ["patch", "rulemap", &map, "--type=merge", "-p", other];
        let said = cluster.admin().try_kubectl(patch, "").await?;
        let never = "a rule map never changes: other rules have another name";
        ensure!(!said.success && said.stderr.contains(never), "{said:?}");

        pods::bind(&client, &namespace, "web-1", "node-a").await?;
        rule_map(cluster, &namespace, "web-1", "the node is filled in", |e| {
            e.spec.node.as_deref() == Some("node-a")
        })
        .await?;
        // As an enforcer asks for those of its node.
        let all = Api::<PodEnforcement>::all(client.clone());
        let mine = ListParams::default().fields("spec.node=node-a");
        assert_eq!(all.list(&mine).await?.items.len(), 1);
        let said = status(cluster, &namespace, "lockdown", "a node is behind", |s| {
            s.behind.first().is_some_and(|node| node.node == "node-a")
        })
        .await?;
        assert_eq!(said.enforced.as_deref(), Some("0/1"));
        assert_eq!(said.behind[0].reason, "NoReport");

        report(cluster, &namespace, "web-1", ContainerState::Armed).await?;
        let said = status(cluster, &namespace, "lockdown", "it is enforced", |s| {
            condition(s, "Enforced").0 == "True"
        })
        .await?;
        assert_eq!(said.enforced.as_deref(), Some("1/1"));
        assert!(said.behind.is_empty());
        let columns = cluster
            .admin()
            .kubectl(["get", "securitypolicies", "-n", &namespace])
            .await?;
        let words: Vec<&str> = columns.split_whitespace().collect();
        assert_eq!(words[..5], ["NAME", "MODE", "ACCEPTED", "ENFORCED", "AGE"]);
        assert_eq!(words[5..9], ["lockdown", "Enforce", "True", "1/1"]);
        eventually("an event says so", async || {
            let events = Api::<Event>::namespaced(client.clone(), &namespace);
            let events = events.list(&ListParams::default()).await?;
            let reasons: Vec<_> = events.items.into_iter().map(|e| e.reason).collect();
            Ok((reasons == [Some("Enforced".to_owned())]).then_some(()))
        })
        .await?;

        let requests = cluster.requests().await?;
        let mut mine = requests.iter().filter(|request| request.user == USER);
        assert_eq!(
            mine.find(|request| request.code >= 400 && request.code != 404),
            None
        );
        Ok(())
    });
}

#[test]
fn edits_relabelling_and_deletions_arrive() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let arguments = ["--rule-map-grace", "1"];
        let _operator = Operator::start(cluster, 0, &arguments).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        apply(cluster, &policy(&namespace, "one", WEB)).await?;
        for name in ["web-1", "web-2"] {
            let pod = pods::pod(name, &[("app", "web")]);
            pods::create(&client, &namespace, &pod).await?;
        }
        let first = rule_map(cluster, &namespace, "web-1", "rules", |_| true).await?;
        let shared = rule_map(cluster, &namespace, "web-2", "rules", |_| true).await?;
        assert_eq!(first, shared, "the same rules are one object");

        // A second policy adds its rules; deleting it takes them away again.
        apply(cluster, &policy(&namespace, "two", WEB)).await?;
        let other = |map: &str| {
            let map = map.to_owned();
            move |e: &PodEnforcement| e.spec.containers[0].rule_map.as_ref() != Some(&map)
        };
        let both = rule_map(cluster, &namespace, "web-1", "both", other(&first)).await?;
        let delete = ["delete", "secpol", "two", "-n", &namespace];
        cluster.admin().kubectl(delete).await?;
        let again = rule_map(cluster, &namespace, "web-1", "one", other(&both)).await?;
        assert_eq!(again, first);

        // An edit.
        let edited = WEB.replace("curl", "wget");
        apply(cluster, &policy(&namespace, "one", &edited)).await?;
        let second = rule_map(cluster, &namespace, "web-1", "the edit", other(&first)).await?;
        rule_map(cluster, &namespace, "web-2", "the edit", other(&first)).await?;
        eventually("rule maps that nothing names are collected", async || {
            let maps = Api::<RuleMap>::all(client.clone());
            let maps = maps.list(&ListParams::default()).await?;
            let names: Vec<_> = maps.iter().map(kube::ResourceExt::name_any).collect();
            Ok((names == [second.as_str()]).then_some(()))
        })
        .await?;

        // Relabelled, then labelled back.
        let label = |value: &str| format!("app={value}");
        for (value, selected) in [("other", false), ("web", true)] {
            let label = label(value);
            let args = [
                "label",
                "pod",
                "web-1",
                &label,
                "--overwrite",
                "-n",
                &namespace,
            ];
            cluster.admin().kubectl(args).await?;
            eventually("the pod is selected or not", async || {
                let there = enforcement(cluster, &namespace, "web-1").await?;
                Ok((there.is_some() == selected).then_some(()))
            })
            .await?;
        }

        // The same name, another pod.
        let before = enforcement(cluster, &namespace, "web-1").await?;
        let before = before.context("it was there")?.spec.pod_uid;
        pods::remove(&client, &namespace, "web-1").await?;
        let pod = pods::pod("web-1", &[("app", "web")]);
        pods::create(&client, &namespace, &pod).await?;
        rule_map(cluster, &namespace, "web-1", "the new pod's", |e| {
            e.spec.pod_uid != before && e.owner_references()[0].uid == e.spec.pod_uid
        })
        .await?;

        let delete = ["delete", "secpol", "one", "-n", &namespace];
        cluster.admin().kubectl(delete).await?;
        eventually("nothing is enforced any more", async || {
            let api = Api::<PodEnforcement>::namespaced(client.clone(), &namespace);
            let left = api.list(&ListParams::default()).await?;
            Ok(left.items.is_empty().then_some(()))
        })
        .await?;
        Ok(())
    });
}

#[test]
fn a_restart_on_a_settled_cluster_writes_nothing() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        apply(cluster, &policy(&namespace, "one", WEB)).await?;
        let bad = "{ selector: {}, process: { deny: [{ paths: [curl] }] } }";
        apply(cluster, &policy(&namespace, "bad", bad)).await?;
        for number in 0..5 {
            let name = format!("web-{number}");
            let pod = pods::pod(&name, &[("app", "web")]);
            pods::create(&client, &namespace, &pod).await?;
            pods::bind(&client, &namespace, &name, "node-a").await?;
            rule_map(cluster, &namespace, &name, "bound, with rules", |e| {
                e.spec.node.is_some()
            })
            .await?;
            report(cluster, &namespace, &name, ContainerState::Armed).await?;
        }
        status(cluster, &namespace, "one", "all are enforced", |s| {
            s.enforced.as_deref() == Some("5/5")
        })
        .await?;
        status(cluster, &namespace, "bad", "it is refused", |s| {
            condition(s, "Accepted").0 == "False"
        })
        .await?;
        eventually("the refusal's event is written", async || {
            let events = Api::<Event>::namespaced(client.clone(), &namespace);
            let events = events.list(&ListParams::default()).await?;
            let refused = |e: &Event| e.reason.as_deref() == Some("InvalidPolicy");
            Ok(events.items.iter().any(refused).then_some(()))
        })
        .await?;
        ensure!(operator.process.stop()?.success(), "it didn't end in peace");

        let before = cluster.requests().await?.len();
        operator.process.start()?;
        operator.ready().await?;
        eventually("it leads, and has looked at everything", async || {
            let leads = operator.metric("bartizan_operator_leader").await? == Some(1.0);
            let series = "bartizan_operator_reconciles_total{task=\"pod\"}";
            let looked = operator
                .metric(series)
                .await?
                .is_some_and(|pods| pods >= 5.0);
            let queued = "bartizan_operator_queued{task=\"status\"}";
            let done = operator.metric(queued).await? == Some(0.0);
            Ok((leads && looked && done).then_some(()))
        })
        .await?;
        // The same once more, to be sure that what it has to say has been said.
        operator.process.stop()?;
        let requests = cluster.requests().await?;
        assert_eq!(writes(&requests[before..]), [""; 0]);
        Ok(())
    });
}

#[test]
fn an_object_that_means_nothing_is_refused_in_the_checkers_words_and_blinds_nobody() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        let pod = pods::pod("web-1", &[("app", "web")]);
        pods::create(&client, &namespace, &pod).await?;
        apply(cluster, &policy(&namespace, "one", WEB)).await?;
        let first = rule_map(cluster, &namespace, "web-1", "rules", |_| true).await?;

        // What the schema can't say: the last accepted generation goes on.
        let bad = WEB.replace("/usr/bin/curl", "curl");
        apply(cluster, &policy(&namespace, "one", &bad)).await?;
        let said = status(cluster, &namespace, "one", "it is refused", |s| {
            condition(s, "Accepted").0 == "False"
        })
        .await?;
        let (_, reason, message) = condition(&said, "Accepted");
        assert_eq!(reason, "InvalidPolicy");
        assert_eq!(
            message,
            "spec.process.deny[0].paths[0]: `curl` is not absolute: start with `/`, or with `**/` \
             for any directory; generation 1 goes on being enforced until this is mended"
        );
        eventually("alerts can know of it", async || {
            let refused = "bartizan_operator_policies{state=\"Refused\"}";
            Ok((operator.metric(refused).await? == Some(1.0)).then_some(()))
        })
        .await?;
        let pod = pods::pod("web-2", &[("app", "web")]);
        pods::create(&client, &namespace, &pod).await?;
        let new = rule_map(cluster, &namespace, "web-2", "a new pod's", |_| true).await?;
        assert_eq!(new, first);

        // What doesn't even have the right types: the schema's guard is taken away.
        let open = json!([{
            "op": "replace",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        }]);
        let patch = open.to_string();
        let crd = "securitypolicies.bartizan.dev";
        let open = ["patch", "crd", crd, "--type=json", "-p", &patch];
        cluster.admin().kubectl(open).await?;
        let broken = "{ selector: 5, mode: Sometimes }";
        eventually("the API server takes it", async || {
            apply(cluster, &policy(&namespace, "broken", broken)).await?;
            Ok(Some(()))
        })
        .await?;
        let api = cluster.admin();
        eventually("the broken one is refused", async || {
            let message = "-o=jsonpath={.status.conditions[?(@.type=='Accepted')].message}";
            let said = api
                .kubectl(["get", "secpol", "broken", "-n", &namespace, message])
                .await?;
            let expected = [
                "spec.mode: unknown value `Sometimes` (there are Audit, Enforce)",
                "spec.selector: is a number, but should be a map",
            ];
            let all = expected.iter().all(|words| said.contains(words));
            Ok(all.then_some(()))
        })
        .await?;
        apply(
            cluster,
            &policy(&namespace, "one", &WEB.replace("curl", "wget")),
        )
        .await?;
        rule_map(cluster, &namespace, "web-1", "others go on", |e| {
            e.spec.containers[0].rule_map.as_ref() != Some(&first)
        })
        .await?;
        Ok(())
    });
}

#[test]
fn after_the_api_server_was_away_and_its_history_is_gone_the_operator_goes_on() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let operator = Operator::start(cluster, 0, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        apply(cluster, &policy(&namespace, "one", WEB)).await?;
        for name in ["web-1", "web-2"] {
            let pod = pods::pod(name, &[("app", "web")]);
            pods::create(&client, &namespace, &pod).await?;
            rule_map(cluster, &namespace, name, "rules", |_| true).await?;
        }
        let first = rule_map(cluster, &namespace, "web-1", "rules", |_| true).await?;

        // While the operator is frozen, its watches expire: it can't be told of this.
        operator.process.pause()?;
        pods::remove(&client, &namespace, "web-2").await?;
        let edited = WEB.replace("curl", "wget");
        apply(cluster, &policy(&namespace, "one", &edited)).await?;
        cluster.compact().await?;
        cluster.api_server().kill()?;
        cluster.api_server().start()?;
        cluster.ready().await?;
        operator.process.resume()?;

        let second = rule_map(cluster, &namespace, "web-1", "the edit", |e| {
            e.spec.containers[0].rule_map.as_ref() != Some(&first)
        })
        .await?;
        let published = Api::<RuleMap>::all(client.clone()).get(&second).await?;
        let rule = &published.spec.policies[0].rules[0];
        let programs = rule.process.as_ref().context("a rule about programs")?;
        assert_eq!(programs.paths, ["/usr/bin/wget"]);
        eventually("what the deleted pod had is gone", async || {
            let there = enforcement(cluster, &namespace, "web-2").await?;
            Ok(there.is_none().then_some(()))
        })
        .await?;
        Ok(())
    });
}
