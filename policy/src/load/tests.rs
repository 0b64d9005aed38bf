//! Every kind of bad input, with the exact message.

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
        &["p.yaml:3:2: no YAML: the line is indented with a tab; indent with spaces"],
    );
    check(
        "  process: { deny: [{ paths: [**/curl] }] }\n",
        &[
            "p.yaml:6:31: no YAML: text that starts with `*` is an alias; write a pattern in \
           quotes, as in \"**/curl\"",
        ],
    );
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

#[test]
fn unknown_fields_and_names_that_only_differ_by_case() {
    check(
        "  Mode: Audit
  files:
    deny:
      - paths: [\"/a\"]
        exceptfrom: [\"/x\"]
        color: red
  namespaceSelector: {}
",
        &[
            "p.yaml:6:3: spec.Mode: unknown field `Mode`, did you mean `mode`?",
            "p.yaml:10:9: spec.files.deny[0].exceptfrom: unknown field `exceptfrom`, did you mean \
             `exceptFrom`?",
            "p.yaml:11:9: spec.files.deny[0].color: unknown field `color` (there are exceptFrom, \
             from, name, operations, paths, unlessOwner)",
            "p.yaml:12:3: spec.namespaceSelector: only a ClusterSecurityPolicy has \
             `namespaceSelector`: a SecurityPolicy holds in its own namespace",
        ],
    );
}

#[test]
fn unknown_values_and_operations_of_other_categories() {
    check(
        "  mode: enforce
  process: { default: deny }
  files: { deny: [{ paths: [/a], operations: [raed, Exec, Connect] }] }
  network: { deny: [{ operations: [Read, Socket] }, { sockets: [Pakcet] }] }
",
        &[
            "p.yaml:6:9: spec.mode: unknown value `enforce`, did you mean `Enforce`?",
            "p.yaml:7:23: spec.process.default: unknown value `deny`, did you mean `Deny`?",
            "p.yaml:8:47: spec.files.deny[0].operations[0]: unknown value `raed`, did you mean \
             `Read`?",
            "p.yaml:8:53: spec.files.deny[0].operations[1]: `Exec` is what every `process` rule is \
             about; here are Read, Write, Append, Truncate, Create, Delete, Rename, Link, Chmod, \
             Chown",
            "p.yaml:8:59: spec.files.deny[0].operations[2]: `Connect` is an operation of `network` \
             rules; here are Read, Write, Append, Truncate, Create, Delete, Rename, Link, Chmod, \
             Chown",
            "p.yaml:9:36: spec.network.deny[0].operations[0]: `Read` is an operation of `files` \
             rules; here are Connect, Bind, Send",
            "p.yaml:9:42: spec.network.deny[0].operations[1]: `Socket` is what `sockets` of a \
             network rule is about; here are Connect, Bind, Send",
            "p.yaml:9:65: spec.network.deny[1].sockets[0]: unknown value `Pakcet`, did you mean \
             `Packet`?",
        ],
    );
}

#[test]
fn wrong_types_say_what_to_write() {
    check(
        "  containers: web
  severity: 11
  message:
  tags: 5
  process:
    deny:
      paths: [\"/a\"]
  files: { deny: [{ paths: /a, unlessOwner: yes }] }
",
        &[
            "p.yaml:6:15: spec.containers: is a text, but should be a list: write [\"web\"]",
            "p.yaml:7:13: spec.severity: is 11, but should be 1 to 10",
            "p.yaml:8:10: spec.message: has no value: write a text, or leave the field out",
            "p.yaml:9:9: spec.tags: is a number, but should be a list: write [\"5\"]",
            "p.yaml:12:7: spec.process.deny: is a map, but should be a list: start each element \
             with `- `",
            "p.yaml:13:28: spec.files.deny[0].paths: is a text, but should be a list: write \
             [\"/a\"]",
            "p.yaml:13:45: spec.files.deny[0].unlessOwner: is a text, but should be `true` or \
             `false`",
        ],
    );
}

#[test]
fn empty_lists_are_refused_and_not_taken_for_all() {
    let empty = "the list is empty: leave the field out, or name at least one";
    check(
        "  containers: []
  process: { deny: [] }
  files: { deny: [{ paths: [], operations: [], from: [] }] }
  network: { allow: [{ addresses: [], ports: [] }] }
  capabilities: { deny: [{ capabilities: [] }] }
",
        &[
            &format!("p.yaml:6:15: spec.containers: {empty}"),
            &format!("p.yaml:7:20: spec.process.deny: {empty}"),
            &format!("p.yaml:8:28: spec.files.deny[0].paths: {empty}"),
            &format!("p.yaml:8:44: spec.files.deny[0].operations: {empty}"),
            &format!("p.yaml:8:54: spec.files.deny[0].from: {empty}"),
            &format!("p.yaml:9:35: spec.network.allow[0].addresses: {empty}"),
            &format!("p.yaml:9:46: spec.network.allow[0].ports: {empty}"),
            &format!("p.yaml:10:42: spec.capabilities.deny[0].capabilities: {empty}"),
        ],
    );
}

#[test]
fn patterns_that_match_nothing() {
    let long = "x".repeat(256);
    check(
        &format!(
            "  process: {{ deny: [{{ paths: [bin/sh, /a//b, /a/../b, /{long}] }}] }}
  files: {{ deny: [{{ paths: [/a], from: [sh], exceptFrom: [/ok, \"/a**\"] }}] }}
"
        ),
        &[
            "p.yaml:6:31: spec.process.deny[0].paths[0]: `bin/sh` is not absolute: start with \
             `/`, or with `**/` for any directory",
            "p.yaml:6:39: spec.process.deny[0].paths[1]: `//` has an empty component, which no \
             path has: write a single `/`",
            "p.yaml:6:46: spec.process.deny[0].paths[2]: no canonical path has a component `..`: \
             write the path without it",
            "p.yaml:6:55: spec.process.deny[0].paths[3]: the component \
             `xxxxxxxxxxxxxxxxxxxxxxxx...` needs 256 bytes; names have at most 255",
            "p.yaml:7:41: spec.files.deny[0].from[0]: `sh` is not absolute: start with `/`, or \
             with `**/` for any directory",
            "p.yaml:7:64: spec.files.deny[0].exceptFrom[1]: `**` stands for whole components and \
             must be alone between slashes, not inside `a**`: write `*` for a part of a name, or \
             `**/` in front of the name",
        ],
    );
}

#[test]
fn impossible_cidrs_and_ports() {
    check(
        "  network:
    allow:
      - addresses: [10.1.2.3/8, 1.2.3.4/33, example.org, \"::ffff:10.0.0.0/104\"]
        ports: [70000, 9-8, http, 0-65535]
      - sockets: [Raw]
        protocols: [TCP]
",
        &[
            "p.yaml:8:21: spec.network.allow[0].addresses[0]: `10.1.2.3/8` has address bits \
             behind its prefix: did you mean `10.0.0.0/8`?",
            "p.yaml:8:33: spec.network.allow[0].addresses[1]: `1.2.3.4/33` has no prefix length \
             of an IPv4 address: write 0 to 32",
            "p.yaml:8:45: spec.network.allow[0].addresses[2]: `example.org` is no IP address or \
             CIDR: write one such as `10.0.0.0/8`, `192.0.2.7` or `fd00::/8` (host names are not \
             resolved)",
            "p.yaml:9:17: spec.network.allow[0].ports[0]: port 70000 doesn't exist: ports are 0 \
             to 65535",
            "p.yaml:9:24: spec.network.allow[0].ports[1]: the range `9-8` is reversed: did you \
             mean `8-9`?",
            "p.yaml:9:29: spec.network.allow[0].ports[2]: `http` is no port: write `443`, a range \
             such as `8000-8100`, or leave `ports` out",
            "p.yaml:11:9: spec.network.allow[1].protocols: `protocols` is about addresses and \
             `sockets` about creating sockets: write two rules",
        ],
    );
}

#[test]
fn capabilities_are_written_as_in_kubernetes() {
    check(
        "  capabilities: { deny: [{ capabilities: [CAP_NET_RAW, bpf, NET_RWA, ALL, FLY] }] }\n",
        &[
            "p.yaml:6:43: spec.capabilities.deny[0].capabilities[0]: capabilities are written \
             without `CAP_`: write `NET_RAW`",
            "p.yaml:6:56: spec.capabilities.deny[0].capabilities[1]: capabilities are written in \
             capitals: write `BPF`",
            "p.yaml:6:61: spec.capabilities.deny[0].capabilities[2]: unknown capability \
             `NET_RWA`, did you mean `NET_RAW`?",
            "p.yaml:6:70: spec.capabilities.deny[0].capabilities[3]: there is no `ALL`: use \
             `default: Deny`",
            "p.yaml:6:75: spec.capabilities.deny[0].capabilities[4]: unknown capability `FLY`: \
             see capabilities(7)",
        ],
    );
}

#[test]
fn selectors_that_could_select_nothing() {
    let label = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends";
    check_text(
        "apiVersion: bartizan.dev/v1alpha1
kind: ClusterSecurityPolicy
metadata: { name: web }
spec:
  namespaceSelector: { matchExpressions: [{ key: a b, operator: Exists }] }
  selector:
    matchLabels: { app: 1 , tier: web app }
    matchExpressions:
      - { key: app, operator: In }
      - { key: app, operator: Exists, values: [a] }
      - { key: app, operator: in, values: [a] }
  containers: [Web, \"**\", \"[a\"]
",
        &[
            &format!(
                "p.yaml:5:45: spec.namespaceSelector.matchExpressions[0].key: `a b` is no key of a \
                 label: {label}, after an optional `DOMAIN/`"
            ),
            "p.yaml:7:25: spec.selector.matchLabels.app: is a number, but should be a text: write \
             \"1\"",
            &format!(
                "p.yaml:7:29: spec.selector.matchLabels.tier: `web app` is no value of a label: \
                 {label}, or nothing"
            ),
            "p.yaml:9:9: spec.selector.matchExpressions[0].values: `In` needs at least one value",
            "p.yaml:10:39: spec.selector.matchExpressions[1].values: `Exists` takes no values: \
             leave them out",
            "p.yaml:11:31: spec.selector.matchExpressions[2].operator: unknown value `in`, did \
             you mean `In`?",
            "p.yaml:12:16: spec.containers[0]: 'W' is in no container name: names are lower-case \
             letters, digits and `-`; globs also have `*`, `?`, `[a-z]` and `{a,b}`",
            "p.yaml:12:21: spec.containers[1]: `**` is for paths: write `*` for every container",
            "p.yaml:12:27: spec.containers[2]: `[` without `]` in the component `[a`: close it, or \
             write `\\[`",
        ],
    );
}

#[test]
fn duplicate_keys() {
    check(
        "  mode: Audit\n  mode: Enforce\n  selector: {}\n",
        &[
            "p.yaml:7:3: spec.mode: `mode` is there twice, first on line 6: keep one",
            "p.yaml:8:3: spec.selector: `selector` is there twice, first on line 5: keep one",
        ],
    );
    check_text(
        &HEAD.replace("name: web,", "name: web, name: db,"),
        &["p.yaml:3:24: metadata.name: `name` is there twice, first on line 3: keep one"],
    );
}

#[test]
fn duplicate_names_of_rules() {
    check(
        "  process: { deny: [{ name: a, paths: [/a] }, { name: No Curl, paths: [/b] }] }
  files: { audit: [{ name: a, paths: [/a] }] }
",
        &[
            "p.yaml:6:49: spec.process.deny[1].name: `No Curl` is no name of a rule: at most 63 \
             lower-case letters, digits and `-`, a letter or digit at both ends; did you mean \
             `no-curl`?",
            "p.yaml:7:22: spec.files.audit[0].name: `a` is already the name of \
             spec.process.deny[0]: choose another",
        ],
    );
}

#[test]
fn duplicate_names_of_policies_across_files() {
    let sources = [
        Source::new("a.yaml", HEAD),
        Source::new("b.yaml", HEAD.replace("shop", "bank")),
        Source::new("c.yaml", format!("# again\n{HEAD}")),
        Source::new(
            "d.yaml",
            HEAD.replace("kind: S", "kind: ClusterS")
                .replace(", namespace: shop", ""),
        ),
    ];
    let error = load(&sources).unwrap_err();
    assert_eq!(
        error.to_string(),
        "c.yaml:2:1: metadata.name: SecurityPolicy shop/web is already at a.yaml:1: rename or \
         remove one"
    );
    // Without a namespace it is `default`, as for `kubectl apply`.
    let default = HEAD.replace(", namespace: shop", "");
    let same = HEAD.replace("shop", "default");
    let error = load(&[Source::new("a", default), Source::new("b", same)]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("SecurityPolicy default/web is already at a:1"),
        "{error}"
    );
}

#[test]
fn documents_that_are_no_policies() {
    check_text(
        "apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
---
apiVersion: bartizan.dev/v1alpha1
kind: Securitypolicy
metadata: { name: web }
---
apiVersion: bartizan.dev/v1
kind: SecurityPolicy
---
kind: ClusterSecurityPolicy
metadata: { namespace: a }
Spec: {}
---
hello
",
        &[
            "p.yaml:2:1: kind: `Deployment` is no policy: only SecurityPolicy and \
             ClusterSecurityPolicy can be here",
            "p.yaml:6:1: kind: unknown kind `Securitypolicy`, did you mean `SecurityPolicy`?",
            "p.yaml:9:1: apiVersion: unknown version `bartizan.dev/v1`: write \
             `bartizan.dev/v1alpha1`",
            "p.yaml:9:1: metadata: `metadata` is required: write `metadata: { name: NAME }`",
            "p.yaml:9:1: `spec` is required",
            "p.yaml:12:1: apiVersion: `apiVersion` is required: write `bartizan.dev/v1alpha1`",
            "p.yaml:12:1: `spec` is required",
            "p.yaml:13:1: metadata: `name` is required",
            "p.yaml:13:13: metadata.namespace: a ClusterSecurityPolicy is in no namespace: remove \
             it",
            "p.yaml:14:1: Spec: unknown field `Spec`, did you mean `spec`?",
            "p.yaml:16:1: is no object: start with `apiVersion` and `kind`",
        ],
    );
}

#[test]
fn containers_and_tags_are_sets() {
    check_text(
        &format!("{HEAD}  containers: [web, db, web]\n  tags: [a, a]\n"),
        &[
            "p.yaml:6:25: spec.containers[2]: `web` is there twice: remove one",
            "p.yaml:7:13: spec.tags[1]: `a` is there twice: remove one",
        ],
    );
}

#[test]
fn the_items_of_a_list_are_policies() {
    check_text(
        "apiVersion: v1
kind: List
items:
- apiVersion: bartizan.dev/v1alpha1
  kind: SecurityPolicy
  metadata: { name: Web }
  spec: { selector: {}, mode: X }
",
        &[
            "p.yaml:6:15: items[0].metadata.name: `Web` is no name of a policy: at most 253 \
             lower-case letters, digits, `-` and `.`, a letter or digit at both ends; did you \
             mean `web`?",
            "p.yaml:7:31: items[0].spec.mode: unknown value `X` (there are Audit, Enforce)",
        ],
    );
}

#[test]
fn one_mistake_hides_no_other() {
    check_text(
        "apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: web }
spec:
  process:
    deny:
    - {}
    - paths: /a
      from: [x]
    - 5
    - paths: [5, /ok, curl]
      name: A
",
        &[
            "p.yaml:5:3: spec: `selector` is required: write `selector: {}` for every pod",
            "p.yaml:7:7: spec.process.deny[0]: `paths` is required: write `paths: [\"/**\"]` for \
             every path",
            "p.yaml:8:14: spec.process.deny[1].paths: is a text, but should be a list: write \
             [\"/a\"]",
            "p.yaml:9:14: spec.process.deny[1].from[0]: `x` is not absolute: start with `/`, or \
             with `**/` for any directory",
            "p.yaml:10:7: spec.process.deny[2]: is a number, but should be a map",
            "p.yaml:11:15: spec.process.deny[3].paths[0]: is a number, but should be a text: write \
             \"5\"",
            "p.yaml:11:23: spec.process.deny[3].paths[2]: `curl` is not absolute: start with `/`, \
             or with `**/` for any directory",
            "p.yaml:12:7: spec.process.deny[3].name: `A` is no name of a rule: at most 63 \
             lower-case letters, digits and `-`, a letter or digit at both ends; did you mean `a`?",
        ],
    );
}

#[test]
fn one_bad_file_means_no_policy_at_all() {
    let sources = [Source::new("good.yaml", HEAD), Source::new("bad.yaml", "")];
    assert!(load(&sources).is_err());
    assert_eq!(load(&sources[..1]).map(|policies| policies.len()), Ok(1));
}

#[test]
fn a_thousand_problems_are_enough() {
    let (tags, rules) = ("1, ".repeat(20_000), "5, ".repeat(3_000));
    let found = problems(format!(
        "{HEAD}  tags: [{tags}]\n  process: {{ deny: [{rules}] }}\n"
    ));
    assert_eq!(found.len(), 1001);
    assert_eq!(
        found[1000],
        "p.yaml:6: more problems follow: fix these first"
    );
    for text in ["k: v\n".repeat(20_000), "- k\n---\n".repeat(2_000)] {
        assert_eq!(problems(text).len(), 1001);
    }
}

#[test]
fn an_object_of_the_api_server_is_judged_in_the_same_words_as_a_file() {
    let object = |rules: &str| {
        serde_json::json!({
            "apiVersion": "bartizan.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": { "name": "web", "namespace": "shop", "uid": "1", "generation": 3 },
            "spec": {
                "selector": {},
                "process": { "deny": serde_json::from_str::<serde_json::Value>(rules).unwrap() },
            },
            "status": { "enforced": "1/1" },
        })
    };
    let good = super::object(&object(r#"[{ "paths": ["/a"] }]"#)).unwrap();
    let text = format!("{HEAD}  process: {{ deny: [{{ paths: [/a] }}] }}\n");
    let from_file = load(&[Source::new("p.yaml", text)]).unwrap();
    assert_eq!(
        (good.info, good.rules),
        (from_file[0].info.clone(), from_file[0].rules.clone())
    );
    assert_eq!(good.origin, None);

    let bad = super::object(&object(
        r#"[5, { "paths": [6, "/ok", "curl"] }, { "path": [] }]"#,
    ));
    let words: Vec<String> = bad.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "spec.process.deny[0]: is a number, but should be a map",
            "spec.process.deny[1].paths[0]: is a number, but should be a text: write \"6\"",
            "spec.process.deny[2].path: unknown field `path`, did you mean `paths`?",
            "spec.process.deny[2]: `paths` is required: write `paths: [\"/**\"]` for every path",
            "spec.process.deny[1].paths[2]: `curl` is not absolute: start with `/`, or with \
             `**/` for any directory",
        ]
    );
}
