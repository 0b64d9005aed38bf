//! What is left of Bartizan after it was removed as `docs/operations.md` says.

use anyhow::{Context as _, Result, ensure};

use super::enforcement::WGET;
use super::faults::NODE;
use super::policies::{NO_WGET, waiting_pod};
use crate::case::{Case, Context};
use crate::wait::eventually;

/// Where users read how.
const PAGE: &str = include_str!("../../../../docs/operations.md");
/// Kinds of which we make objects for the whole cluster.
const KINDS: &str = "customresourcedefinitions,clusterroles,clusterrolebindings,\
                     validatingwebhookconfigurations,validatingadmissionpolicies,\
                     validatingadmissionpolicybindings,priorityclasses,namespaces";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("uninstall/leaves_nothing", leaves_nothing)]
}

fn leaves_nothing(context: &Context) -> Result<()> {
    let step = PAGE
        .lines()
        .find(|line| line.starts_with("rm -r /sys/fs/bpf/"))
        .context("the page has no step for nodes any more")?;
    let namespace = context.kubectl.namespace("uninstall")?;
    namespace.apply(NO_WGET)?;
    namespace.apply(&waiting_pod("box"))?;
    namespace.ready("box")?;
    namespace.denies("box", &WGET)?;
    context
        .kubectl
        .run(&["delete", "-k", &context.file("config/deploy")?])?;
    let left = context.kubectl.run(&["get", KINDS, "--output", "name"])?;
    let left: Vec<_> = left
        .lines()
        .filter(|name| name.contains("bartizan"))
        .collect();
    ensure!(left.is_empty(), "the cluster still has {}", left.join(", "));
    context.cluster.on_node(NODE, step)?;
    eventually("what was denied is allowed", || {
        let said = namespace.exec("box", &WGET)?;
        Ok((!said.is_denied()).then_some(()))
    })?;
    let found = "find / -xdev -name '*bartizan*' -not -path '/var/lib/containerd/*' \
                 -not -path '/var/log/*'; ls /sys/fs/bpf";
    let found = context.cluster.on_node(NODE, found)?;
    ensure!(found.trim().is_empty(), "the node still has {found}");
    Ok(())
}
