//! Bartizan's kinds, as the API server and kubectl see them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, checkout, eventually, shared};
use bartizan_crds::definitions;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;

/// A policy with this below `spec`, in JSON or YAML on one line.
fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n"
    )
}

/// Applies as a field manager of that name.
async fn apply_as(cluster: &Cluster, manager: &str, document: &str) -> Result<String> {
    let manager = format!("--field-manager={manager}");
    let arguments = ["apply", "--server-side", &manager, "-f", "-"];
    let said = cluster.admin().try_kubectl(arguments, document).await?;
    ensure!(said.success, "{}", said.stderr);
    Ok(said.stdout)
}

#[test]
fn every_kind_is_established_and_structural() {
    shared(async |cluster| {
        let api = Api::<CustomResourceDefinition>::all(cluster.client());
        for definition in definitions() {
            let name = definition.metadata.name.context("a kind without name")?;
            let there = api.get(&name).await?;
            let conditions = there
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let is = |kind: &str| {
                conditions
                    .iter()
                    .any(|c| c.type_ == kind && c.status == "True")
            };
            ensure!(
                is("Established") && is("NamesAccepted"),
                "{name}: {conditions:?}"
            );
            ensure!(!is("NonStructuralSchema"), "{name}: {conditions:?}");
        }
        Ok(())
    });
}

#[test]
fn applying_the_kinds_again_warns_of_nothing_and_changes_nothing() {
    shared(async |cluster| {
        let crds = checkout().join("crds");
        let crds = crds.to_str().context("the checkout's path is no text")?;
        let again = ["apply", "--server-side", "--dry-run=server", "-k", crds];
        let said = cluster.admin().try_kubectl(again, "").await?;
        ensure!(said.success && said.stderr.is_empty(), "{said:?}");
        let said = cluster
            .admin()
            .try_kubectl(["diff", "--server-side", "-k", crds], "")
            .await?;
        ensure!(
            said.success,
            "the server has other kinds: {}{}",
            said.stdout,
            said.stderr
        );
        Ok(())
    });
}

#[test]
fn every_sample_is_accepted_without_a_warning() {
    shared(async |cluster| {
        let folder = checkout().join("config/samples");
        let mut applied = 0;
        for entry in fs::read_dir(&folder).context("no samples")? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            // Each in a namespace of its own, whatever it is called there.
            let namespace = cluster.namespace("sample").await?;
            let text = fs::read_to_string(&path)?;
            let text = text
                .lines()
                .map(|line| match line.strip_prefix("  namespace: ") {
                    Some(_) => format!("  namespace: {namespace}\n"),
                    None => format!("{line}\n"),
                });
            let said = cluster.admin().apply(&text.collect::<String>()).await?;
            ensure!(
                said.success && said.stderr.is_empty(),
                "{}: {said:?}",
                path.display()
            );
            applied += 1;
        }
        ensure!(applied >= 10, "only {applied} samples");
        Ok(())
    });
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("{}", "spec.selector: Required value"),
        (
            "{ selector: {}, mode: enforce }",
            "spec.mode: Unsupported value: \"enforce\"",
        ),
        (
            "{ selector: {}, severity: 11 }",
            "spec.severity: Invalid value: 11",
        ),
        (
            "{ selector: {}, containers: [] }",
            "spec.containers: Invalid value: 0",
        ),
        (
            "{ selector: {}, containers: [a, a] }",
            "spec.containers[1]: Duplicate value: \"a\"",
        ),
        (
            "{ selector: {}, proces: {} }",
            "unknown field \"spec.proces\"",
        ),
        (
            "{ selector: {}, process: { deny: [{ paths: [/a], name: Shell }] } }",
            "spec.process.deny[0].name: Invalid value: \"Shell\": no name of a rule",
        ),
        (
            "{ selector: {}, process: { deny: [{ name: a }] } }",
            "spec.process.deny[0].paths: Required value",
        ),
        (
            "{ selector: {}, files: { deny: [{ paths: [/a], operations: [Exec] }] } }",
            "spec.files.deny[0].operations[0]: Unsupported value: \"Exec\"",
        ),
        (
            "{ selector: {}, network: { deny: [{ sockets: [Raw], ports: [1] }] } }",
            "about creating sockets: write two rules",
        ),
        (
            "{ selector: {}, network: { deny: [{ unix: ['@x'], ports: [1] }] } }",
            "`unix` about Unix sockets: write two rules",
        ),
        (
            "{ selector: {}, capabilities: { deny: [{ capabilities: [CAP_NET_RAW] }] } }",
            "capabilities are written without `CAP_`",
        ),
        (
            "{ selector: {}, restrict: { mounts: deny } }",
            "spec.restrict.mounts: Unsupported value: \"deny\"",
        ),
        (
            "{ selector: {}, message: \"two\\nlines\" }",
            "line breaks are not allowed",
        ),
        (
            "{ selector: {}, tags: [\"two words\"] }",
            "a tag is one word",
        ),
    ];
    shared(async |cluster| {
        let namespace = cluster.namespace("wrong").await?;
        let mut missed = Vec::new();
        for (spec, expected) in cases {
            let said = cluster
                .admin()
                .apply(&policy(&namespace, "wrong", spec))
                .await?;
            if said.success || !said.stderr.contains(expected) {
                missed.push(format!("{spec}\n  expected: {expected}\n  said: {said:?}"));
            }
        }
        ensure!(missed.is_empty(), "{}", missed.join("\n"));
        Ok(())
    });
}

#[test]
fn two_owners_apply_different_fields_and_neither_takes_the_others() {
    shared(async |cluster| {
        let namespace = cluster.namespace("owners").await?;
        let rule = |path: &str| format!("{{ deny: [{{ paths: [{path}] }}] }}");
        let process = format!("{{ selector: {{}}, process: {} }}", rule("/bin/sh"));
        apply_as(cluster, "platform", &policy(&namespace, "shared", &process)).await?;
        let files = format!(
            "{{ selector: {{}}, tags: [pci], files: {} }}",
            rule("/etc/**")
        );
        apply_as(cluster, "team", &policy(&namespace, "shared", &files)).await?;
        // A list that is a set grows, an atomic one belongs to one of them.
        let tags = "{ selector: {}, tags: [shop] }";
        apply_as(cluster, "auditor", &policy(&namespace, "shared", tags)).await?;
        let taken = format!("{{ selector: {{}}, process: {} }}", rule("/bin/bash"));
        let refused = apply_as(cluster, "team", &policy(&namespace, "shared", &taken)).await;
        let refused = refused
            .err()
            .context("another owner's rules were replaced")?
            .to_string();
        ensure!(refused.contains(".spec.process.deny"), "{refused}");

        let show = [
            "get",
            "-n",
            &namespace,
            "securitypolicy/shared",
            "-o",
            "json",
        ];
        let shown = |json: &str| -> Result<serde_json::Value> {
            Ok(serde_json::from_str::<serde_json::Value>(json)?["spec"].take())
        };
        let spec = shown(&cluster.admin().kubectl(show).await?)?;
        assert_eq!(spec["process"]["deny"][0]["paths"][0], "/bin/sh");
        assert_eq!(spec["files"]["deny"][0]["paths"][0], "/etc/**");
        assert_eq!(spec["tags"], serde_json::json!(["pci", "shop"]));
        assert_eq!(spec["mode"], "Audit");

        // Whoever no longer names a field gives up that field alone.
        let nothing = "{ selector: {} }";
        apply_as(cluster, "team", &policy(&namespace, "shared", nothing)).await?;
        let spec = shown(&cluster.admin().kubectl(show).await?)?;
        assert_eq!(spec["process"]["deny"][0]["paths"][0], "/bin/sh");
        assert!(spec["files"]["deny"].is_null(), "{spec}");
        assert_eq!(spec["tags"], serde_json::json!(["shop"]));
        Ok(())
    });
}

#[test]
fn kubectl_get_shows_mode_accepted_enforced_and_age() {
    shared(async |cluster| {
        let namespace = cluster.namespace("columns").await?;
        let admin = cluster.admin();
        let document = policy(&namespace, "web", "{ selector: {}, mode: Enforce }");
        apply_as(cluster, "user", &document).await?;
        let status = r#"{"status":{"enforced":"2/3","conditions":[{"type":"Accepted",
            "status":"True","reason":"Valid","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
        admin
            .kubectl([
                "patch",
                "-n",
                &namespace,
                "securitypolicy/web",
                "--subresource=status",
                "--type=merge",
                "-p",
                status,
            ])
            .await?;
        for name in ["securitypolicies", "secpol", "bartizan"] {
            let shown = admin.kubectl(["get", "-n", &namespace, name]).await?;
            let words = |line: &str| {
                line.split_whitespace()
                    .map(String::from)
                    .collect::<Vec<_>>()
            };
            // The category also has kinds that belong to no namespace.
            let at = shown
                .lines()
                .position(|line| line.contains("web "))
                .context("no policy")?;
            let header = words(shown.lines().nth(at - 1).unwrap_or_default());
            assert_eq!(
                header,
                ["NAME", "MODE", "ACCEPTED", "ENFORCED", "AGE"],
                "{shown}"
            );
            let line = words(shown.lines().nth(at).unwrap_or_default());
            assert_eq!(line.len(), header.len(), "{shown}");
            assert_eq!(line[1..4], ["Enforce", "True", "2/3"], "{shown}");
        }
        Ok(())
    });
}

#[test]
fn kubectl_explain_knows_every_field() {
    shared(async |cluster| {
        let cases = [
            ("securitypolicy", "enforced in the kernel"),
            ("securitypolicy.spec.files", "Opening, changing"),
            (
                "securitypolicy.spec.files.deny.operations",
                "`Write` also means",
            ),
            ("securitypolicy.spec.network.allow.ports", "8000-8100"),
            (
                "clustersecuritypolicy.spec.namespaceSelector",
                "namespaces the policy holds in",
            ),
            (
                "podenforcement.status.containers.unprotectedMicros",
                "armed before",
            ),
            ("rulemap.spec.policies", "cluster-wide"),
        ];
        for (field, expected) in cases {
            // The documentation is published some time after the kinds are.
            eventually(&format!("{field} is explained"), async || {
                let said = cluster.admin().kubectl(["explain", field]).await?;
                let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
                ensure!(words.contains(expected), "{said}");
                Ok(Some(()))
            })
            .await?;
        }
        let all = cluster
            .admin()
            .kubectl(["explain", "--recursive", "securitypolicy.spec"]);
        let all = all.await?;
        for field in [
            "selector",
            "containers",
            "process",
            "exceptFrom",
            "unlessOwner",
            "sockets",
        ] {
            ensure!(all.contains(field), "no {field} in {all}");
        }
        Ok(())
    });
}

#[test]
fn a_nodes_enforcements_are_found_by_the_node() {
    shared(async |cluster| {
        let namespace = cluster.namespace("node").await?;
        for (name, node) in [("a", "node-a"), ("b", "node-b")] {
            let document = format!(
                "apiVersion: bartizan.dev/v1alpha1\nkind: PodEnforcement\n\
                 metadata: {{ name: {name}, namespace: {namespace} }}\n\
                 spec: {{ podUID: uid-{name}, node: {node}, containers: [] }}\n"
            );
            apply_as(cluster, "operator", &document).await?;
        }
        let of_node = [
            "get",
            "-n",
            &namespace,
            "podenforcements",
            "-o",
            "name",
            "--field-selector",
            "spec.node=node-b",
        ];
        let found = cluster.admin().kubectl(of_node).await?;
        assert_eq!(found.trim(), "podenforcement.bartizan.dev/b");
        Ok(())
    });
}

#[test]
fn a_pods_enforcement_never_moves_to_another_pod_or_node() {
    shared(async |cluster| {
        let namespace = cluster.namespace("moves").await?;
        let document = |spec: &str| {
            format!(
                "apiVersion: bartizan.dev/v1alpha1\nkind: PodEnforcement\n\
                 metadata: {{ name: web, namespace: {namespace} }}\nspec: {spec}\n"
            )
        };
        apply_as(cluster, "operator", &document("{ podUID: one }")).await?;
        apply_as(cluster, "operator", &document("{ podUID: one, node: a }")).await?;
        for (spec, expected) in [
            (
                "{ podUID: two, node: a }",
                "another pod has another PodEnforcement",
            ),
            ("{ podUID: one, node: b }", "a pod never changes its node"),
            ("{ podUID: one }", "a pod never changes its node"),
        ] {
            let refused = apply_as(cluster, "operator", &document(spec)).await;
            let refused = refused
                .err()
                .with_context(|| format!("{spec} is accepted"))?;
            ensure!(refused.to_string().contains(expected), "{spec}: {refused}");
        }
        Ok(())
    });
}

#[test]
fn a_rule_map_never_changes() {
    shared(async |cluster| {
        let document = |mode: &str| {
            format!(
                "apiVersion: bartizan.dev/v1alpha1\nkind: RuleMap\nmetadata: {{ name: fixed }}\n\
                 spec: {{ policies: [{{ name: one, mode: {mode}, rules: [] }}] }}\n"
            )
        };
        apply_as(cluster, "operator", &document("Audit")).await?;
        let refused = apply_as(cluster, "operator", &document("Enforce")).await;
        let refused = refused.err().context("a rule map was changed")?.to_string();
        ensure!(refused.contains("a rule map never changes"), "{refused}");
        Ok(())
    });
}
