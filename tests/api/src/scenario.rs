//! The frame of every test: a cluster, a runtime, a time limit, and logs when it fails.

use std::time::Duration;

use anyhow::{Error, Result};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::cluster::{Cluster, Setup};

/// Until a test counts as hanging.
const LIMIT: Duration = Duration::from_mins(3);

/// Runs a test with a cluster of its own.
pub fn run(setup: Setup, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    runtime().block_on(async {
        let cluster = Cluster::start(setup)
            .await
            .unwrap_or_else(|error| fail(&error, None));
        judge(&cluster, test).await;
    });
}

/// Runs a test with the one cluster of all such tests: without controllers, with
/// Bartizan's types. It keeps to a namespace of its own ([`Cluster::namespace`]).
pub fn shared(test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    // Never dropped: its processes die with this one.
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    runtime().block_on(async {
        let start = async || {
            let cluster = Cluster::start(Setup::default()).await?;
            cluster.install_kinds().await?;
            Ok(cluster)
        };
        let cluster = CLUSTER.get_or_try_init(start).await;
        judge(cluster.unwrap_or_else(|error| fail(&error, None)), test).await;
    });
}

/// Starts a cluster with Bartizan's types for something that is no test.
pub fn serve(setup: Setup, with: impl AsyncFnOnce(&Cluster) -> Result<()>) -> Result<()> {
    runtime().block_on(async {
        let cluster = Cluster::start(setup).await?;
        cluster.install_kinds().await?;
        with(&cluster).await
    })
}

async fn judge(cluster: &Cluster, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    // A failed assertion panics: then the logs are kept on the way out.
    let keep = KeepLogs(cluster);
    let verdict = timeout(LIMIT, test(cluster)).await;
    let verdict = verdict.unwrap_or_else(|_| Err(Error::msg(format!("not done after {LIMIT:?}"))));
    if let Err(error) = verdict {
        fail(&error, Some(keep));
    }
    std::mem::forget(keep);
}

/// One runtime for all tests: a client must not outlive the runtime that it was made in.
fn runtime() -> &'static Runtime {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime only needs threads and an epoll"))
}

fn fail(error: &Error, keep: Option<KeepLogs<'_>>) -> ! {
    drop(keep);
    panic!("{error:#}");
}

/// Keeps the cluster's logs, and says where, when it is dropped.
struct KeepLogs<'a>(&'a Cluster);

impl Drop for KeepLogs<'_> {
    #[expect(
        clippy::print_stderr,
        reason = "the test's output is where failures are looked for"
    )]
    fn drop(&mut self) {
        eprintln!("the servers' logs: {}", self.0.keep_logs().display());
    }
}
