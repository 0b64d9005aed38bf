//! Whatever is in a file, loading it ends with policies or with problems that have a
//! place, never with a panic.

use bartizan_policy::load::{Source, load};
use proptest::prelude::*;

const VALID: &str = r#"apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web }, matchExpressions: [{ key: a, operator: Exists }] }
  containers: ["web", "side-*"]
  severity: 5
  process:
    default: Deny
    allow:
      - paths: &nginx ["/usr/sbin/nginx"]
  files:
    audit:
      - paths: *nginx
        operations: [Write, Create]
  network:
    allow:
      - addresses: ["10.0.0.0/8", "::ffff:10.0.0.0/104"]
        ports: [443, "1-2"]
    deny: [{ sockets: [Raw] }]
"#;

#[track_caller]
fn ends_well(bytes: &[u8]) {
    if let Err(problems) = load(&[Source::new("p.yaml", bytes)]) {
        assert!(!problems.0.is_empty());
        for problem in &problems.0 {
            assert!(!problem.message.is_empty());
            assert!(
                !problem.message.contains('\n'),
                "more than a line: {problem}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        ends_well(&bytes);
    }

    #[test]
    fn anything_that_looks_like_yaml(text in r#"([a-z]{1,3}|[-?:,\[\]{}&*!|>'"%@#~0-9 \n\t]|: |- |\n  ){0,80}"#) {
        ends_well(text.as_bytes());
    }

    #[test]
    fn a_valid_policy_with_pieces_cut_out_moved_and_put_in(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, any::<prop::sample::Index>(), r#"[-?:,\[\]{}&*!|>'" \n/.0-9a-zA-Z]{0,4}"#), 1..6)
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (from, length, to, put) in edits {
            let from = from.index(text.len() + 1);
            let end = (from + length).min(text.len());
            let piece: Vec<char> = text.drain(from..end).collect();
            let to = to.index(text.len() + 1);
            text.splice(to..to, put.chars().chain(piece));
        }
        ends_well(text.iter().collect::<String>().as_bytes());
    }
}

#[test]
fn the_policy_that_is_edited_is_valid() {
    let loaded = load(&[Source::new("p.yaml", VALID)]);
    assert_eq!(
        loaded
            .map(|policies| policies.len())
            .map_err(|e| e.to_string()),
        Ok(1)
    );
}
