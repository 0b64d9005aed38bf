//! The order of kernel calls, and what is enforced after each change.

mod inherit;
mod pods;

use std::cell::RefCell;

use bartizan_abi::containers::{Armed, ContainerCgroup, ContainerKey, Expected, PodKey};
use bartizan_abi::handover;
use bartizan_abi::maps::{Binding, CounterKey, PROVISIONAL, STATS};
use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;
use bartizan_policy::link::Workload as Selected;
use bartizan_policy::load::Source;
use bartizan_policy::rule_map::Mode;

use super::sweep::GRACE;
use super::*;
use crate::bpf::{LoadError, MapError, NewTable, Predecessor, Removed};

/// A kernel that only remembers.
#[derive(Default)]
struct Fake {
    calls: Vec<String>,
    tables: BTreeMap<u32, Vec<u8>>,
    digests: BTreeMap<u32, handover::TableDigest>,
    /// Tables of a predecessor that nobody has asked for.
    left: BTreeMap<handover::TableDigest, u32>,
    owners: BTreeMap<u32, handover::Owner>,
    predecessors: Vec<Option<Predecessor>>,
    /// Table and flags by workload.
    bindings: BTreeMap<u32, (u32, u32)>,
    generations: Vec<u64>,
    labels: BTreeMap<u64, u32>,
    parents: Vec<u64>,
    uids: BTreeMap<PodKey, u32>,
    ids: BTreeMap<ContainerKey, Expected>,
    containers: BTreeMap<u64, ContainerCgroup>,
    armed: BTreeMap<u64, Armed>,
    /// A container whose cgroup is removed as soon as it was found.
    vanishing: Option<u64>,
    counters: RefCell<BTreeMap<CounterKey, u64>>,
    /// The `bind` that fails, counted from 1.
    failing_bind: Option<u32>,
    last: u32,
}

fn full() -> MapError {
    MapError::Full {
        what: "test",
        limit: 0,
    }
}

impl Maps for Fake {
    fn require(&mut self, _ops: Ops) -> Result<(), LoadError> {
        Ok(())
    }

    fn add_tables(&mut self, tables: &[NewTable<'_>]) -> Result<Vec<u32>, MapError> {
        let left = tables.iter().map(|table| self.left.remove(&table.digest));
        if let Some(numbers) = left.collect() {
            return Ok(numbers);
        }
        let numbers: Vec<u32> = (self.last + 1..).take(tables.len()).collect();
        self.calls.push(format!("add {numbers:?}"));
        self.last += tables.len() as u32;
        for (number, table) in numbers.iter().zip(tables) {
            self.tables.insert(*number, table.bytes.to_vec());
            self.digests.insert(*number, table.digest);
        }
        Ok(numbers)
    }

    fn remove_table(&mut self, table: u32) -> Result<(), MapError> {
        self.calls.push(format!("remove {table}"));
        assert!(
            self.bindings.values().all(|(used, _)| *used != table),
            "table {table} is used"
        );
        self.digests.remove(&table);
        self.tables.remove(&table).map(|_| ()).ok_or_else(full)
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), MapError> {
        if let Some(left) = &mut self.failing_bind {
            *left -= 1;
            if *left == 0 {
                self.failing_bind = None;
                return Err(full());
            }
        }
        assert!(
            self.tables.contains_key(&binding.table),
            "no table {}",
            binding.table
        );
        self.calls
            .push(format!("bind {} {}", binding.workload, binding.table));
        self.bindings
            .insert(binding.workload, (binding.table, binding.flags));
        self.generations.push(binding.generation);
        Ok(())
    }

    fn unbind(&mut self, workload: u32) -> Result<(), MapError> {
        assert!(
            self.labels.values().all(|label| *label != workload),
            "still labelled"
        );
        self.owners.remove(&workload);
        self.bindings.remove(&workload).map(|_| ()).ok_or_else(full)
    }

    fn own(&mut self, workload: u32, owner: handover::Owner) -> Result<(), MapError> {
        assert!(self.bindings.contains_key(&workload), "owned unbound");
        self.owners.insert(workload, owner);
        Ok(())
    }

    fn owners(&self) -> Result<Vec<(u32, handover::Owner)>, MapError> {
        let owners = self.owners.iter();
        Ok(owners.map(|(number, owner)| (*number, *owner)).collect())
    }

    fn predecessors(&self) -> Result<Vec<Option<Predecessor>>, MapError> {
        Ok(self.predecessors.clone())
    }

    fn retire_predecessors(&mut self) -> Result<Removed, MapError> {
        for number in std::mem::take(&mut self.left).into_values() {
            self.remove_table(number)?;
        }
        self.predecessors.clear();
        Ok(Removed::default())
    }

    fn label(&mut self, cgroup: u64, workload: u32) -> Result<(), MapError> {
        assert!(
            self.bindings.contains_key(&workload),
            "labelled before it was bound"
        );
        self.labels.insert(cgroup, workload);
        Ok(())
    }

    fn unlabel(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.labels.remove(&cgroup);
        Ok(())
    }

    fn labels(&self) -> Result<Vec<(u64, u32)>, MapError> {
        Ok(self
            .labels
            .iter()
            .map(|(cgroup, workload)| (*cgroup, *workload))
            .collect())
    }

    fn label_of(&self, cgroup: u64) -> Result<Option<u32>, MapError> {
        Ok(self.labels.get(&cgroup).copied())
    }

    fn add_kube_parent(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.parents.push(cgroup);
        Ok(())
    }

    fn expect_pod(&mut self, pod: &PodKey, workload: u32) -> Result<(), MapError> {
        assert!(self.bindings.contains_key(&workload), "expected unbound");
        self.uids.insert(*pod, workload);
        Ok(())
    }

    fn forget_pod(&mut self, pod: &PodKey) -> Result<(), MapError> {
        self.uids.remove(pod);
        Ok(())
    }

    fn expect_container(&mut self, id: &ContainerKey, under: Expected) -> Result<(), MapError> {
        let is_bound = self.bindings.contains_key(&under.workload);
        assert!(is_bound, "expected unbound");
        self.ids.insert(*id, under);
        Ok(())
    }

    fn forget_container(&mut self, id: &ContainerKey) -> Result<(), MapError> {
        self.ids.remove(id);
        Ok(())
    }

    fn expected_pods(&self) -> Result<Vec<(PodKey, u32)>, MapError> {
        Ok(self.uids.iter().map(|(uid, of)| (*uid, *of)).collect())
    }

    fn expected_containers(&self) -> Result<Vec<(ContainerKey, u32)>, MapError> {
        Ok(self.ids.iter().map(|(id, of)| (*id, of.workload)).collect())
    }

    fn containers(&self) -> Result<Vec<(u64, ContainerCgroup)>, MapError> {
        let containers = self.containers.iter();
        Ok(containers
            .map(|(cgroup, found)| (*cgroup, *found))
            .collect())
    }

    fn add_container(&mut self, cgroup: u64, container: &ContainerCgroup) -> Result<(), MapError> {
        self.containers.entry(cgroup).or_insert(*container);
        Ok(())
    }

    fn has_container(&self, cgroup: u64) -> Result<bool, MapError> {
        Ok(self.containers.contains_key(&cgroup) && Some(cgroup) != self.vanishing)
    }

    fn remove_container(&mut self, cgroup: u64) -> Result<(), MapError> {
        self.containers.remove(&cgroup);
        self.armed.remove(&cgroup);
        Ok(())
    }

    fn armed(&self, cgroup: u64) -> Result<Option<Armed>, MapError> {
        Ok(self.armed.get(&cgroup).copied())
    }

    fn set_armed(&mut self, cgroup: u64, armed: Armed) -> Result<(), MapError> {
        self.armed.entry(cgroup).or_insert(armed);
        Ok(())
    }

    fn counters(&self) -> Result<Vec<(CounterKey, u64)>, MapError> {
        Ok(self
            .counters
            .borrow()
            .iter()
            .map(|(key, count)| (*key, *count))
            .collect())
    }

    fn remove_counters(&mut self, keys: &[CounterKey]) -> Result<(), MapError> {
        self.counters
            .borrow_mut()
            .retain(|key, _| !keys.contains(key));
        Ok(())
    }

    fn stats(&self) -> Result<[u64; STATS as usize], MapError> {
        Ok([0; STATS as usize])
    }
}

/// One enforced policy that denies running `path` to `app: web`.
fn policies(path: &str) -> Policies {
    let text = format!(
        "apiVersion: bartizan.dev/v1alpha1\n\
         kind: SecurityPolicy\n\
         metadata: {{ name: lockdown, namespace: shop }}\n\
         spec:\n\
         \x20 selector: {{ matchLabels: {{ app: web }} }}\n\
         \x20 mode: Enforce\n\
         \x20 process: {{ deny: [{{ name: no-tool, paths: [\"{path}\"] }}] }}\n"
    );
    Policies::check(&[Source::new("test.yaml", text)]).expect("a valid policy")
}

fn identity(name: &str, app: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        image: None,
        workload: Selected {
            namespace: Some("shop".to_owned()),
            labels: [("app".to_owned(), app.to_owned())].into(),
            ..Selected::default()
        },
        owner: None,
    }
}

/// Two web workloads and a database, under `policies("/bin/a")`.
fn shop() -> (Engine<Fake>, [WorkloadId; 3], Instant) {
    let mut engine = Engine::new(Fake::default());
    let now = Instant::now();
    let mut add = |name, app| engine.add(identity(name, app), &policies("/bin/a"), now);
    let ids = [add("one", "web"), add("two", "web"), add("db", "db")].map(Result::unwrap);
    engine.maps.calls.clear();
    (engine, ids, now)
}

/// Counts a denied exec by rule 0 of the workload's present table.
fn deny(engine: &Engine<Fake>, id: WorkloadId, times: u64) {
    let key = CounterKey {
        workload: id.0,
        table: engine.maps.bindings[&id.0].0,
        rule: 0,
        operation: Operation::Exec as u8,
        outcome: Outcome::Deny as u8,
    };
    *engine.maps.counters.borrow_mut().entry(key).or_default() += times;
}

fn denials(engine: &Engine<Fake>) -> u64 {
    let counts = engine.counts().unwrap();
    let exec = counts.iter().filter(|(series, _)| series.rule == "no-tool");
    exec.filter(|(series, _)| series.operation == "Exec")
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn equal_rules_share_a_table() {
    let (engine, ids, _) = shop();
    let table = |id: WorkloadId| engine.maps.bindings[&id.0].0;
    assert_eq!(table(ids[0]), table(ids[1]));
    assert_ne!(table(ids[0]), table(ids[2]));
    assert_eq!((engine.armed(), engine.table_count()), (3, 2));
}

#[test]
fn an_edit_loads_binds_and_only_then_removes() {
    let (mut engine, _, now) = shop();
    let applied = engine.apply(&policies("/bin/b"), now).unwrap();
    assert_eq!(
        applied,
        Applied {
            loaded: 1,
            changed: 2
        }
    );
    assert_eq!(engine.maps.calls, ["add [3]", "bind 1 3", "bind 2 3"]);
    engine.sweep(now + GRACE / 2).unwrap();
    assert_eq!(engine.table_count(), 3);
    assert_eq!(engine.deadline(), Some(now + GRACE));
    engine.sweep(now + GRACE).unwrap();
    assert_eq!(engine.maps.calls[3..], ["remove 1"]);
    assert_eq!(engine.deadline(), None);
}

/// One policy for each of `apps`, which denies running `/bin/APP` to it.
fn policies_for(apps: &[&str]) -> Policies {
    let policy = |app: &&str| {
        format!(
            "---\n\
             apiVersion: bartizan.dev/v1alpha1\n\
             kind: SecurityPolicy\n\
             metadata: {{ name: {app}, namespace: shop }}\n\
             spec:\n\
             \x20 selector: {{ matchLabels: {{ app: {app} }} }}\n\
             \x20 process: {{ deny: [{{ paths: [\"/bin/{app}\"] }}] }}\n"
        )
    };
    let text: String = apps.iter().map(policy).collect();
    Policies::check(&[Source::new("test.yaml", text)]).expect("valid policies")
}

#[test]
fn all_tables_of_an_edit_are_loaded_at_once() {
    let (mut engine, _, now) = shop();
    let applied = engine.apply(&policies_for(&["web", "db"]), now).unwrap();
    assert_eq!((applied.loaded, applied.changed), (2, 3));
    let expected = ["add [3, 4]", "bind 1 3", "bind 2 3", "bind 3 4"];
    assert_eq!(engine.maps.calls, expected);
}

#[test]
fn a_table_on_its_way_out_stays_for_a_new_workload_that_needs_it() {
    let (mut engine, _, now) = shop();
    engine.apply(&policies_for(&["web", "db"]), now).unwrap();
    let id = engine
        .add(identity("again", "web"), &policies("/bin/a"), now)
        .unwrap();
    assert_eq!(engine.maps.bindings[&id.0].0, 1);
    engine.sweep(now + GRACE).unwrap();
    assert!(engine.maps.tables.contains_key(&1));
}

#[test]
fn an_edit_that_changes_nothing_touches_nothing() {
    let (mut engine, _, now) = shop();
    let applied = engine.apply(&policies("/bin/a"), now).unwrap();
    assert_eq!(applied, Applied::default());
    assert!(engine.maps.calls.is_empty());
}

#[test]
fn an_edit_taken_back_finds_its_table_again() {
    let (mut engine, _, now) = shop();
    engine.apply(&policies("/bin/b"), now).unwrap();
    let applied = engine.apply(&policies("/bin/a"), now).unwrap();
    assert_eq!(
        applied,
        Applied {
            loaded: 0,
            changed: 2
        }
    );
    engine.sweep(now + GRACE).unwrap();
    assert_eq!(
        engine.maps.tables.keys().copied().collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn an_edit_that_fails_half_way_leaves_the_old_rules() {
    let (mut engine, ids, now) = shop();
    let before = engine.maps.bindings.clone();
    engine.maps.failing_bind = Some(2);
    let error = engine.apply(&policies("/bin/b"), now).unwrap_err();
    assert_eq!(error.reason(), "MapsFailed");
    for id in ids {
        assert_eq!(engine.maps.bindings[&id.0], before[&id.0]);
    }
    engine.sweep(now + GRACE).unwrap();
    assert_eq!(engine.table_count(), 2);
}

#[test]
fn generations_only_grow() {
    let (mut engine, ids, now) = shop();
    engine.apply(&policies("/bin/b"), now).unwrap();
    engine
        .set_mounts(ids[0], MountTable::provisional())
        .unwrap();
    assert!(
        engine.maps.generations.is_sorted_by(|a, b| a < b),
        "{:?}",
        engine.maps.generations
    );
}

#[test]
fn counts_survive_edits_and_workloads() {
    let (mut engine, ids, now) = shop();
    assert_eq!(denials(&engine), 0);
    deny(&engine, ids[0], 3);
    engine.apply(&policies("/bin/b"), now).unwrap();
    // Counted by a decision that was under way.
    let old = *engine.maps.counters.borrow().keys().next().unwrap();
    *engine.maps.counters.borrow_mut().get_mut(&old).unwrap() += 1;
    deny(&engine, ids[1], 5);
    assert_eq!(denials(&engine), 9);
    engine.sweep(now + GRACE).unwrap();
    assert_eq!(engine.maps.counters.borrow().len(), 1);
    assert_eq!(denials(&engine), 9);
    engine.remove(ids[1], now).unwrap();
    engine.sweep(now + GRACE).unwrap();
    assert!(engine.maps.counters.borrow().is_empty());
    assert_eq!(denials(&engine), 9);
}

#[test]
fn deny_rules_start_with_a_zero() {
    let (engine, _, _) = shop();
    let zero = Series {
        counted: Counted::Denial(Mode::Enforce),
        namespace: "shop".to_owned(),
        policy: "shop/lockdown".to_owned(),
        rule: "no-tool".to_owned(),
        operation: "Exec",
    };
    assert_eq!(engine.counts().unwrap(), [(zero, 0)].into());
}

#[test]
fn a_removed_workload_is_unlabelled_first_and_its_number_waits() {
    let (mut engine, ids, now) = shop();
    engine.maps.labels = [(10, 1), (11, 1), (12, 2)].into();
    engine.remove(ids[0], now).unwrap();
    assert_eq!(engine.maps.labels, [(12, 2)].into());
    assert_eq!(engine.armed(), 2);
    let next = engine
        .add(identity("next", "web"), &policies("/bin/a"), now)
        .unwrap();
    assert_eq!(next.number(), 4);
    engine.sweep(now + GRACE).unwrap();
    let again = engine
        .add(identity("again", "web"), &policies("/bin/a"), now)
        .unwrap();
    assert_eq!(again.number(), 1);
}

#[test]
fn a_new_workload_is_provisional_until_its_mounts_are_known() {
    let (engine, ids, _) = shop();
    assert!(engine.is_provisional(ids[0]));
    assert_eq!(engine.maps.bindings[&1].1, PROVISIONAL);
}

#[test]
fn a_cgroup_is_labelled_with_all_below_it() {
    let (mut engine, ids, _) = shop();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    let cgroup = Cgroup::at(dir.path().join("a")).unwrap();
    engine.label(ids[1], &cgroup).unwrap();
    assert_eq!(
        engine.maps.labels.values().copied().collect::<Vec<_>>(),
        [2, 2]
    );
    assert!(engine.maps.labels.contains_key(&cgroup.id().0));
}
