//! The operator's role: exactly what it uses.

use std::collections::BTreeSet;

use anyhow::ensure;
use bartizan_api_tests::deployment::{NAMESPACE, OPERATOR};
use bartizan_api_tests::{Enforcers, Operator, Request, Setup, run};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::Api;

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
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        story::settle(cluster).await?;
        story::end(cluster).await?;
        story::settle(cluster).await?;
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
        let unused: Vec<_> = may.difference(&uses).collect();
        ensure!(unused.is_empty(), "granted and never used: {unused:?}");
        Ok(())
    });
}
