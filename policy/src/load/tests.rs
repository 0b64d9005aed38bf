//! Every kind of bad input, with the exact message.

mod envelopes;
mod fields;
mod objects;

use super::*;

const HEAD: &str = "apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: web, namespace: shop }
spec:
  selector: {}
";

fn problems(text: impl Into<Vec<u8>>) -> Vec<String> {
    match load(&[Source::new("p.yaml", text)]) {
        Ok(_) => Vec::new(),
        Err(Diagnostics(all)) => all.iter().map(ToString::to_string).collect(),
    }
}

/// Checks the complaints about a policy whose `spec` goes on with `rest` (at line 6).
#[track_caller]
fn check(rest: &str, expected: &[&str]) {
    check_text(&format!("{HEAD}{rest}"), expected);
}

#[track_caller]
fn check_text(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "{text}");
}

#[test]
fn the_policy_of_the_documentation_is_valid_and_knows_its_lines() {
    let text = r#"
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: web-lockdown, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  containers: ["web", "sidecar-*"]
  mode: Audit
  severity: 5
  message: Ask the shop team.
  tags: [pci, shop]
  process:
    default: Deny
    allow:
      - paths: ["/usr/sbin/nginx", "/docker-entrypoint.d/**"]
    deny:
      - name: no-package-managers
        paths: ["/usr/bin/apt*", "**/curl"]
        exceptFrom: ["/usr/lib/apt/**"]
  files:
    deny:
      - paths: ["/etc/shadow", "/var/run/secrets/kubernetes.io/**"]
        operations: [Read, Write]
        from: ["/usr/bin/**"]
        unlessOwner: true
    audit:
      - paths: ["/etc/**"]
        operations: [Write, Create, Delete]
  network:
    default: Deny
    allow:
      - operations: [Connect, Send]
        protocols: [TCP]
        addresses: ["10.0.0.0/8", "fd00::/8"]
        ports: [443, "8000-8100"]
    deny:
      - sockets: [Raw, Packet]
  capabilities:
    deny: [{ capabilities: [NET_RAW, SYS_ADMIN] }]
"#;
    let policies = load(&[Source::new("p.yaml", text)]).unwrap();
    let [policy] = &policies[..] else {
        panic!("{policies:?}")
    };
    assert_eq!(policy.info.reference(), "shop/web-lockdown");
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "no-package-managers",
            "process.allow[0]",
            "process.default",
            "files.deny[0]",
            "files.audit[0]",
            "network.deny[0]",
            "network.allow[0]",
            "network.default",
            "capabilities.deny[0]",
        ]
    );
    let origin = policy.origin.as_ref().unwrap();
    assert_eq!((origin.file.as_str(), origin.line), ("p.yaml", 2));
    assert_eq!(origin.rules, [17, 15, 13, 22, 27, 37, 32, 30, 39]);
}

#[test]
fn malformed_yaml() {
    check_text(
        "kind: [a\nb: c\n",
        &["p.yaml:2:2: no YAML: illegal placement of ':' indicator"],
    );
    check_text(
        "kind: SecurityPolicy\nmetadata:\n\tname: a\n",
        &["p.yaml:3:1: no YAML: the line is indented with a tab; indent with spaces"],
    );
    check_text(
        "kind: SecurityPolicy\nspec:\n  a: 1\n\t b: 2\n",
        &["p.yaml:4:1: no YAML: the line is indented with a tab; indent with spaces"],
    );
    check_text(
        "spec:\n  - é:\t1\n",
        &["p.yaml:2:7: no YAML: a tab; write a space"],
    );
    check(
        "  process: { deny: [{ paths: [**/curl] }] }\n",
        &[
            "p.yaml:6:31: no YAML: text that starts with `*` is an alias; write a pattern in \
           quotes, as in \"**/curl\"",
        ],
    );
    for list in ["[*]", "[*/curl]", "[**]"] {
        let found = problems(format!(
            "{HEAD}  process: {{ deny: [{{ paths: {list} }}] }}\n"
        ));
        assert!(
            found[0].contains("is an alias; write a pattern in quotes"),
            "{list}: {found:?}"
        );
    }
    check_text(
        "metadata: { name: !secret a }\n",
        &["p.yaml:1:19: the tag `!secret` means nothing here: remove it"],
    );
    check_text(
        "? [a]\n: b\n",
        &["p.yaml:1:3: a key is a list, a map or nothing: keys are words"],
    );
}

#[test]
fn the_documents_before_malformed_yaml_are_checked() {
    let found = problems(format!("{HEAD}  mode: Of\n---\n[\n"));
    assert_eq!(
        found[0],
        "p.yaml:6:9: spec.mode: unknown value `Of` (there are Audit, Enforce)"
    );
    assert!(found[1].contains("no YAML"), "{found:?}");
}

#[test]
fn invalid_utf_8() {
    let mut text = HEAD.as_bytes().to_vec();
    text.extend(b"  message: \"\xc3\xa9\xff\"\n");
    assert_eq!(
        problems(text),
        ["p.yaml:6:14: byte 0xff is not UTF-8: save the file as UTF-8"]
    );
}

#[test]
fn a_nul_byte() {
    check_text(
        &format!("{HEAD}  message: \"é\0\"\n"),
        &["p.yaml:6:14: a NUL byte is in no YAML: is this a text file?"],
    );
}

#[test]
fn a_file_of_ten_megabytes() {
    let text = vec![b'#'; 10 << 20];
    assert_eq!(problems(text), ["p.yaml: is larger than 4 MiB: split it"]);
}

#[test]
fn an_empty_file_is_no_policy() {
    for text in ["", "# nothing\n", "---\n", "---\n...\n---\nnull\n"] {
        let expected = "p.yaml: has no policy: write a SecurityPolicy or ClusterSecurityPolicy";
        assert_eq!(problems(text), [expected], "{text:?}");
    }
}

#[test]
fn deep_nesting_and_alias_bombs_end_early() {
    for text in [
        "[".repeat(1 << 20),
        "{a: ".repeat(1 << 18),
        "- ".repeat(1 << 20),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("nested more than 32 levels deep: no policy is"),
            "{found:?}"
        );
    }
    let level = |i: u32| {
        let below = if i == 0 {
            "x, ".to_owned()
        } else {
            format!("*a{}, ", i - 1)
        };
        format!("a{i}: &a{i} [{}]\n", below.repeat(10))
    };
    let bomb: String = (0..20).map(level).collect();
    let found = problems(bomb);
    assert!(
        found[0].contains("more than 1000000 values, aliases resolved"),
        "{found:?}"
    );
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(1000)
    );
    assert!(problems(long)[0].contains("aliases resolved"));
}

#[test]
fn aliases_stand_for_their_values() {
    check(
        "  process: { deny: [{ paths: &p [\"/a\"] }], audit: [{ paths: *p }] }\n",
        &[],
    );
}
