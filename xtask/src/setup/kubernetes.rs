//! Kubernetes, built from source: etcd and the parts that tests run, and for clusters with
//! nodes also containerd, runc and network plugins.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::go::Component;
use super::packages::{Package, ensure};

const ETCD: Component = Component {
    name: "etcd",
    folder: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    variables: |_| Vec::new(),
    c_tags: None,
};

const CONTAINERD: Component = Component {
    name: "containerd",
    folder: "containerd",
    module: "github.com/containerd/containerd/v2",
    programs: &[
        (
            "containerd",
            "github.com/containerd/containerd/v2/cmd/containerd",
        ),
        (
            "containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        ),
        ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
    ],
    variables: |version| {
        let variable = "github.com/containerd/containerd/v2/version.Version";
        vec![(variable, format!("v{version}"))]
    },
    c_tags: None,
};

const RUNC: Component = Component {
    name: "runc",
    folder: "runc",
    module: "github.com/opencontainers/runc",
    programs: &[("runc", "github.com/opencontainers/runc")],
    variables: |version| vec![("main.version", version.to_owned())],
    c_tags: Some("seccomp netgo osusergo"),
};

const CNI_PLUGINS: Component = Component {
    name: "cni-plugins",
    folder: "cni",
    module: "github.com/containernetworking/plugins",
    programs: &[
        (
            "bridge",
            "github.com/containernetworking/plugins/plugins/main/bridge",
        ),
        (
            "host-local",
            "github.com/containernetworking/plugins/plugins/ipam/host-local",
        ),
        (
            "loopback",
            "github.com/containernetworking/plugins/plugins/main/loopback",
        ),
    ],
    variables: |_| Vec::new(),
    c_tags: None,
};

/// A minor release of Kubernetes; its `go.mod` says which patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KubernetesRelease {
    /// The newest
    #[value(name = "1.37")]
    V1_37,
    /// An older one that is still in use
    #[value(name = "1.35")]
    V1_35,
}

impl KubernetesRelease {
    /// All that are tested, newest first.
    pub(crate) const ALL: [Self; 2] = [Self::V1_37, Self::V1_35];

    /// What is needed for API servers without nodes.
    fn servers(self) -> Component {
        Component {
            name: "kubernetes",
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                (
                    "kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                ),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ],
            ..self.nodes()
        }
    }

    /// What clusters with nodes need besides.
    fn nodes(self) -> Component {
        Component {
            name: "kubernetes-nodes",
            folder: match self {
                Self::V1_37 => "1.37",
                Self::V1_35 => "1.35",
            },
            module: "k8s.io/kubernetes",
            programs: &[
                ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
                ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
                ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            ],
            variables,
            c_tags: None,
        }
    }
}

impl fmt::Display for KubernetesRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.nodes().folder)
    }
}

/// Without these, the programs call themselves `v0.0.0-master`.
fn variables(version: &str) -> Vec<(&'static str, String)> {
    let mut numbers = version.split('.').map(String::from);
    vec![
        (
            "k8s.io/component-base/version.gitVersion",
            format!("v{version}"),
        ),
        (
            "k8s.io/component-base/version.gitMajor",
            numbers.next().unwrap_or_default(),
        ),
        (
            "k8s.io/component-base/version.gitMinor",
            numbers.next().unwrap_or_default(),
        ),
    ]
}

/// Folders with programs.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    /// Has `etcd`.
    pub(crate) etcd: PathBuf,
    /// Has `kube-apiserver`, `kube-controller-manager` and `kubectl`.
    pub(crate) kubernetes: PathBuf,
}

impl ControlPlane {
    /// From the cache, or built: the first time takes minutes.
    pub(crate) fn get(release: KubernetesRelease) -> Result<Self> {
        Ok(Self {
            etcd: ETCD.get()?,
            kubernetes: release.servers().get()?,
        })
    }
}

/// Folders with the programs of nodes, and of the scheduler.
#[derive(Debug)]
pub(crate) struct NodePrograms {
    /// Has `kubelet`, `kube-proxy` and `kube-scheduler`.
    pub(crate) kubernetes: PathBuf,
    /// Has `containerd`, `containerd-shim-runc-v2` and `ctr`.
    pub(crate) containerd: PathBuf,
    /// Has `runc`.
    pub(crate) runc: PathBuf,
    /// Has the plugins that connect pods to the network.
    pub(crate) cni: PathBuf,
    /// The source of the program that holds a pod's namespaces.
    pub(crate) pause: PathBuf,
}

impl NodePrograms {
    /// From the cache, or built: the first time takes minutes.
    pub(crate) fn get(release: KubernetesRelease) -> Result<Self> {
        // The `go.mod` of others doesn't name these programs.
        if release != KubernetesRelease::V1_37 {
            bail!("clusters with nodes can't be of Kubernetes {release} yet");
        }
        ensure(&[Package::LIBSECCOMP, Package::PKG_CONFIG])?;
        let kubernetes = release.nodes();
        Ok(Self {
            pause: kubernetes.source()?.join("build/pause/linux/pause.c"),
            kubernetes: kubernetes.get()?,
            containerd: CONTAINERD.get()?,
            runc: RUNC.get()?,
            cni: CNI_PLUGINS.get()?,
        })
    }
}
