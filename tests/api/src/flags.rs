//! The servers' command lines.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::component::Recipe;
use crate::folder::Folder;
use crate::programs;

pub(crate) const API_PORT: u16 = 6443;
pub(crate) const ETCD_PORT: u16 = 2379;

/// Everything but the answers of the API server to itself: user, verb, object, code.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [\"system:apiserver\"]
- level: Metadata
";

/// What the API server needs in files.
pub(crate) struct Secrets<'a> {
    pub(crate) admin_token: &'a str,
    pub(crate) private_key: &'a Path,
    pub(crate) public_key: &'a Path,
    /// Of the API server, for the same key.
    pub(crate) certificate: &'a Path,
}

pub(crate) fn etcd(ip: Ipv4Addr, folder: &Folder) -> Result<Recipe> {
    let clients = format!("http://{ip}:{ETCD_PORT}");
    let peers = format!("http://{ip}:2380");
    let mut flags = Flags::default();
    flags
        .flag("data-dir", folder.data("etcd"))
        .flag("listen-client-urls", &clients)
        .flag("advertise-client-urls", &clients)
        .flag("listen-peer-urls", &peers)
        .flag("initial-advertise-peer-urls", &peers)
        .flag("initial-cluster", format!("default={peers}"))
        .flag("log-level", "warn")
        // Nobody needs the data after a power cut.
        .flag("unsafe-no-fsync", "true");
    Ok(flags.recipe("etcd", programs::etcd()?))
}

pub(crate) fn api_server(
    ip: Ipv4Addr,
    folder: &Folder,
    secrets: &Secrets<'_>,
    more: &[String],
) -> Result<Recipe> {
    let token = format!("{},admin,admin,system:masters\n", secrets.admin_token);
    let mut flags = Flags::default();
    flags
        .flag("etcd-servers", format!("http://{ip}:{ETCD_PORT}"))
        .flag("bind-address", ip.to_string())
        .flag("secure-port", API_PORT.to_string())
        .flag("tls-cert-file", secrets.certificate)
        .flag("tls-private-key-file", secrets.private_key)
        // Loopback addresses may not be advertised, and nobody looks this one up.
        .flag("advertise-address", "192.0.2.1")
        .flag("endpoint-reconciler-type", "none")
        .flag("service-cluster-ip-range", "10.96.0.0/16")
        .flag("authorization-mode", "Node,RBAC")
        .flag("token-auth-file", folder.write("tokens.csv", &token)?)
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-signing-key-file", secrets.private_key)
        .flag("service-account-key-file", secrets.public_key)
        .flag("allow-privileged", "true")
        .flag(
            "audit-policy-file",
            folder.write("audit-policy.yaml", AUDIT_POLICY)?,
        )
        .flag("audit-log-path", folder.data("audit.log"))
        .flag("audit-log-mode", "blocking")
        .flag("profiling", "false");
    let mut recipe = flags.recipe("kube-apiserver", programs::kubernetes("kube-apiserver")?);
    recipe.arguments.extend(more.iter().map(OsString::from));
    Ok(recipe)
}

/// Only the controllers that a cluster without nodes needs: they create service accounts,
/// empty deleted namespaces, and remove what deleted objects owned.
pub(crate) fn controller_manager(
    ip: Ipv4Addr,
    kubeconfig: &Path,
    private_key: &Path,
) -> Result<Recipe> {
    let mut flags = Flags::default();
    flags
        .flag("bind-address", ip.to_string())
        .flag("kubeconfig", kubeconfig)
        .flag("service-account-private-key-file", private_key)
        .flag("leader-elect", "false")
        .flag(
            "controllers",
            "namespace-controller,garbage-collector-controller,serviceaccount-controller",
        );
    let program = programs::kubernetes("kube-controller-manager")?;
    Ok(flags.recipe("kube-controller-manager", program))
}

#[derive(Default)]
struct Flags(Vec<OsString>);

impl Flags {
    fn flag(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value.into());
        self.0.push(flag);
        self
    }

    fn recipe(&mut self, name: &str, program: std::path::PathBuf) -> Recipe {
        Recipe {
            name: name.to_owned(),
            program,
            arguments: std::mem::take(&mut self.0),
            // A server lives for seconds: a fifth of its work would be collecting garbage.
            environment: vec![("GOGC".to_owned(), "400".into())],
        }
    }
}
