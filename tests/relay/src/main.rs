//! The way of a change through two programs that watch and write and do nothing else.
//!
//! ```text
//! a policy ──► API server ──► operator ──► API server ──► enforcer ──► the kernel
//! FROM ──────► API server ──► copy ──────► API server ──► tell ──────► a line
//! ```
//! On a node whose processor is emulated, the second way's time is what the first owes to
//! the emulator. Both programs run in a pod that may read and write its namespace's config
//! maps.
#![expect(clippy::print_stdout, reason = "lines are what it is for")]

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use futures::{Stream, StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

const USAGE: &str = "usage: bartizan-relay copy FROM TO | bartizan-relay tell NAME";
/// The key of the value that is passed on.
const KEY: &str = "number";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let api = Api::default_namespaced(Client::try_default().await?);
    match arguments[..] {
        ["copy", from, to] => copy(api, from, to).await,
        ["tell", name] => tell(api, name).await,
        _ => bail!(USAGE),
    }
}

/// Writes each value of one config map into another.
async fn copy(api: Api<ConfigMap>, from: &str, to: &str) -> Result<()> {
    let values = values(api.clone(), from);
    pin_mut!(values);
    let params = PatchParams::apply("bartizan-relay").force();
    while let Some(value) = values.next().await {
        let value = value?;
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": to },
            "data": { KEY: value },
        });
        api.patch(to, &params, &Patch::Apply(body))
            .await
            .with_context(|| format!("write {to}"))?;
    }
    bail!("the watch of {from} has ended")
}

/// Prints each value of a config map as a line.
async fn tell(api: Api<ConfigMap>, name: &str) -> Result<()> {
    let values = values(api, name);
    pin_mut!(values);
    while let Some(value) = values.next().await {
        println!("{}", value?);
        std::io::stdout().flush()?;
    }
    bail!("the watch of {name} has ended")
}

/// The values that a config map has, from the one that it has now on.
fn values(api: Api<ConfigMap>, name: &str) -> impl Stream<Item = Result<String>> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    // A watch that fails is begun again.
    let objects = watcher(api, config).default_backoff().applied_objects();
    objects
        .filter_map(async |object| object.ok())
        .map(|object| {
            let value = object.data.as_ref().and_then(|data| data.get(KEY));
            let value = value.with_context(|| format!("{} has no {KEY}", object.name_any()))?;
            Ok(value.clone())
        })
}
