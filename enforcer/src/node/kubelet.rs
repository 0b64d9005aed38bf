//! What the kubelet's cgroups hold at one moment.

use std::path::PathBuf;

use crate::cgroup::{Cgroup, Hierarchy};
use crate::kubepods::{self, ContainerId, PodUid};

/// The pods' cgroups at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Directories in which pods and containers come and go.
    pub watched: Vec<PathBuf>,
    /// The kubelet's own cgroups, in which pods come and go.
    pub parents: Vec<Cgroup>,
    /// Containers and sandboxes with their pods.
    pub containers: Vec<(PodUid, ContainerId, Cgroup)>,
}

/// The cgroup of one container, if its pod is right below one of the kubelet's cgroups.
pub fn find(parents: &[Cgroup], pod: PodUid, id: ContainerId) -> Option<Cgroup> {
    let containers = kubepods::containers(&kubepods::pod_below(parents, pod)?);
    let mut of_id = containers.into_iter().filter(|(one, _)| *one == Some(id));
    Some(of_id.next()?.1)
}

/// The kubelet's own cgroups.
pub fn parents(hierarchy: &Hierarchy) -> Vec<Cgroup> {
    // What is below a container isn't looked at: pods are only right below the kubelet's
    // own cgroups, and containers right below pods.
    kubepods::find(hierarchy, |_| true)
}

/// Looks at everything the kubelet has. What vanishes meanwhile is left out.
pub fn scan(hierarchy: &Hierarchy) -> Scan {
    let parents = parents(hierarchy);
    let mut scan = Scan::default();
    for parent in &parents {
        scan.watched.push(parent.path().to_owned());
        for (uid, pod) in kubepods::pods(parent) {
            scan.watched.push(pod.path().to_owned());
            let containers = kubepods::containers(&pod).into_iter();
            let known = containers.filter_map(|(id, cgroup)| Some((uid, id?, cgroup)));
            scan.containers.extend(known);
        }
    }
    scan.parents = parents;
    scan
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_container_is_found_without_a_scan_wherever_one_would_find_it() {
        let uid = "0a1b2c3d-0000-4111-8222-333344445555";
        let (id, low) = ("a".repeat(64), uid.replace('-', "_"));
        let slices = "kubelet.slice/kubelet-kubepods.slice";
        for path in [
            format!("kubepods/pod{uid}/{id}"),
            format!("kubepods/burstable/pod{uid}/{id}"),
            format!("kubepods.slice/kubepods-pod{low}.slice/cri-containerd-{id}.scope"),
            format!("{slices}/kubelet-kubepods-pod{low}.slice/crio-{id}.scope"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join(&path)).unwrap();
            let scan = scan(&Hierarchy::at(dir.path()));
            let (pod, container, cgroup) = &scan.containers[0];
            let found = find(&scan.parents, *pod, *container);
            assert_eq!(found.as_ref(), Some(cgroup), "{path}");
            let other = "b".repeat(64).parse().unwrap();
            assert_eq!(find(&scan.parents, *pod, other), None);
        }
    }
}
