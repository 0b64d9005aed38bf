//! A control plane: etcd and the parts of Kubernetes that tests run, built from source.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::go::Component;

const ETCD: Component = Component {
    name: "etcd",
    folder: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    variables: |_| Vec::new(),
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

    fn component(self) -> Component {
        Component {
            name: "kubernetes",
            folder: match self {
                Self::V1_37 => "1.37",
                Self::V1_35 => "1.35",
            },
            module: "k8s.io/kubernetes",
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                (
                    "kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                ),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ],
            variables,
        }
    }
}

impl fmt::Display for KubernetesRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.component().folder)
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
            kubernetes: release.component().get()?,
        })
    }
}
