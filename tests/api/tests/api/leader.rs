//! Two replicas of the operator: one writes, the other takes over.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_api_tests::{Operator, Setup, eventually, pods, run};

use super::operator::{apply, policy, rule_map, writes};

const ALL: &str = "{ selector: {}, process: { deny: [{ paths: [/usr/bin/curl] }] } }";

async fn leads(operator: &Operator) -> Result<bool> {
    Ok(operator.metric("bartizan_operator_leader").await? == Some(1.0))
}

#[test]
fn when_the_leader_is_killed_the_other_takes_over_within_15_seconds() {
    run(Setup::default(), async |cluster| {
        Operator::install(cluster).await?;
        let first = Operator::start(cluster, 0, &[]).await?;
        eventually("the first leads", async || {
            Ok(leads(&first).await?.then_some(()))
        })
        .await?;
        let second = Operator::start(cluster, 1, &[]).await?;
        let namespace = cluster.namespace("shop").await?;
        let client = cluster.client();
        apply(cluster, &policy(&namespace, "one", ALL)).await?;
        pods::create(&client, &namespace, &pods::pod("web-1", &[])).await?;
        rule_map(cluster, &namespace, "web-1", "rules", |_| true).await?;
        ensure!(!leads(&second).await?, "two leaders");

        let killed = Instant::now();
        first.process.kill()?;
        pods::create(&client, &namespace, &pods::pod("web-2", &[])).await?;
        eventually("the second leads", async || {
            Ok(leads(&second).await?.then_some(()))
        })
        .await?;
        let took = killed.elapsed();
        ensure!(took < Duration::from_secs(15), "took over after {took:?}");
        rule_map(cluster, &namespace, "web-2", "rules", |_| true).await?;
        // Both pods have been written once each, whoever did it.
        let written = writes(&cluster.requests().await?);
        for pod in ["web-1", "web-2"] {
            let end = format!("{namespace}/{pod}");
            let times = written
                .iter()
                .filter(|write| write.contains("podenforcements") && write.contains(&end))
                .count();
            assert_eq!(times, 1, "{pod} in {written:#?}");
        }

        // One that ends in peace leaves at once.
        first.process.start()?;
        first.ready().await?;
        let stopped = Instant::now();
        second.process.stop()?;
        eventually("the first leads again", async || {
            Ok(leads(&first).await?.then_some(()))
        })
        .await?;
        let took = stopped.elapsed();
        ensure!(took < Duration::from_secs(8), "took over after {took:?}");
        Ok(())
    });
}
