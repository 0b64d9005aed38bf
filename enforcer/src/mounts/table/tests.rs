//! Mount tables of typical and odd containers.

use bartizan_abi::op::Operation;
use bartizan_abi::rows::{defaults, masks, record_at};
use bartizan_abi::verdict::{Outcome, decide};
use bartizan_policy::compile::compile;
use bartizan_policy::link::Workload;
use bartizan_policy::load::Source;

use super::*;
use crate::mounts::mountinfo::MountInfo;
use crate::policies::Policies;

/// A mount of file system `dev`: its directory `root` (inode `ino`) at `point`.
fn mount(dev: u32, root: &str, point: &str, ino: u64) -> Visible {
    Visible {
        info: MountInfo {
            id: 1,
            device: (0, dev),
            root: root.as_bytes().to_vec(),
            point: point.as_bytes().to_vec(),
            kind: b"tmpfs".to_vec(),
        },
        ino,
        object: Object::Directory,
    }
}

fn object(object: Object, mut mount: Visible) -> Visible {
    mount.object = object;
    mount
}

const HEAD: BindingHead = BindingHead {
    generation: 7,
    table: 3,
    workload: 5,
};

/// A table without rules: every automaton has state 0.
fn binding(mounts: &[Visible]) -> Box<Binding> {
    MountTable::new(mounts).unwrap().binding(&[], HEAD).unwrap()
}

/// What the kernel does to find an entry.
fn find(binding: &Binding, dev: u32, ino: u64) -> Option<Mount> {
    let first = mount_slot(binding.seed, dev, ino);
    (first..first + MOUNT_PROBES)
        .map(|slot| binding.mounts[(slot % MOUNT_SLOTS) as usize])
        .find(|m| m.flags & MOUNT_USED != 0 && (m.dev, m.ino) == (dev, ino))
}

#[test]
fn whole_file_systems_have_one_entry_each() {
    let binding = binding(&[mount(10, "/", "/", 2), mount(11, "/", "/proc", 1)]);
    assert_eq!(
        (binding.generation, binding.table, binding.workload),
        (7, 3, 5)
    );
    assert_eq!(binding.flags, 0);
    assert_eq!(binding.root.dev, 10);
    assert_eq!(binding.root.flags, MOUNT_USED | MOUNT_ROOT);
    assert_eq!(find(&binding, 11, 0).unwrap().mount, 1);
    assert_eq!(find(&binding, 12, 0), None);
    assert_eq!(binding.mounts.iter().filter(|m| m.flags != 0).count(), 2);
}

#[test]
fn a_directory_of_a_file_system_is_an_entry_of_its_own() {
    let mounts = [
        mount(10, "/", "/", 2),
        mount(10, "/data", "/srv", 77),
        object(Object::File, mount(10, "/hosts", "/etc/hosts", 78)),
    ];
    let binding = binding(&mounts);
    assert_eq!(binding.root.flags, MOUNT_USED | MOUNT_ROOT | MOUNT_MULTI);
    assert_eq!(find(&binding, 10, 77).unwrap().flags, MOUNT_USED);
    let table = MountTable::new(&mounts).unwrap();
    let hosts = find(&binding, 10, 78).unwrap().mount;
    assert_eq!(table.point(u32::from(hosts)), Some(&b"/etc/hosts"[..]));
}

#[test]
fn a_file_system_of_which_only_parts_are_mounted_has_no_root() {
    let binding = binding(&[mount(10, "/", "/", 2), mount(8, "/vol", "/data", 9)]);
    assert_eq!(
        find(&binding, 8, 0).unwrap().flags,
        MOUNT_USED | MOUNT_MULTI
    );
    assert_eq!(find(&binding, 8, 9).unwrap().flags, MOUNT_USED);
}

#[test]
fn the_container_s_root_may_be_a_directory() {
    let binding = binding(&[mount(9, "/", "/mnt", 1), mount(8, "/jail", "/", 9)]);
    assert_eq!(
        (binding.root.dev, binding.root.ino, binding.root.mount),
        (8, 9, 0)
    );
}

#[test]
fn the_first_of_several_places_names_it_but_the_root_always_wins() {
    let mounts = [
        mount(10, "/", "/mnt", 2),
        mount(10, "/", "/", 2),
        mount(10, "/", "/b", 2),
    ];
    let table = MountTable::new(&mounts).unwrap();
    assert_eq!((table.len(), table.point(0)), (1, Some(&b"/"[..])));
    let mounts = [
        mount(1, "/", "/", 2),
        mount(10, "/", "/a", 2),
        mount(10, "/", "/b", 2),
        mount(10, "/d", "/c", 5),
        mount(10, "/d", "/e", 5),
    ];
    let table = MountTable::new(&mounts).unwrap();
    let points: Vec<_> = (0..).map_while(|n| table.point(n)).collect();
    assert_eq!(points, [&b"/"[..], b"/a", b"/b", b"/c", b"/e"]);
    assert_eq!(table.len(), 3);
}

/// Whether opening `below` a file system that is mounted at `/first` and `/second` is
/// denied by rules about `paths`; and what it is called then.
fn denied_at_two_places(paths: &str, below: &str) -> (bool, String) {
    let text = format!(
        "apiVersion: bartizan.dev/v1alpha1\n\
         kind: SecurityPolicy\n\
         metadata: {{ name: p }}\n\
         spec: {{ selector: {{}}, mode: Enforce, files: {{ deny: [{{ paths: {paths} }}] }} }}\n"
    );
    let policies = Policies::check(&[Source::new("p.yaml", text)]).unwrap();
    let rules = policies.rules_for(&Workload::default()).unwrap();
    let bytes = compile(&rules).unwrap();
    let mounts = [
        mount(1, "/", "/", 2),
        mount(10, "/", "/first", 2),
        mount(10, "/", "/second/place", 2),
    ];
    let mounts = MountTable::new(&mounts).unwrap();
    let binding = mounts.binding(&bytes, HEAD).unwrap();
    let found = find(&binding, 10, 0).unwrap();
    let table = Bytes(&bytes);
    let row = if below.is_empty() {
        found.own_files[0]
    } else {
        let from = u64::from(found.files);
        let state = crate::mounts::states::walk(table, from, below.as_bytes(), true).unwrap();
        bartizan_abi::automaton::row_of(table, u64::from(state)) as u16
    };
    let record = record_at(table, u64::from(row), 0, || false);
    let said = masks(table, record);
    let decision = decide(said, defaults(table), Operation::Read.bit());
    let name = mounts.point(u32::from(found.mount)).unwrap();
    (
        decision.outcome == Outcome::Deny,
        String::from_utf8_lossy(name).into_owned(),
    )
}

#[test]
fn a_file_system_at_two_places_is_under_the_rules_of_both() {
    let denied = |paths, below| denied_at_two_places(paths, below).0;
    for paths in [r#"["/first/secret"]"#, r#"["/second/place/secret"]"#] {
        assert!(denied(paths, "secret"), "{paths}");
        assert!(!denied(paths, "other"), "{paths}");
    }
    assert!(denied(r#"["/second/place"]"#, ""));
    assert!(denied(r#"["/second/**"]"#, "any"));
    let (_, name) = denied_at_two_places(r#"["/second/place/secret"]"#, "secret");
    assert_eq!(name, "/second/place");
    // Two sets of rules can't be joined: those of the first name hold.
    let both = r#"["/first/a", "/second/place/b"]"#;
    assert!(denied(both, "a"));
    assert!(!denied(both, "b"));
}

#[test]
fn subvolumes_with_one_inode_number_are_refused() {
    let mounts = [mount(9, "/@", "/", 256), mount(9, "/@home", "/home", 256)];
    assert_eq!(
        MountTable::new(&mounts).unwrap_err().reason(),
        "AmbiguousMounts"
    );
}

#[test]
fn masking_devices_are_left_out() {
    let null = object(Object::Device, mount(6, "/null", "/proc/kcore", 4));
    let with_dev = [
        mount(10, "/", "/", 2),
        mount(6, "/", "/dev", 1),
        null.clone(),
    ];
    let table = MountTable::new(&with_dev).unwrap();
    assert_eq!(table.len(), 2);
    let without_dev = [mount(10, "/", "/", 2), null];
    assert_eq!(MountTable::new(&without_dev).unwrap().len(), 3);
}

#[test]
fn without_a_root_there_is_no_table() {
    let error = MountTable::new(&[mount(10, "/", "/mnt", 2)]).unwrap_err();
    assert_eq!(error.reason(), "NoRootMount");
}

#[test]
fn a_provisional_table_starts_at_the_root() {
    let binding = MountTable::provisional().binding(&[], HEAD).unwrap();
    assert_eq!(binding.flags, PROVISIONAL);
    assert!(binding.mounts.iter().all(|mount| mount.flags == 0));
}

#[test]
fn mounts_fit_up_to_the_limit_and_are_refused_beyond() {
    let many = |n: u32| -> Vec<Visible> {
        std::iter::once(mount(1, "/", "/", 2))
            .chain((2..=n).map(|i| mount(i, "/", &format!("/m{i}"), 2)))
            .collect()
    };
    let mounts = many(200);
    let binding = binding(&mounts);
    for i in 1..=200 {
        assert!(find(&binding, i, 0).is_some(), "mount {i}");
    }
    let error = MountTable::new(&many(300))
        .unwrap()
        .binding(&[], HEAD)
        .unwrap_err();
    assert_eq!(error.reason(), "TooManyMounts");
}
