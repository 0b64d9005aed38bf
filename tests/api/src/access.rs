//! Someone's access to a cluster: a kubeconfig, a client, and kubectl.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::programs;

/// What one user has of a cluster.
#[derive(Clone)]
pub struct Access {
    /// A client that acts as this user.
    pub client: Client,
    kubeconfig: PathBuf,
}

/// What kubectl said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error: errors and warnings.
    pub stderr: String,
}

impl Access {
    /// Writes a kubeconfig for a user and makes a client of it. `user` is what is below
    /// `users[].user` there.
    pub(crate) async fn new(
        server: &str,
        certificate: &Path,
        user: &Value,
        kubeconfig: PathBuf,
    ) -> Result<Self> {
        // JSON is YAML.
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "test",
                "cluster": { "server": server, "certificate-authority": certificate },
            }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "user" } }],
            "current-context": "test",
        });
        std::fs::write(&kubeconfig, text.to_string())
            .with_context(|| format!("can't write {}", kubeconfig.display()))?;
        let config = Kubeconfig::read_from(&kubeconfig).context("can't read the kubeconfig")?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options)
            .await
            .context("can't use the kubeconfig")?;
        let client = Client::try_from(config).context("can't make a client")?;
        Ok(Self { client, kubeconfig })
    }

    /// A kubeconfig file for this user.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl, which must succeed; returns its standard output.
    pub async fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<String> {
        let said = self.try_kubectl(arguments, "").await?;
        if !said.success {
            bail!(
                "kubectl {} failed: {}",
                arguments.join(" "),
                said.stderr.trim()
            );
        }
        Ok(said.stdout)
    }

    /// Runs kubectl with something on its standard input; it may fail.
    pub async fn try_kubectl(
        &self,
        arguments: impl IntoIterator<Item: AsRef<OsStr>>,
        input: &str,
    ) -> Result<Said> {
        let cache = self.kubeconfig.with_extension("cache");
        let mut child = Command::new(programs::kubernetes("kubectl")?)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&cache)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't run kubectl")?;
        let mut stdin = child
            .stdin
            .take()
            .context("kubectl has no standard input")?;
        // It may have ended without reading; then its own error says why.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child
            .wait_with_output()
            .await
            .context("can't wait for kubectl")?;
        Ok(Said {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).context("kubectl's output is no text")?,
            stderr: String::from_utf8(output.stderr).context("kubectl's errors are no text")?,
        })
    }

    /// `kubectl apply -f -` of one or more documents; it may be refused.
    pub async fn apply(&self, documents: &str) -> Result<Said> {
        self.try_kubectl(["apply", "-f", "-"], documents).await
    }
}
