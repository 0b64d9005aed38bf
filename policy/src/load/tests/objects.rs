//! Duplicates, other objects, and many mistakes at once.

use super::*;

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
fn an_object_of_the_api_server_is_judged_in_the_same_words_as_a_file() {
    let object = |rules: &str| {
        serde_json::json!({
            "apiVersion": "bartizan.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": { "name": "web", "namespace": "shop", "uid": "1", "ofNextYear": 3 },
            "spec": {
                "selector": {},
                "process": { "deny": serde_json::from_str::<serde_json::Value>(rules).unwrap() },
            },
            "status": { "enforced": "1/1", "ofNextYear": 3 },
        })
    };
    let good = super::super::object(&object(r#"[{ "paths": ["/a"] }]"#)).unwrap();
    let text = format!("{HEAD}  process: {{ deny: [{{ paths: [/a] }}] }}\n");
    let from_file = load(&[Source::new("p.yaml", text)]).unwrap();
    assert_eq!(
        (good.info, good.rules),
        (from_file[0].info.clone(), from_file[0].rules.clone())
    );
    assert_eq!(good.origin, None);

    let bad = super::super::object(&object(
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
