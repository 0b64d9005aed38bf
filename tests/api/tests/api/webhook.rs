//! The validating webhook: `kubectl apply` says what is wrong in one line.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Operator, Said, Setup, checkout, pods, run, within};
use bartizan_crds::RuleMap;
use kube::api::Api;
use serde_json::json;
use std::time::Duration;

use super::operator::{apply, enforcement, policy, rule_map};

const GOOD: &str = "{ selector: {}, process: { deny: [{ paths: [/usr/bin/curl] }] } }";
/// Longer than 24,000 rules take to be linked on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const BAD: &str = "{ selector: {}, process: { deny: [{ paths: [curl] }] } }";

/// The webhook's configuration, but reached by an address: there are no nodes.
async fn configure(cluster: &Cluster, address: &str) -> Result<()> {
    let file = checkout().join("config/deploy/webhook.yaml");
    let file = file.to_str().context("the checkout's path is no text")?;
    cluster.admin().kubectl(["apply", "-f", file]).await?;
    let patch = json!({ "webhooks": [{
        "name": "policies.bartizan.dev",
        "clientConfig": { "service": null, "url": format!("https://{address}/validate") },
    }] });
    let patch = patch.to_string();
    let kind = "validatingwebhookconfiguration";
    let patch = ["patch", kind, "bartizan-operator", "-p", &patch];
    cluster.admin().kubectl(patch).await?;
    Ok(())
}

/// Asks again and again what would be said of a document, until that is said.
///
/// The API server gives up on a webhook after five seconds, which a busy machine can take,
/// and then accepts: so nothing is stored.
async fn answer(
    cluster: &Cluster,
    what: &str,
    (verb, document): (&str, &str),
    is_meant: impl Fn(&Said) -> bool,
) -> Result<Said> {
    let mut last = None;
    let waited = within(PATIENCE, what, async || {
        let dry = [verb, "--dry-run=server", "-f", "-"];
        let said = cluster.admin().try_kubectl(dry, document).await?;
        let is_meant = is_meant(&said);
        last = Some(said.clone());
        Ok(is_meant.then_some(said))
    });
    waited.await.with_context(|| format!("last: {last:?}"))
}

#[test]
fn apply_is_answered_with_the_rule_and_the_reason_and_goes_on_without_the_operator() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let address = format!("{}:9443", cluster.ip());
        configure(cluster, &address).await?;
        let operator = Operator::start(cluster, 0, &["--webhook", &address]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        pods::create(&client, &namespace, &pods::pod("web-1", &[])).await?;

        // Once its certificate is trusted, it refuses.
        let bad = policy(&namespace, "bad", BAD);
        let refused = answer(cluster, "the webhook refuses", ("apply", &bad), |said| {
            !said.success
        });
        let refused = refused.await?.stderr;
        let expected = "admission webhook \"policies.bartizan.dev\" denied the request: \
                        spec.process.deny[0].paths[0]: `curl` is not absolute: start with `/`, or \
                        with `**/` for any directory";
        ensure!(refused.contains(expected), "{refused}");
        assert_eq!(refused.trim_end().lines().count(), 1, "{refused}");

        let good = policy(&namespace, "good", GOOD);
        let said = cluster.admin().apply(&good).await?;
        ensure!(said.success && said.stderr.is_empty(), "{said:?}");
        let nobody = GOOD.replace("{}", "{ matchLabels: { app: nobody } }");
        let nobody = policy(&namespace, "nobody", &nobody);
        let warning = "Warning: the policy selects no container that is there now";
        let warns = |said: &Said| said.success && said.stderr.contains(warning);
        answer(cluster, "the webhook warns", ("apply", &nobody), warns).await?;

        // Each of these fits alone.
        let rules = |letter: char| {
            let rules = |n: u32| format!("{{ paths: [/{letter}{n}] }}");
            let all: Vec<String> = (0..4000).map(rules).collect();
            let list = all.join(", ");
            format!(
                "{{ selector: {{}}, process: {{ deny: [{list}] }}, files: {{ deny: [{list}], \
                 audit: [{list}] }} }}"
            )
        };
        // kubectl apply keeps a copy in an annotation, which has room for less.
        let many = policy(&namespace, "many-a", &rules('a'));
        let said = cluster
            .admin()
            .try_kubectl(["create", "-f", "-"], &many)
            .await?;
        ensure!(said.success, "{said:?}");
        rule_map(cluster, &namespace, "web-1", "12,000 rules", |_| true).await?;
        within(
            PATIENCE,
            "the API server takes a rule map of 12,000 rules",
            async || {
                let there = enforcement(cluster, &namespace, "web-1").await?;
                let there = there.context("it has rules")?.spec.containers.remove(0);
                let name = there.rule_map.context("it has rules")?;
                let map = Api::<RuleMap>::all(client.clone()).get(&name).await?;
                let rules: usize = map.spec.policies.iter().map(|one| one.rules.len()).sum();
                Ok((rules == 12_001).then_some(()))
            },
        )
        .await?;
        let many = policy(&namespace, "many-b", &rules('b'));
        let expected = format!(
            "together with the other policies of container main of pod {namespace}/web-1: 24001 \
             rules hold for one container, but at most 16384 can"
        );
        let is_too_much = |said: &Said| !said.success && said.stderr.contains(&expected);
        answer(
            cluster,
            "the webhook refuses both",
            ("create", &many),
            is_too_much,
        )
        .await?;

        // Without it, policies are stored, and judged later.
        operator.process.stop()?;
        apply(cluster, &bad).await?;
        operator.process.start()?;
        operator.ready().await?;
        let said = super::operator::status(cluster, &namespace, "bad", "it is judged", |s| {
            s.conditions
                .iter()
                .any(|one| one.status == "False" && one.type_ == "Accepted")
        })
        .await?;
        assert_eq!(said.enforced.as_deref(), Some("0/0"));
        // A new process has a new certificate, which is trusted beside the old one.
        let worse = policy(&namespace, "bad", &BAD.replace("curl", "wget"));
        let is_bad = |said: &Said| !said.success && said.stderr.contains("is not absolute");
        answer(
            cluster,
            "the webhook answers again",
            ("apply", &worse),
            is_bad,
        )
        .await?;
        // What is stored already can still be labelled.
        let label = ["label", "secpol", "bad", "seen=yes", "-n", &namespace];
        cluster.admin().kubectl(label).await?;
        Ok(())
    });
}
