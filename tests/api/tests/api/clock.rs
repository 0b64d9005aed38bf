//! A clock that jumps, and certificates that are not valid.

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Clock, Cluster, Enforcers, Operator, eventually, run, within};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::Api;
use std::time::Duration;

use super::faults::{quiet_end, setup};
use super::operator::{policy, status};
use crate::story;

/// Longer than from one look at the certificate to the next one's being served.
const ROTATION: Duration = Duration::from_secs(100);
const BAD: &str = "{ selector: {}, process: { deny: [{ paths: [curl] }] } }";

/// Whether the webhook refuses a policy that means nothing.
async fn refuses(cluster: &Cluster) -> Result<bool> {
    let dry = ["apply", "--dry-run=server", "-f", "-"];
    let bad = policy("default", "bad", BAD);
    let said = cluster.admin().try_kubectl(dry, &bad).await?;
    ensure!(
        said.success || said.stderr.contains("is not absolute"),
        "{said:?}"
    );
    Ok(!said.success)
}

/// How many certificates API servers trust.
async fn trusted(cluster: &Cluster) -> Result<usize> {
    let api = Api::<ValidatingWebhookConfiguration>::all(cluster.client());
    let webhooks = api.get("bartizan-operator").await?.webhooks;
    let bundle = webhooks
        .unwrap_or_default()
        .remove(0)
        .client_config
        .ca_bundle;
    let bundle = String::from_utf8(bundle.context("nothing is trusted")?.0)?;
    Ok(bundle.matches("BEGIN CERTIFICATE").count())
}

#[test]
fn a_certificate_that_is_not_valid_yet() {
    // To the API server, it begins in three weeks.
    not_valid(21, "is before");
}

#[test]
fn a_certificate_that_has_expired() {
    // Made for 30 days, so to the API server it ended ten days ago.
    not_valid(-40, "is after");
}

/// An operator whose clock is ahead by some days as it makes its certificate, and then
/// right; and what the API server finds about its own time.
fn not_valid(days: i32, found: &str) {
    run(setup(), async |cluster| {
        let expected = quiet_end().await.context("the quiet run failed")?;
        cluster.deploy().await?;
        let clock = Clock::ahead_by_days(cluster, days)?;
        let webhook = format!("{}:9443", cluster.ip());
        let operator = Operator::start_at(cluster, &clock, &["--webhook", &webhook]).await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        eventually("its certificate is published", async || {
            Ok((trusted(cluster).await? == 1).then_some(()))
        })
        .await?;
        eventually("the API server has tried it", async || {
            ensure!(!refuses(cluster).await?, "it took the certificate");
            let log = cluster.api_server().log();
            let invalid = "certificate has expired or is not yet valid";
            let mut lines = log.lines().filter(|line| line.contains(invalid));
            Ok(lines.any(|line| line.contains(found)).then_some(()))
        })
        .await?;
        // So the policy is stored, and judged in its status.
        let said = cluster
            .admin()
            .apply(&policy("default", "bad", BAD))
            .await?;
        ensure!(said.success, "{said:?}");
        status(cluster, "default", "bad", "it is judged", |status| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.type_ == "Accepted" && one.reason == "InvalidPolicy")
        })
        .await?;
        let delete = ["delete", "-n", "default", "securitypolicy/bad"];
        cluster.admin().kubectl(delete).await?;

        clock.set_ahead_by_days(0)?;
        story::end(cluster).await?;
        within(ROTATION, "a certificate that is valid", async || {
            Ok(refuses(cluster).await?.then_some(()))
        })
        .await?;
        assert_eq!(trusted(cluster).await?, 2, "the new one beside the old");
        story::looks_like(cluster, expected).await?;
        operator.process.check()
    });
}

#[test]
fn the_clock_set_ahead_until_the_certificate_is_old() {
    run(setup(), async |cluster| {
        let expected = quiet_end().await.context("the quiet run failed")?;
        cluster.deploy().await?;
        let clock = Clock::ahead_by_days(cluster, 0)?;
        let webhook = format!("{}:9443", cluster.ip());
        let operator = Operator::start_at(cluster, &clock, &["--webhook", &webhook]).await?;
        let _enforcers = Enforcers::start(cluster.client());
        story::begin(cluster).await?;
        eventually("the webhook answers", async || {
            Ok(refuses(cluster).await?.then_some(()))
        })
        .await?;
        clock.set_ahead_by_days(21)?;
        story::end(cluster).await?;
        within(ROTATION, "another certificate is published", async || {
            Ok((trusted(cluster).await? == 2).then_some(()))
        })
        .await?;
        story::looks_like(cluster, expected).await?;
        ensure!(operator.leads().await?, "it doesn't lead any more");
        operator.process.check()
    });
}
