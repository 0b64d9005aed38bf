//! The operator's role: exactly what it uses.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use bartizan_api_tests::deployment::{NAMESPACE, OPERATOR};
use bartizan_api_tests::{Cluster, Enforcers, Operator, Request, Setup, eventually, run};
use bartizan_crds::SecurityPolicy;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::story;

/// Group, resource, verb.
type Right = (String, String, String);

fn granted(rules: Vec<PolicyRule>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    rights.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    rights
}

/// The rights that a request needed. Server-side apply of what isn't there needs two.
fn used(request: &Request) -> Vec<Right> {
    let right = |verb: &str| {
        let resource = request.resource.clone();
        (request.group.clone(), resource, verb.to_owned())
    };
    match (request.verb.as_str(), request.code) {
        ("patch", 201) => vec![right("patch"), right("create")],
        (verb, _) => vec![right(verb)],
    }
}

#[test]
fn the_operator_uses_every_right_it_has_and_is_refused_none() {
    run(Setup::default(), async |cluster| {
        cluster.deploy().await?;
        let webhook = format!("{}:9443", cluster.ip());
        let flags = ["--rule-map-grace", "1", "--webhook", &webhook];
        let operator = Operator::start(cluster, 0, &flags).await?;
        let enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        story::settle(cluster).await?;
        story::end(cluster).await?;
        story::settle(cluster).await?;
        drop(enforcers);
        enforced_once_more(cluster).await?;
        operator.process.stop()?;

        let requests = cluster.requests().await?;
        let own = requests.iter().filter(|request| request.user == OPERATOR);
        let own: Vec<_> = own.filter(|request| !request.resource.is_empty()).collect();
        let refused: Vec<_> = own.iter().filter(|request| request.code == 403).collect();
        ensure!(refused.is_empty(), "refused: {refused:#?}");
        let uses: BTreeSet<_> = own.into_iter().flat_map(used).collect();

        let client = cluster.client();
        let name = "bartizan-operator";
        let cluster_role = Api::<ClusterRole>::all(client.clone()).get(name).await?;
        let role = Api::<Role>::namespaced(client, NAMESPACE).get(name).await?;
        let mut may = granted(cluster_role.rules.unwrap_or_default());
        may.extend(granted(role.rules.unwrap_or_default()));
        // Whatever is taken away, a request is refused that was made here.
        for right in &may {
            let mut rest = may.clone();
            rest.remove(right);
            let refused = uses.difference(&rest).count();
            ensure!(
                refused == 1,
                "without {right:?}, {refused} of these uses are refused"
            );
        }
        Ok(())
    });
}

/// What was enforced is edited, and enforced again only after the status has said that it
/// isn't: the second event of a kind becomes a count in the first, which is a patch.
async fn enforced_once_more(cluster: &Cluster) -> Result<()> {
    let policies = Api::<SecurityPolicy>::namespaced(cluster.client(), "shop");
    let edit = json!({ "spec": { "process": { "deny": [{ "paths": ["/usr/bin/rpm"] }] } } });
    let edit = Patch::Merge(&edit);
    let by = PatchParams::default();
    let edited = policies.patch("web-lockdown", &by, &edit);
    let generation = edited.await?.metadata.generation;
    eventually("the edit is not enforced yet", async || {
        let status = policies.get("web-lockdown").await?.status;
        Ok(status.and_then(|status| {
            let current = status.observed_generation == generation;
            let mut conditions = status.conditions.into_iter();
            conditions.find(|one| current && one.type_ == "Enforced" && one.status == "False")
        }))
    })
    .await?;
    let _enforcers = Enforcers::start(cluster.client());
    let events = Api::<Event>::namespaced(cluster.client(), "shop");
    eventually("its event counts two", async || {
        let mut events = events.list(&ListParams::default()).await?.items.into_iter();
        Ok(events.find(|event| {
            let name = event.regarding.as_ref().and_then(|it| it.name.as_deref());
            name == Some("web-lockdown") && event.series.is_some()
        }))
    })
    .await?;
    Ok(())
}

/// The rules without one right.
fn without(rules: Vec<PolicyRule>, resource: &str, verb: &str) -> Vec<PolicyRule> {
    let mut kept = Vec::new();
    for rule in rules {
        let resources = rule.resources.clone().unwrap_or_default();
        let (named, others): (Vec<_>, Vec<_>) =
            resources.into_iter().partition(|one| one == resource);
        let mut narrowed = rule.clone();
        if !named.is_empty() {
            narrowed.verbs.retain(|one| one != verb);
        }
        for (mut rule, resources) in [(narrowed, named), (rule, others)] {
            if !resources.is_empty() && !rule.verbs.is_empty() {
                rule.resources = Some(resources);
                kept.push(rule);
            }
        }
    }
    kept
}

#[test]
fn a_right_that_is_missing_is_named_in_the_log() {
    run(Setup::default(), async |cluster| {
        cluster.deploy().await?;
        story::begin(cluster).await?;
        let api = Api::<ClusterRole>::all(cluster.client());
        let granted = api
            .get("bartizan-operator")
            .await?
            .rules
            .unwrap_or_default();
        let mut operator: Option<Operator> = None;
        // In the order in which each is needed: what isn't written yet, and then the rest.
        for (resource, group, verb) in [
            ("rulemaps", "bartizan.dev", "create"),
            ("podenforcements", "bartizan.dev", "patch"),
            ("securitypolicies/status", "bartizan.dev", "patch"),
            ("podenforcements", "bartizan.dev", "watch"),
            ("pods", "", "list"),
        ] {
            let rules = without(granted.clone(), resource, verb);
            let rules = json!({ "rules": rules });
            let by = PatchParams::default();
            api.patch("bartizan-operator", &by, &Patch::Merge(&rules))
                .await?;
            let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let asked = format!("{plural}.{group}");
            let asked = asked.trim_end_matches('.');
            let user = format!("--as={OPERATOR}");
            let part = format!("--subresource={subresource}");
            let can = [
                "auth",
                "can-i",
                verb,
                asked,
                &user,
                &part,
                "--all-namespaces",
            ];
            eventually("the role is in force", async || {
                let said = cluster.admin().try_kubectl(can, "").await?;
                Ok((said.stdout.trim() == "no").then_some(()))
            })
            .await?;
            let operator = match &mut operator {
                Some(operator) => {
                    operator.process.start()?;
                    operator
                }
                none => none.insert(Operator::launch(cluster, 0, &[]).await?),
            };
            // Quotes inside of a field are escaped.
            let words =
                format!(r#"cannot {verb} resource \"{resource}\" in API group \"{group}\""#);
            eventually(&format!("the log says: {words}"), async || {
                operator.process.check()?;
                Ok(operator.process.log().contains(&words).then_some(()))
            })
            .await?;
            operator.process.stop()?;
        }
        Ok(())
    });
}
