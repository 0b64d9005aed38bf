//! The operator as its Deployment runs it: as a process with the rights of its role.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

use crate::clock::Clock;
use crate::cluster::{Cluster, checkout};
use crate::component::{Component, Recipe};
use crate::programs;
use crate::wait::eventually;

/// Where it is installed.
const NAMESPACE: &str = "bartizan-system";

/// A replica of the operator.
pub struct Operator {
    /// The process.
    pub process: Component,
    address: String,
}

impl Operator {
    /// Installs Bartizan's kinds and the operator's namespace, service account and role.
    pub async fn install(cluster: &Cluster) -> Result<()> {
        cluster.install_kinds().await?;
        let deploy = checkout().join("config/deploy");
        let deploy = deploy.to_str().context("the checkout's path is no text")?;
        let files = format!("{deploy}/namespace.yaml,{deploy}/rbac.yaml");
        let apply = ["apply", "--namespace", NAMESPACE, "-f", &files];
        cluster.admin().kubectl(apply).await?;
        Ok(())
    }

    /// Starts a replica; `number` tells it apart from others. Answers when it is ready.
    pub async fn start(cluster: &Cluster, number: u16, arguments: &[&str]) -> Result<Self> {
        let operator = Self::launch(cluster, number, arguments).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts one that lives by a clock of its own. Answers when it is ready.
    pub async fn start_at(cluster: &Cluster, clock: &Clock, arguments: &[&str]) -> Result<Self> {
        let environment = clock.environment()?;
        let operator = Self::launch_with(cluster, 0, arguments, environment).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts a replica, and doesn't wait until it is ready.
    pub async fn launch(cluster: &Cluster, number: u16, arguments: &[&str]) -> Result<Self> {
        Self::launch_with(cluster, number, arguments, Vec::new()).await
    }

    async fn launch_with(
        cluster: &Cluster,
        number: u16,
        arguments: &[&str],
        mut environment: Vec<(String, OsString)>,
    ) -> Result<Self> {
        let access = cluster
            .service_account(NAMESPACE, "bartizan-operator")
            .await?;
        let name = format!("operator-{number}");
        let address = format!("{}:{}", cluster.ip(), 8080 + number);
        let mut all = vec!["--identity", &name, "--listen", &address];
        all.extend(["--log-format", "text"]);
        if !arguments.contains(&"--webhook") {
            all.extend(["--webhook", "none"]);
        }
        all.extend(arguments);
        environment.push(("KUBECONFIG".to_owned(), access.kubeconfig().into()));
        let process = cluster.start_component(Recipe {
            program: programs::operator()?,
            arguments: all.into_iter().map(Into::into).collect(),
            environment,
            name,
        })?;
        Ok(Self { process, address })
    }

    /// Answers when it has listed everything.
    pub async fn ready(&self) -> Result<()> {
        eventually("the operator is ready", async || {
            self.process.check()?;
            let page = self.page("/readyz").await?;
            Ok((page == "ready\n").then_some(()))
        })
        .await
    }

    /// Whether this replica is the one that writes.
    pub async fn leads(&self) -> Result<bool> {
        Ok(self.metric("bartizan_operator_leader").await? == Some(1.0))
    }

    /// The value of a metric: a line of `/metrics` up to its last blank.
    pub async fn metric(&self, series: &str) -> Result<Option<f64>> {
        let page = self.page("/metrics").await?;
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .map(|value| value.parse().context("a metric is no number"))
            .transpose()
    }

    /// The body of a page.
    pub async fn page(&self, path: &str) -> Result<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&self.address)
            .await
            .context("can't connect to the operator")?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (_, body) = response
            .split_once("\r\n\r\n")
            .context("the operator's answer has no body")?;
        Ok(body.to_owned())
    }
}
