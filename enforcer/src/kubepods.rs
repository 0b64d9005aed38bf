//! Where a kubelet has its pods in the cgroup hierarchy, and what their names say.
//!
//! ```text
//!   cgroupfs  kubepods/burstable/pod<uid>/<id>
//!   systemd   kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/
//!             cri-containerd-<id>.scope
//! ```
//!
//! Names are only believed right below the cgroups that [`find`] returns, which only root
//! can have made; the kernel programs read them by the same rules.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

use bartizan_abi::containers::{CONTAINER_ID_BYTES, ContainerKey, PodKey, UID_BYTES};

use crate::cgroup::{Cgroup, Hierarchy};

/// How far below the root a kubelet's topmost cgroup is looked for; a kubelet of a kubelet
/// (kind on a host) is its own node's.
const MAX_LEVEL: usize = 3;
/// Where dashes are in a pod's UID; underscores in systemd's names.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Digits of a static pod's hash.
const HASH_BYTES: usize = 32;

/// Text that is no such name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no {what}")]
pub struct NameError {
    text: String,
    what: &'static str,
}

/// A pod's UID as its cgroup carries it: 8-4-4-4-12 hexadecimal digits, or for a static pod
/// the 32 digits of its `kubernetes.io/config.hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(PodKey);

impl PodUid {
    pub(crate) fn from_key(key: PodKey) -> Self {
        Self(key)
    }

    pub(crate) fn key(&self) -> &PodKey {
        &self.0
    }
}

impl FromStr for PodUid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let dashed = |(at, byte): (usize, &u8)| {
            if DASHES.contains(&at) {
                *byte == b'-'
            } else {
                is_digit(*byte)
            }
        };
        let valid = match bytes.len() {
            UID_BYTES => bytes.iter().enumerate().all(dashed),
            HASH_BYTES => bytes.iter().copied().all(is_digit),
            _ => false,
        };
        if !valid {
            return Err(NameError {
                text: text.to_owned(),
                what: "UID of a pod",
            });
        }
        let mut key = [0; UID_BYTES];
        key[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(key))
    }
}

impl std::fmt::Display for PodUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(text(&self.0))
    }
}

/// A container's id: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(ContainerKey);

impl ContainerId {
    /// `None` for the key of a container without an id.
    pub(crate) fn from_key(key: ContainerKey) -> Option<Self> {
        key.iter().copied().all(is_digit).then_some(Self(key))
    }

    pub(crate) fn key(&self) -> &ContainerKey {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let key: Option<ContainerKey> = text.as_bytes().try_into().ok();
        key.filter(|key| key.iter().copied().all(is_digit))
            .map(Self)
            .ok_or_else(|| NameError {
                text: text.to_owned(),
                what: "id of a container",
            })
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(text(&self.0))
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The text of a key, zeros behind it left out.
fn text(key: &[u8]) -> &str {
    let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    std::str::from_utf8(&key[..end]).unwrap_or_default()
}

/// A cgroup right below a pod's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// A container or a sandbox, with its id if the name ends in one.
    Container(Option<ContainerId>),
    /// The runtime's own (CRI-O's conmon).
    Runtime,
}

/// The pod whose cgroup has this name.
pub(crate) fn pod(name: &str) -> Option<PodUid> {
    let name = without_suffix(name);
    let (_, uid) = name.rsplit_once("pod")?;
    uid.replace('_', "-").parse().ok()
}

/// What a cgroup of this name right below a pod's is.
pub(crate) fn below_pod(name: &str) -> Below {
    let name = without_suffix(name);
    let at = name.len().saturating_sub(CONTAINER_ID_BYTES);
    let Some((before, id)) = name.split_at_checked(at) else {
        return Below::Container(None);
    };
    match id.parse() {
        Ok(_) if before.ends_with("conmon-") => Below::Runtime,
        id => Below::Container(id.ok()),
    }
}

fn without_suffix(name: &str) -> &str {
    let stripped = name
        .strip_suffix(".slice")
        .or_else(|| name.strip_suffix(".scope"));
    stripped.unwrap_or(name)
}

/// The cgroups in which kubelets make those of their pods: `kubepods` and its classes of
/// service, of both layouts. `is_trusted` says whether names below a cgroup are believed.
pub(crate) fn find(hierarchy: &Hierarchy, is_trusted: impl Fn(&Cgroup) -> bool) -> Vec<Cgroup> {
    let mut found = Vec::new();
    let Ok(root) = Cgroup::at(hierarchy.root().to_owned()) else {
        return found;
    };
    let mut level = vec![root];
    for _ in 0..MAX_LEVEL {
        let below = level
            .iter()
            .flat_map(children)
            .filter(|(_, cgroup)| is_trusted(cgroup) && is_of_root(cgroup));
        let (kubelets, others): (Vec<_>, Vec<_>) = below.partition(|(name, _)| is_top(name));
        for (_, top) in kubelets {
            let classes = children(&top).into_iter();
            let classes = classes.filter(|(name, cgroup)| is_class(name) && is_of_root(cgroup));
            found.extend(classes.map(|(_, cgroup)| cgroup));
            found.push(top);
        }
        level = others.into_iter().map(|(_, cgroup)| cgroup).collect();
    }
    found
}

fn is_top(name: &str) -> bool {
    name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice")
}

fn is_class(name: &str) -> bool {
    matches!(name, "burstable" | "besteffort")
        || name.ends_with("-burstable.slice")
        || name.ends_with("-besteffort.slice")
}

/// Directories of users' own (delegated) cgroups belong to them.
fn is_of_root(cgroup: &Cgroup) -> bool {
    fs::metadata(cgroup.path()).is_ok_and(|metadata| metadata.uid() == owner_of_root())
}

/// Whom the hierarchy belongs to: root. Tests run as anybody.
fn owner_of_root() -> u32 {
    if cfg!(test) {
        rustix::process::getuid().as_raw()
    } else {
        0
    }
}

/// The pods right below a kubelet's cgroup.
pub(crate) fn pods(parent: &Cgroup) -> impl Iterator<Item = (PodUid, Cgroup)> {
    children(parent)
        .into_iter()
        .filter_map(|(name, cgroup)| Some((pod(&name)?, cgroup)))
}

/// A pod right below one of the kubelets' cgroups, found by its name and without looking at
/// those of other pods.
pub(crate) fn pod_below(parents: &[Cgroup], uid: PodUid) -> Option<Cgroup> {
    let below = |parent: &Cgroup| {
        let slice = parent.path().file_name()?.to_str()?.strip_suffix(".slice");
        let name = match slice {
            None => format!("pod{uid}"),
            Some(parent) => {
                let uid = uid.to_string().replace('-', "_");
                format!("{parent}-pod{uid}.slice")
            }
        };
        Cgroup::at(parent.path().join(name)).ok()
    };
    parents.iter().find_map(below)
}

/// The containers and the sandbox of a pod, in the order in which they were made.
pub(crate) fn containers(pod: &Cgroup) -> Vec<(Option<ContainerId>, Cgroup)> {
    let below = children(pod).into_iter();
    let mut found: Vec<_> = below
        .filter_map(|(name, cgroup)| match below_pod(&name) {
            Below::Container(id) => Some((id, cgroup)),
            Below::Runtime => None,
        })
        .collect();
    // The kernel counts ids up.
    found.sort_by_key(|(_, cgroup)| cgroup.id());
    found
}

/// Cgroups right below one, with their names.
fn children(cgroup: &Cgroup) -> Vec<(String, Cgroup)> {
    let named = |cgroup: Cgroup| {
        let name = cgroup.path().file_name()?.to_str()?.to_owned();
        Some((name, cgroup))
    };
    cgroup.children().into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0a1b2c3d-0000-4111-8222-333344445555";
    const HASH: &str = "0a1b2c3d00004111822233334444555f";

    fn id(digit: &str) -> String {
        digit.repeat(CONTAINER_ID_BYTES)
    }

    #[test]
    fn names_of_pods_of_both_layouts() {
        let underscored = UID.replace('-', "_");
        for (name, expected) in [
            (format!("pod{UID}"), Some(UID)),
            (format!("pod{HASH}"), Some(HASH)),
            (
                format!("kubepods-besteffort-pod{underscored}.slice"),
                Some(UID),
            ),
            (format!("kubepods-pod{HASH}.slice"), Some(HASH)),
            (
                format!("kubelet-kubepods-burstable-pod{underscored}.slice"),
                Some(UID),
            ),
            (UID.to_owned(), None),
            ("burstable".to_owned(), None),
            (format!("pod{}", &UID[1..]), None),
            (format!("pod{UID}/x"), None),
            (format!("pod{}", UID.to_uppercase()), None),
        ] {
            let found = pod(&name).map(|uid| uid.to_string());
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn names_of_containers_of_several_runtimes() {
        let a = id("a");
        let known = Below::Container(a.parse().ok());
        for (name, expected) in [
            (a.clone(), known),
            (format!("cri-containerd-{a}.scope"), known),
            (format!("crio-{a}.scope"), known),
            (format!("docker-{a}.scope"), known),
            (format!("crio-conmon-{a}.scope"), Below::Runtime),
            ("something".to_owned(), Below::Container(None)),
            (id("x"), Below::Container(None)),
            ("ä".repeat(40), Below::Container(None)),
        ] {
            assert_eq!(below_pod(&name), expected, "{name}");
        }
    }

    #[test]
    fn kubelets_are_found_where_they_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(dir.path().join(path)).unwrap();
        make("kubepods/burstable/podx");
        make("kubepods/besteffort");
        make("kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice");
        make("system.slice/docker.service/a/kubepods");
        make("forged/kubepods");
        let hierarchy = Hierarchy::at(dir.path());
        let found = find(&hierarchy, |cgroup| !cgroup.path().ends_with("forged"));
        let mut found: Vec<_> = found
            .iter()
            .map(|cgroup| {
                cgroup
                    .path()
                    .strip_prefix(dir.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "kubelet.slice/kubelet-kubepods.slice",
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice",
                "kubepods",
                "kubepods/besteffort",
                "kubepods/burstable",
            ]
        );
    }
}
