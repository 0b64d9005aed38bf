//! The servers themselves: what all other tests rely on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_api_tests::{Cluster, Request, Setup, eventually, pods, run, shared};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::time::timeout;

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap {
        data: Some(BTreeMap::from([("key".to_owned(), "value".to_owned())])),
        ..ConfigMap::default()
    };
    map.metadata.name = Some(name.to_owned());
    map
}

fn maps(cluster: &Cluster, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(cluster.client(), namespace)
}

#[test]
fn kubectl_and_the_client_see_the_same_object() {
    shared(async |cluster| {
        let namespace = cluster.namespace("same").await?;
        maps(cluster, &namespace)
            .create(&PostParams::default(), &config_map("one"))
            .await?;
        let shown = [
            "get",
            "-n",
            &namespace,
            "configmap/one",
            "-o",
            "jsonpath={.data.key}",
        ];
        assert_eq!(cluster.admin().kubectl(shown).await?, "value");
        Ok(())
    });
}

#[test]
fn kubectl_is_of_the_same_release_as_the_server() {
    shared(async |cluster| {
        let said = cluster.admin().kubectl(["version", "-o", "json"]).await?;
        let versions: serde_json::Value = serde_json::from_str(&said)?;
        let server = &versions["serverVersion"]["gitVersion"];
        assert_eq!(&versions["clientVersion"]["gitVersion"], server);
        assert!(
            server
                .as_str()
                .is_some_and(|version| version.starts_with("v1.")),
            "{server}"
        );
        Ok(())
    });
}

#[test]
fn a_restarted_api_server_has_all_objects_and_the_same_address() {
    run(Setup::default(), async |cluster| {
        maps(cluster, "default")
            .create(&PostParams::default(), &config_map("kept"))
            .await?;
        cluster.api_server().stop()?;
        let down = maps(cluster, "default").get("kept").await;
        assert!(down.is_err(), "a stopped server has answered");
        cluster.api_server().start()?;
        cluster.ready().await?;
        maps(cluster, "default").get("kept").await?;
        Ok(())
    });
}

#[test]
fn without_etcd_nothing_is_answered_until_it_is_back() {
    run(Setup::default(), async |cluster| {
        let create = PostParams::default();
        maps(cluster, "default")
            .create(&create, &config_map("before"))
            .await?;
        cluster.etcd().kill()?;
        let during = config_map("during");
        let write = maps(cluster, "default");
        let write = write.create(&create, &during);
        let written = timeout(Duration::from_secs(2), write).await;
        assert!(!matches!(written, Ok(Ok(_))), "written without etcd");
        cluster.etcd().start()?;
        cluster.ready().await?;
        eventually("objects can be written", async || {
            Ok(maps(cluster, "default")
                .create(&create, &config_map("after"))
                .await
                .map(Some)?)
        })
        .await?;
        maps(cluster, "default").get("before").await?;
        Ok(())
    });
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    run(Setup::default(), async |cluster| {
        cluster.api_server().pause()?;
        let mut get = tokio::spawn({
            let maps = Api::<Namespace>::all(cluster.client());
            async move { maps.get("default").await }
        });
        // Long enough for an answer, were it not paused.
        let early = timeout(Duration::from_millis(500), &mut get).await;
        assert!(early.is_err(), "a paused server has answered: {early:?}");
        cluster.api_server().resume()?;
        get.await??;
        Ok(())
    });
}

#[test]
fn compaction_and_a_restart_expire_a_watch() {
    run(Setup::default(), async |cluster| {
        let maps = maps(cluster, "default");
        let first = maps
            .create(&PostParams::default(), &config_map("first"))
            .await?;
        let old = first
            .resource_version()
            .context("an object without version")?;
        maps.create(&PostParams::default(), &config_map("second"))
            .await?;
        cluster.compact().await?;
        cluster.api_server().stop()?;
        cluster.api_server().start()?;
        cluster.ready().await?;
        let mut events = Box::pin(maps.watch(&WatchParams::default(), &old).await?);
        let event = std::future::poll_fn(|cx| futures_core::Stream::poll_next(events.as_mut(), cx));
        match event.await.context("a watch that ends at once")?? {
            WatchEvent::Error(status) => assert_eq!(status.code, 410, "{status:?}"),
            other => anyhow::bail!("a watch from a forgotten version began with {other:?}"),
        }
        Ok(())
    });
}

#[test]
fn a_service_account_may_do_what_its_role_says_and_no_more() {
    shared(async |cluster| {
        let namespace = cluster.namespace("role").await?;
        let client = cluster.client();
        let create = PostParams::default();
        let account: ServiceAccount = from(json!({ "metadata": { "name": "reader" } }))?;
        Api::namespaced(client.clone(), &namespace)
            .create(&create, &account)
            .await?;
        let role: Role = from(json!({
            "metadata": { "name": "reader" },
            "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"] }],
        }))?;
        Api::namespaced(client.clone(), &namespace)
            .create(&create, &role)
            .await?;
        let binding: RoleBinding = from(json!({
            "metadata": { "name": "reader" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
            "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": namespace }],
        }))?;
        Api::namespaced(client, &namespace)
            .create(&create, &binding)
            .await?;

        let reader = cluster.service_account(&namespace, "reader").await?;
        let maps = Api::<ConfigMap>::namespaced(reader.client, &namespace);
        eventually("the role is in force", async || {
            Ok(maps.list(&ListParams::default()).await.map(Some)?)
        })
        .await?;
        let refused = maps.create(&create, &config_map("no")).await;
        assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.is_forbidden()));

        let user = format!("system:serviceaccount:{namespace}:reader");
        let seen = cluster.requests().await?;
        let seen = seen.into_iter().filter(|request| request.user == user);
        let refused = seen.filter(|request| request.code == 403 && request.is_write());
        let refused: Vec<Request> = refused.collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].verb, "create");
        assert_eq!(refused[0].resource, "configmaps");
        assert_eq!(refused[0].namespace, namespace);
        Ok(())
    });
}

#[test]
fn a_user_has_the_rights_of_its_groups() {
    shared(async |cluster| {
        let nobody = cluster.user("nobody", &["strangers"]).await?;
        let refused = nobody.try_kubectl(["get", "nodes"], "").await?;
        ensure!(
            refused.stderr.contains("User \"nobody\" cannot list"),
            "{refused:?}"
        );
        let someone = cluster.user("someone", &["system:masters"]).await?;
        someone.kubectl(["get", "nodes"]).await?;
        Ok(())
    });
}

#[test]
fn pods_come_to_nodes_and_run_without_kubelets() {
    shared(async |cluster| {
        let namespace = cluster.namespace("pods").await?;
        let client = cluster.client();
        pods::create(&client, &namespace, &pods::pod("web", &[("app", "web")])).await?;
        pods::bind(&client, &namespace, "web", "node-a").await?;
        pods::set_running(&client, &namespace, "web").await?;
        let api = Api::<Pod>::namespaced(client.clone(), &namespace);
        let on_node = ListParams::default()
            .fields("spec.nodeName=node-a")
            .labels("app=web");
        let found = api.list(&on_node).await?.items;
        assert_eq!(found.len(), 1);
        let status = found[0].status.clone().unwrap_or_default();
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert_eq!(status.container_statuses.unwrap_or_default().len(), 1);
        pods::remove(&client, &namespace, "web").await?;
        ensure!(
            api.get_opt("web").await?.is_none(),
            "a removed pod is still there"
        );
        Ok(())
    });
}

#[test]
fn controllers_empty_deleted_namespaces_and_remove_what_was_owned() {
    let setup = Setup {
        controllers: true,
        ..Setup::default()
    };
    run(setup, async |cluster| {
        let namespace = cluster.namespace("doomed").await?;
        let maps = maps(cluster, &namespace);
        let owner = maps
            .create(&PostParams::default(), &config_map("owner"))
            .await?;
        let mut child = config_map("owned");
        child.metadata.owner_references = Some(vec![from(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(),
        }))?]);
        maps.create(&PostParams::default(), &child).await?;
        maps.delete("owner", &DeleteParams::default()).await?;
        eventually("what was owned is gone", async || {
            Ok(maps.get_opt("owned").await?.is_none().then_some(()))
        })
        .await?;
        let namespaces = Api::<Namespace>::all(cluster.client());
        namespaces
            .delete(&namespace, &DeleteParams::default())
            .await?;
        eventually("the namespace is gone", async || {
            Ok(namespaces
                .get_opt(&namespace)
                .await?
                .is_none()
                .then_some(()))
        })
        .await
    });
}

#[test]
fn servers_end_with_their_process_even_if_it_is_killed() -> Result<()> {
    let mut served = Command::new(env!("CARGO_BIN_EXE_bartizan-cluster"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut kubeconfig = String::new();
    let stdout = served.stdout.take().context("no output")?;
    BufReader::new(stdout).read_line(&mut kubeconfig)?;
    ensure!(
        Path::new(kubeconfig.trim()).is_file(),
        "no kubeconfig: {kubeconfig:?}"
    );
    let tasks = fs::read_dir(format!("/proc/{}/task", served.id()))?;
    let mut servers = Vec::new();
    for task in tasks {
        let children = fs::read_to_string(task?.path().join("children"))?;
        servers.extend(children.split_whitespace().map(String::from));
    }
    assert_eq!(servers.len(), 3, "etcd, API server and controller manager");
    served.kill()?;
    served.wait()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    for server in servers {
        // Whoever inherits it may not have waited for it yet: then it has no command line.
        let line = Path::new("/proc").join(&server).join("cmdline");
        while fs::read(&line).is_ok_and(|line| !line.is_empty()) {
            ensure!(Instant::now() < deadline, "process {server} is still there");
            std::thread::yield_now();
        }
    }
    Ok(())
}

fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    Ok(serde_json::from_value(value)?)
}
