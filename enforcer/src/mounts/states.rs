//! What the automata say of a mount point: the state behind it, where the kernel's walk
//! goes on from the mounted root, and the rows of the mount point itself.

use bartizan_abi::automaton::{Words, match_name, row_of, start, step};
use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};
use bartizan_abi::literal::literal_long;
use bartizan_abi::table::{At, Automaton, Bytes, Table, gate, header, state};
use bartizan_abi::walk::leaf_rows;

/// State of `automaton` behind all components of `path`, 0 if no rule needs it.
/// `ends`: the path ends there; a glob that ends is another than one that goes on.
/// `None`: a component is longer than a name can be, or there are too many.
pub(super) fn state_after(
    table: Bytes<'_>,
    automaton: Automaton,
    path: &[u8],
    ends: bool,
) -> Option<u16> {
    walk(table, start(table, automaton), path, ends)
}

/// [`state_after`], from a state on.
pub(super) fn walk(table: Bytes<'_>, from: u64, path: &[u8], ends: bool) -> Option<u16> {
    let mut at = from;
    if at == 0 {
        return Some(0);
    }
    let mut names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    let mut depth = 0;
    while let Some(name) = names.next() {
        depth += 1;
        if name.len() > MAX_NAME as usize || depth > MAX_DEPTH {
            return None;
        }
        let last = ends && names.peek().is_none();
        at = step(table, at, symbol(table, at, Component(name), last)?);
    }
    u16::try_from(at).ok()
}

/// State behind that many components that no pattern names.
pub(super) fn state_of_unknown(table: Bytes<'_>, automaton: Automaton, depth: usize) -> u16 {
    // The kernel's walk ends there, and most automata go in circles long before.
    let depth = depth.min(MAX_DEPTH as usize);
    let state = (0..depth).fold(start(table, automaton), |at, _| match at {
        0 => 0,
        at => step(table, at, 0),
    });
    state as u16
}

/// Nothing is matched there, nor anywhere below.
pub(super) fn is_dead(table: Bytes<'_>, state: u16) -> bool {
    let from = table.at(u64::from(state) << 4);
    state == 0 || from.u32(state::BASE) == 0 && from.u16(state::ROW) == 0
}

/// Row of a path of that many components that no pattern names.
pub(super) fn row_of_unknown(table: Bytes<'_>, automaton: Automaton, depth: usize) -> u16 {
    row_of(table, u64::from(state_of_unknown(table, automaton, depth))) as u16
}

/// Rows of a mount point as an object: of its path, and of its last component among
/// the patterns that match at any depth. `None` as in [`state_after`].
pub(super) fn own_rows(table: Bytes<'_>, automaton: Automaton, path: &[u8]) -> Option<[u16; 2]> {
    let state = state_after(table, automaton, path, true)?;
    let row = row_of(table, u64::from(state));
    let name = path
        .rsplit(|byte| *byte == b'/')
        .next()
        .filter(|name| !name.is_empty());
    let leaf = match name {
        Some(name) => leaf_class(table, Component(name))?,
        None => 0,
    };
    let (process, files) = match leaf {
        0 => (0, 0),
        leaf => leaf_rows(table, leaf),
    };
    let leaf = if automaton == Automaton::Process {
        process
    } else {
        files
    };
    Some([u16::try_from(row).ok()?, u16::try_from(leaf).ok()?])
}

/// A name's class among the patterns that match at any depth.
fn leaf_class(table: Bytes<'_>, name: Component<'_>) -> Option<u64> {
    let literal = literal_long(table, name, name.length())?;
    let gate = table.header().u32(header::LEAF_GATE);
    if literal.class() != 0 || gate == 0 {
        return Some(literal.leaf());
    }
    match_gate(table, gate, name)
}

/// What a component is in a state: a literal's class, else the set of globs it matches.
fn symbol(table: Bytes<'_>, at: u64, name: Component<'_>, last: bool) -> Option<u64> {
    let class = literal_long(table, name, name.length())?.class();
    if class != 0 {
        return Some(class);
    }
    let from = table.at(at << 4);
    let number = from.u16(if last {
        state::GATE_LEAF
    } else {
        state::GATE_DIR
    });
    if number == 0 {
        Some(0)
    } else {
        match_gate(table, number, name)
    }
}

/// The set of a gate's globs that a name matches. Without the gate's filter, which only
/// saves time.
fn match_gate(table: Bytes<'_>, number: u64, name: Component<'_>) -> Option<u64> {
    let start = table.at(number << 5).u16(gate::START);
    match_name(table, name, name.length(), start)
}

/// One component; words behind its end are zero, as those of literals are.
#[derive(Clone, Copy)]
struct Component<'a>(&'a [u8]);

impl Component<'_> {
    fn length(self) -> u64 {
        self.0.len() as u64
    }
}

impl Words for Component<'_> {
    fn word(self, i: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let rest = self.0.get(i as usize * 8..).unwrap_or(&[]);
        let len = rest.len().min(8);
        bytes[..len].copy_from_slice(&rest[..len]);
        Some(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use bartizan_abi::op::Operation;
    use bartizan_abi::rows::{defaults, masks, record_at};
    use bartizan_abi::verdict::{Outcome, decide};
    use bartizan_policy::compile::compile;
    use bartizan_policy::link::Workload;
    use bartizan_policy::load::Source;

    use super::super::names::Joined;
    use super::*;
    use crate::policies::Policies;

    /// The table of a policy that denies reading these patterns.
    fn table(patterns: &str) -> Vec<u8> {
        let text = format!(
            "apiVersion: bartizan.dev/v1alpha1\n\
             kind: SecurityPolicy\n\
             metadata: {{ name: p }}\n\
             spec: {{ selector: {{}}, mode: Enforce, files: {{ deny: [{{ paths: {patterns} }}] }} }}\n"
        );
        let policies = Policies::check(&[Source::new("p.yaml", text)]).unwrap();
        compile(&policies.rules_for(&Workload::default()).unwrap()).unwrap()
    }

    /// Whether reading `path` is denied, by the rows of all of it.
    fn is_denied(table: &[u8], path: &str) -> bool {
        let bytes = Bytes(table);
        let rows = own_rows(bytes, Automaton::Files, path.as_bytes()).unwrap();
        let [path, leaf] = rows.map(|row| record_at(bytes, u64::from(row), 0, || false));
        let said = masks(bytes, path).union(masks(bytes, leaf));
        decide(said, defaults(bytes), Operation::Read.bit()).outcome == Outcome::Deny
    }

    #[test]
    fn a_state_is_what_the_walk_would_be_in() {
        let long = "x".repeat(200);
        let table = table(&format!(
            r#"["/etc/shadow", "/srv/*/key", "/a/{long}/b?", "/d/**"]"#
        ));
        let denied = [
            "/etc/shadow",
            "/srv/x/key",
            &format!("/a/{long}/b1"),
            "/d/x/y",
            "//etc//shadow",
        ];
        for path in denied {
            assert!(is_denied(&table, path), "{path}");
        }
        for path in [
            "/etc",
            "/srv/key",
            "/srv/x/y/key",
            &format!("/a/{long}x/b1"),
            "/d",
            "/",
        ] {
            assert!(!is_denied(&table, path), "{path}");
        }
    }

    /// Whatever is joined says neither more nor less than the names it stands for.
    #[test]
    fn joined_names_are_under_the_rules_of_all() {
        let patterns = [
            r#"["/a/s"]"#,
            r#"["/b/c/s", "/b/t*"]"#,
            r#"["/*/*/**"]"#,
            r#"["/*/s", "/a/*/t"]"#,
            r#"["/**/k*/s"]"#,
            r#"["/**/k*/s", "/a/t"]"#,
            r#"["/a/**/s", "/b/c/**"]"#,
            r#"["/**"]"#,
        ];
        let points = ["/", "/a", "/b/c", "/x/y", "/k1", "/x/k2", "/a/z"];
        let below = ["s", "t1", "k/s", "x/s", "x/y/z", "x/y/t"];
        let mut complete = 0;
        for patterns in patterns {
            let table = table(patterns);
            let bytes = Bytes(&table);
            let after = |name: &[u8], ends| state_after(bytes, Automaton::Files, name, ends);
            let denies = |state| {
                let row = row_of(bytes, u64::from(state));
                let said = masks(bytes, record_at(bytes, row, 0, || false));
                let decision = decide(said, defaults(bytes), Operation::Read.bit());
                decision.outcome == Outcome::Deny
            };
            for names in points
                .iter()
                .flat_map(|one| points.map(|other| [*one, other]))
            {
                let joined = Joined::of(
                    &names.map(str::as_bytes),
                    |name| after(name, false),
                    |depth| state_of_unknown(bytes, Automaton::Files, depth),
                    |state| is_dead(bytes, state),
                )
                .unwrap();
                if !joined.is_complete {
                    continue;
                }
                complete += 1;
                for below in below {
                    let by = |name: &str| {
                        denies(after(format!("{name}/{below}").as_bytes(), true).unwrap())
                    };
                    let state = walk(bytes, u64::from(joined.said), below.as_bytes(), true);
                    assert_eq!(
                        denies(state.unwrap()),
                        names.into_iter().any(by),
                        "{below} below {names:?}, {patterns}"
                    );
                }
            }
        }
        assert!(complete > 200, "{complete}");
    }

    #[test]
    fn a_mounted_file_has_the_rows_of_its_last_component() {
        let table = table(r#"["**/hosts", "**/*.key", "/etc/re*.conf"]"#);
        for path in ["/etc/hosts", "/hosts", "/run/tls.key", "/etc/resolv.conf"] {
            assert!(is_denied(&table, path), "{path}");
        }
        for path in ["/etc/hosts/x", "/run/key", "/resolv.conf", "/"] {
            assert!(!is_denied(&table, path), "{path}");
        }
    }

    #[test]
    fn an_automaton_that_no_rule_needs_has_state_0() {
        let table = table(r#"["/etc/shadow"]"#);
        assert_eq!(
            state_after(Bytes(&table), Automaton::Subject, b"/x", false),
            Some(0)
        );
    }

    #[test]
    fn a_name_no_file_can_have_is_refused() {
        let table = table(r#"["/etc/shadow"]"#);
        let long = format!("/{}", "x".repeat(256));
        assert_eq!(
            state_after(Bytes(&table), Automaton::Files, long.as_bytes(), false),
            None
        );
        let deep = "/x".repeat(65);
        assert_eq!(
            state_after(Bytes(&table), Automaton::Files, deep.as_bytes(), false),
            None
        );
    }
}
