//! The command lines of the control plane.

use std::path::Path;

use anyhow::Result;

use super::addresses::{API_PORT, HOST, SERVICES};
use super::folder::Folder;
use super::keys::{Keys, api_server};
use super::plan::Server;
use crate::setup::{ControlPlane, NodePrograms};

const ETCD: &str = "http://127.0.0.1:2379";

/// All servers of a cluster without its nodes.
pub(super) fn control_plane(
    folder: &Folder,
    keys: &Keys<'_>,
    plane: &ControlPlane,
    programs: &NodePrograms,
) -> Result<Vec<Server>> {
    let kubeconfig = |user: &str| -> Result<String> {
        let text = keys.kubeconfig(user, &api_server());
        path(&folder.write(&format!("{user}.kubeconfig"), &text)?)
    };
    Ok(vec![
        etcd(folder, &plane.etcd)?,
        kube_apiserver(keys, &plane.kubernetes)?,
        Flags::of(&plane.kubernetes, "kube-controller-manager")?
            .flag("kubeconfig", &kubeconfig("kube-controller-manager")?)
            .flag("bind-address", "127.0.0.1")
            .flag("leader-elect", "false")
            .flag("use-service-account-credentials", "true")
            .key(
                "service-account-private-key-file",
                keys,
                "service-accounts.key",
            )?
            .key("root-ca-file", keys, "ca.crt")?
            .server(),
        Flags::of(&programs.kubernetes, "kube-scheduler")?
            .flag("kubeconfig", &kubeconfig("kube-scheduler")?)
            .flag("bind-address", "127.0.0.1")
            .flag("leader-elect", "false")
            .server(),
    ])
}

fn etcd(folder: &Folder, dir: &Path) -> Result<Server> {
    let flags = Flags::of(dir, "etcd")?
        .flag("data-dir", &path(&folder.file("etcd"))?)
        .flag("listen-client-urls", ETCD)
        .flag("advertise-client-urls", ETCD)
        .flag("log-level", "warn")
        // Nobody needs the data after a power cut.
        .flag("unsafe-no-fsync", "true");
    Ok(flags.server())
}

fn kube_apiserver(keys: &Keys<'_>, dir: &Path) -> Result<Server> {
    let flags = Flags::of(dir, "kube-apiserver")?
        .flag("etcd-servers", ETCD)
        .flag("bind-address", "0.0.0.0")
        .flag("advertise-address", &HOST.to_string())
        .flag("secure-port", &API_PORT.to_string())
        .flag("service-cluster-ip-range", SERVICES)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("allow-privileged", "true")
        .flag("kubelet-preferred-address-types", "InternalIP")
        // Services have no address here, only pods have: there is no kube-proxy.
        .flag("enable-aggregator-routing", "true")
        .key("tls-cert-file", keys, "kube-apiserver.crt")?
        .key("tls-private-key-file", keys, "kube-apiserver.key")?
        .key("client-ca-file", keys, "ca.crt")?
        .key("kubelet-certificate-authority", keys, "ca.crt")?
        .key("kubelet-client-certificate", keys, "kubelet-client.crt")?
        .key("kubelet-client-key", keys, "kubelet-client.key")?
        .key(
            "service-account-signing-key-file",
            keys,
            "service-accounts.key",
        )?
        .key("service-account-key-file", keys, "service-accounts.pub")?;
    Ok(flags.server())
}

struct Flags {
    name: String,
    line: Vec<String>,
}

impl Flags {
    /// Of a program in a folder.
    fn of(dir: &Path, program: &str) -> Result<Self> {
        Ok(Self {
            name: program.to_owned(),
            line: vec![path(&dir.join(program))?],
        })
    }

    fn flag(mut self, name: &str, value: &str) -> Self {
        self.line.push(format!("--{name}={value}"));
        self
    }

    fn key(self, name: &str, keys: &Keys<'_>, file: &str) -> Result<Self> {
        let path = path(&keys.path(file))?;
        Ok(self.flag(name, &path))
    }

    fn server(self) -> Server {
        let Self { name, line } = self;
        Server { name, line }
    }
}

fn path(path: &Path) -> Result<String> {
    super::node::text(path)
}
