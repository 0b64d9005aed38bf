//! What surrounds `spec`: lists, `metadata` and `status`.

use super::*;

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
fn a_list_has_nothing_but_its_items() {
    let item = HEAD.replace('\n', "\n  ");
    check_text(
        &format!(
            "apiVersion: v1\nkind: List\nmetadata: {{ resourceVersion: \"\" }}\nitems:\n- {item}"
        ),
        &[],
    );
    check_text(
        &format!(
            "apiVersion: v1\nkind: SecurityPolicyList\nmetadata: {{ name: all }}\nitem: 5\nitems:\n- {item}"
        ),
        &[
            "p.yaml:1:13: apiVersion: a SecurityPolicyList is of version `bartizan.dev/v1alpha1`: \
             write that",
            "p.yaml:3:13: metadata.name: unknown field `name` (there are continue, \
             remainingItemCount, resourceVersion, selfLink)",
            "p.yaml:4:1: item: unknown field `item`, did you mean `items`?",
        ],
    );
    check_text(
        "apiVersion: v1\nkind: List\nspec: {}\n",
        &[
            "p.yaml:1:1: items: a List has its policies in `items`: write them there, or the kind \
             of one",
            "p.yaml:3:1: spec: unknown field `spec` (there are apiVersion, items, kind, metadata)",
        ],
    );
    check_text(
        "apiVersion: v1\nkind: List\nitems: []\n",
        &["p.yaml: has no policy: write a SecurityPolicy or ClusterSecurityPolicy"],
    );
}

#[test]
fn unknown_fields_of_metadata_are_refused_and_those_of_kubernetes_are_not() {
    let with = |fields: &str| HEAD.replace("namespace: shop", fields);
    check_text(
        &with("namspace: shop, label: { a: b }"),
        &[
            "p.yaml:3:24: metadata.namspace: unknown field `namspace`, did you mean `namespace`?",
            "p.yaml:3:40: metadata.label: unknown field `label`, did you mean `labels`?",
        ],
    );
    check_text(
        &with(
            "namespace: shop, uid: a-b, resourceVersion: \"1\", generation: 2, selfLink: /x,
  managedFields: [{ manager: kubectl, fieldsV1: { \"f:spec\": {} } }], creationTimestamp: null,
  deletionTimestamp: 2026-01-01T00:00:00Z, deletionGracePeriodSeconds: 0, generateName: web-,
  ownerReferences: [{ kind: App, name: a, uid: b }], finalizers: [a/b],
  annotations: { a: b }, labels: { a: \"1\" }",
        ),
        &[],
    );
    check_text(
        &with("namespace: shop, labels: { a: 1 }, annotations: no"),
        &[
            "p.yaml:3:51: metadata.labels.a: should be a text: write it in quotes",
            "p.yaml:3:59: metadata.annotations: is no map: write `KEY: TEXT` for each",
        ],
    );
}

#[test]
fn a_status_is_one_that_the_operator_could_have_written() {
    check_text(
        &format!("{HEAD}status: {{ enforced: 1/2, containers: {{ selected: 2, enforced: 1 }} }}\n"),
        &[],
    );
    check_text(
        &format!("{HEAD}status: {{ enforce: 1/2, behind: soon }}\n"),
        &[
            "p.yaml:6:11: status.enforce: unknown field `enforce`, did you mean `enforced`?",
            "p.yaml:6:33: status.behind: is a text, but should be a list",
        ],
    );
}
