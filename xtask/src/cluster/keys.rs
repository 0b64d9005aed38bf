//! Keys and certificates of a cluster: one authority signs for all servers and users.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::addresses::{API_PORT, API_SERVICE, HOST, NodeNumber};
use super::folder::Folder;
use crate::command::run_quietly;

/// Without one of its own, openssl adds to certificates what its system's says.
const CONFIGURATION: &str = "[req]\ndistinguished_name = name\n[name]\n";
const DAYS: &str = "3650";

/// Makes keys in a cluster's folder.
pub(super) struct Keys<'a> {
    folder: &'a Folder,
}

impl<'a> Keys<'a> {
    /// Makes the authority, the servers' keys, and those of the administrator.
    pub(super) fn make(folder: &'a Folder) -> Result<Self> {
        let keys = Self { folder };
        folder.write("keys/openssl.cnf", CONFIGURATION)?;
        run_quietly(keys.request("ca", "/CN=bartizan-test-cluster").args([
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]))?;
        let names = format!(
            "IP:{HOST},IP:{API_SERVICE},IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,\
             DNS:kubernetes.default.svc"
        );
        keys.sign("kube-apiserver", "/CN=kube-apiserver", Some(&names))?;
        // The API server as a client of the kubelets.
        keys.sign(
            "kubelet-client",
            "/O=system:masters/CN=kube-apiserver",
            None,
        )?;
        keys.sign("admin", "/O=system:masters/CN=admin", None)?;
        for user in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            keys.sign(user, &format!("/CN=system:{user}"), None)?;
        }
        let service_accounts = keys.path("service-accounts.key");
        run_quietly(
            Command::new("openssl")
                .args(["genpkey", "-algorithm", "EC", "-out"])
                .arg(&service_accounts)
                .args(["-pkeyopt", "ec_paramgen_curve:P-256"]),
        )?;
        run_quietly(
            Command::new("openssl")
                .args(["pkey", "-pubout", "-in"])
                .arg(&service_accounts)
                .arg("-out")
                .arg(keys.path("service-accounts.pub")),
        )?;
        run_quietly(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
                .arg(keys.path("ssh")),
        )?;
        Ok(keys)
    }

    /// A node's kubelet, as a server and as a client.
    pub(super) fn kubelet(&self, node: NodeNumber) -> Result<()> {
        let name = node.name();
        let subject = format!("/O=system:nodes/CN=system:node:{name}");
        let names = format!("IP:{},DNS:{name}", node.address());
        self.sign(&name, &subject, Some(&names))
    }

    /// A key or certificate of the cluster.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.file(&format!("keys/{file}"))
    }

    /// A kubeconfig of a user on this host; `server` is an address with a port.
    pub(super) fn kubeconfig(&self, user: &str, server: &str) -> String {
        let file = |name: &str| self.path(name).display().to_string();
        kubeconfig(
            server,
            &file("ca.crt"),
            &file(&format!("{user}.crt")),
            &file(&format!("{user}.key")),
        )
    }

    fn sign(&self, name: &str, subject: &str, names: Option<&str>) -> Result<()> {
        let mut request = self.request(name, subject);
        request
            .arg("-CA")
            .arg(self.path("ca.crt"))
            .arg("-CAkey")
            .arg(self.path("ca.key"))
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
        if let Some(names) = names {
            request
                .arg("-addext")
                .arg(format!("subjectAltName={names}"));
        }
        run_quietly(&mut request)
    }

    fn request(&self, name: &str, subject: &str) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-new", "-nodes", "-days", DAYS])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .arg("-config")
            .arg(self.path("openssl.cnf"))
            .args(["-subj", subject, "-keyout"])
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.crt")));
        command
    }
}

/// The API server's address in the cluster's network.
pub(super) fn api_server() -> String {
    format!("{HOST}:{API_PORT}")
}

/// A kubeconfig that names files. JSON is YAML.
pub(super) fn kubeconfig(server: &str, authority: &str, certificate: &str, key: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "bartizan",
            "cluster": {
                "server": format!("https://{server}"),
                "certificate-authority": authority,
            },
        }],
        "users": [{
            "name": "user",
            "user": { "client-certificate": certificate, "client-key": key },
        }],
        "contexts": [{
            "name": "bartizan",
            "context": { "cluster": "bartizan", "user": "user" },
        }],
        "current-context": "bartizan",
    })
    .to_string()
}
