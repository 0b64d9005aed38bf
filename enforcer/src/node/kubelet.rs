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

/// Looks at everything the kubelet has. What vanishes meanwhile is left out.
pub fn scan(hierarchy: &Hierarchy) -> Scan {
    // What is below a container isn't looked at: pods are only right below the kubelet's
    // own cgroups, and containers right below pods.
    let parents = kubepods::find(hierarchy, |_| true);
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
