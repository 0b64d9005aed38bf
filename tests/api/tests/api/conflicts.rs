//! Others who write what the operator writes.

use anyhow::{Context as _, ensure};
use bartizan_api_tests::{Operator, eventually};
use bartizan_crds::{PodEnforcement, RuleMap, SecurityPolicy};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::faults::{disturbed, leads};
use crate::story;

const API_VERSION: &str = "bartizan.dev/v1alpha1";

#[test]
fn somebody_else_writes_over_objects_and_deletes_them() {
    disturbed(async |cluster, _| {
        let before = story::settle(cluster).await?;
        let client = cluster.client();
        let stranger = PatchParams::apply("stranger").force();

        // Its fields have another manager now.
        let enforcements = Api::<PodEnforcement>::namespaced(client.clone(), "shop");
        let other = json!({
            "apiVersion": API_VERSION, "kind": "PodEnforcement",
            "spec": {
                "podUID": enforcements.get("web-0").await?.spec.pod_uid,
                "containers": [{ "name": "main", "kind": "Regular", "ruleMap": "none" }],
            },
        });
        enforcements
            .patch("web-0", &stranger, &Patch::Apply(other))
            .await?;
        let policies = Api::<SecurityPolicy>::namespaced(client.clone(), "shop");
        let boast = json!({
            "apiVersion": API_VERSION, "kind": "SecurityPolicy",
            "status": { "enforced": "99/99", "containers": { "enforced": 99, "selected": 99 } },
        });
        policies
            .patch_status("web-lockdown", &stranger, &Patch::Apply(boast))
            .await?;
        story::looks_like(cluster, &before)
            .await
            .context("what was written over is mended")?;

        // Gone under its hands, together with what it names.
        let delete = DeleteParams::default();
        enforcements.delete("web-1", &delete).await?;
        let maps = Api::<RuleMap>::all(client.clone());
        for map in maps.list(&ListParams::default()).await? {
            maps.delete(&map.name_any(), &delete).await?;
        }
        story::looks_like(cluster, &before)
            .await
            .context("what was deleted is there again")
    });
}

#[test]
fn rule_maps_that_somebody_made_before_are_used() {
    disturbed(async |cluster, operator| {
        story::settle(cluster).await?;
        // As a replica leaves them that published and died: everything else is gone.
        operator.process.kill()?;
        let client = cluster.client();
        let maps = Api::<RuleMap>::all(client.clone());
        let there = maps.list(&ListParams::default()).await?;
        let delete = DeleteParams::default();
        for map in &there {
            maps.delete(&map.name_any(), &delete).await?;
            let again = RuleMap::new(&map.name_any(), map.spec.clone());
            let by = PostParams {
                field_manager: Some("former-replica".to_owned()),
                ..PostParams::default()
            };
            maps.create(&by, &again).await?;
        }
        for namespace in ["shop", "bank"] {
            let api = Api::<PodEnforcement>::namespaced(client.clone(), namespace);
            api.delete_collection(&delete, &ListParams::default())
                .await?;
        }
        operator.process.start()?;
        operator.ready().await
    });
}

#[test]
fn a_former_leader_wakes_up_and_another_has_taken_over() {
    disturbed(async |cluster, operator| {
        leads(operator).await?;
        let other = Operator::start(cluster, 1, &[]).await?;
        operator.process.pause()?;
        leads(&other).await?;
        story::end(cluster).await?;
        operator.process.resume()?;
        eventually("the former leader has noticed", async || {
            Ok((!operator.leads().await?).then_some(()))
        })
        .await?;
        ensure!(other.leads().await?, "nobody leads");
        other.process.stop()?;
        leads(operator).await
    });
}
