//! Fields and values.

use super::*;

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
             rules; here are Connect, Bind, Send, Listen, Accept",
            "p.yaml:9:42: spec.network.deny[0].operations[1]: `Socket` is what `sockets` of a \
             network rule is about; here are Connect, Bind, Send, Listen, Accept",
            "p.yaml:9:65: spec.network.deny[1].sockets[0]: unknown value `Pakcet`, did you mean \
             `Packet`?",
        ],
    );
}

#[test]
fn restrictions_are_fields_with_two_values() {
    check(
        "  restrict: { Mount: Deny, mounts: deny, ptrace: true, bpf: }
  files: { deny: [{ paths: [/a], operations: [Ptrace] }] }
",
        &[
            "p.yaml:6:15: spec.restrict.Mount: unknown field `Mount`, did you mean `mounts`?",
            "p.yaml:6:36: spec.restrict.mounts: unknown value `deny`, did you mean `Deny`?",
            "p.yaml:6:50: spec.restrict.ptrace: is `true` or `false`, but should be one of Allow, \
             Deny",
            "p.yaml:6:59: spec.restrict.bpf: is empty, but should be one of Allow, Deny",
            "p.yaml:7:47: spec.files.deny[0].operations[0]: `Ptrace` is for `restrict` to deny; \
             here are Read, Write, Append, Truncate, Create, Delete, Rename, Link, Chmod, Chown",
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
fn numbers_are_decimal_and_of_a_sensible_size() {
    let huge = "9".repeat(20);
    check(
        &format!(
            "  severity: {huge}
  message: 1.10
  tags: [{}, 0x1F, True]
  network: {{ deny: [{{ ports: [0x50, 080, +80, {huge}, 8e1, 8.5, 80] }}] }}
",
            "9".repeat(100)
        ),
        &[
            "p.yaml:6:13: spec.severity: is a number with too many digits, but should be a whole \
             number from 1 to 10",
            "p.yaml:7:12: spec.message: is a number with a point, but should be a text: write \
             \"1.10\"",
            "p.yaml:8:10: spec.tags[0]: is a number with too many digits, but should be a text: \
             write it in quotes",
            "p.yaml:8:112: spec.tags[1]: is a number, but should be a text: write \"0x1F\"",
            "p.yaml:8:118: spec.tags[2]: is `true` or `false`, but should be a text: write \"True\"",
            "p.yaml:9:31: spec.network.deny[0].ports[0]: `0x50` is a number in another notation: \
             write 80",
            "p.yaml:9:37: spec.network.deny[0].ports[1]: `080` is a number in another notation: \
             write 80",
            "p.yaml:9:42: spec.network.deny[0].ports[2]: `+80` is a number in another notation: \
             write 80",
            "p.yaml:9:47: spec.network.deny[0].ports[3]: is a number with too many digits, but \
             should be a whole number or a text",
            "p.yaml:9:69: spec.network.deny[0].ports[4]: is a number with an exponent, but should \
             be a whole number or a text",
            "p.yaml:9:74: spec.network.deny[0].ports[5]: is a number with a point, but should be a \
             whole number or a text",
        ],
    );
}

#[test]
fn merge_keys_are_said_to_be_none() {
    check(
        "  process: &p { deny: [{ paths: [/a] }] }\n  files: { <<: *p }\n",
        &[
            "p.yaml:7:12: spec.files[\"<<\"]: merge keys (`<<`) are not read: write the fields out, or use an \
           alias for a whole value",
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
fn names_of_unix_sockets_are_paths_or_behind_an_at() {
    check(
        "  network:
    deny:
      - unix: [run/x, '@', '@a*b', /run/x]
        ports: [1]
      - { unix: ['@a'], sockets: [Unix] }
",
        &[
            "p.yaml:8:16: spec.network.deny[0].unix[0]: `run/x` is not absolute: start with `/`, \
             or with `**/` for any directory",
            "p.yaml:8:23: spec.network.deny[0].unix[1]: `@` names no socket: write `@*` for every \
             abstract name",
            "p.yaml:8:28: spec.network.deny[0].unix[2]: `@a*b` has a `*` before its end: only the \
             end of an abstract name can be open",
            "p.yaml:9:9: spec.network.deny[0].ports: `ports` is about IP addresses and `unix` \
             about Unix sockets: write two rules",
            "p.yaml:10:11: spec.network.deny[1].unix: `unix` is about addresses and `sockets` \
             about creating sockets: write two rules",
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
