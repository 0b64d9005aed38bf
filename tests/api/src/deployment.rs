//! Everything of `config/deploy` but the operator's pods, which have no node to run on.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, checkout};

/// The operator's namespace.
pub const NAMESPACE: &str = "bartizan-system";
/// Its service account, as the API server calls it.
pub const OPERATOR: &str = "system:serviceaccount:bartizan-system:bartizan-operator";
/// The enforcers' service account, as the API server calls it.
pub const ENFORCER: &str = "system:serviceaccount:bartizan-system:bartizan-enforcer";

/// The folder that users apply with `kubectl apply -k`.
pub fn manifests() -> PathBuf {
    checkout().join("config/deploy")
}

impl Cluster {
    /// Installs Bartizan as a user does. The webhook then is at port 9443 of
    /// [`Cluster::ip`], with a certificate for the Service.
    pub async fn deploy(&self) -> Result<()> {
        let manifests = manifests();
        let manifests = manifests
            .to_str()
            .context("the checkout's path is no text")?;
        self.admin().kubectl(["apply", "-k", manifests]).await?;
        self.kinds_are_served().await?;
        // Services reach pods on nodes. Here it is the name of an address; the certificate
        // still has to be one for the service.
        let service = format!(
            "apiVersion: v1\nkind: Service\n\
             metadata: {{ name: bartizan-operator, namespace: {NAMESPACE} }}\n\
             spec: {{ type: ExternalName, externalName: \"{}\" }}\n",
            self.ip()
        );
        let name = "service/bartizan-operator";
        self.admin()
            .kubectl(["delete", "-n", NAMESPACE, name])
            .await?;
        let made = self
            .admin()
            .try_kubectl(["create", "-f", "-"], &service)
            .await?;
        ensure!(made.success, "can't make the service: {}", made.stderr);
        let port =
            r#"[{"op":"replace","path":"/webhooks/0/clientConfig/service/port","value":9443}]"#;
        let webhook = "validatingwebhookconfiguration/bartizan-operator";
        self.admin()
            .kubectl(["patch", webhook, "--type=json", "-p", port])
            .await?;
        Ok(())
    }
}
