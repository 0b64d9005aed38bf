//! `bartizan explain`.

use serde_json::{Value, json};

use super::*;

/// `bartizan explain -f - WORDS` with the policies above.
fn explain(words: &str) -> Run {
    let mut all = vec!["explain", "-f", "-"];
    all.extend(words.split(' '));
    bartizan(&all, WEB)
}

fn explain_json(words: &str) -> (Option<i32>, Value) {
    let run = explain(&format!("-o json {words}"));
    let value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr));
    (run.code, value)
}

#[test]
fn a_denial_names_the_policy_the_rule_and_what_lost() {
    let (code, value) = explain_json("-l app=web exec /usr/bin/apt");
    assert_eq!(code, Some(3));
    assert_eq!(
        value,
        json!({
            "verdict": "deny",
            "wouldDeny": false,
            "outcome": "deny",
            "policy": "shop/web-lockdown",
            "rule": "no-package-managers",
            "operation": "Exec",
            "target": "/usr/bin/apt",
            "severity": 5,
            "tags": [],
            "message": "Ask the shop team.",
            "matched": [
                {
                    "policy": "shop/web-lockdown",
                    "rule": "no-package-managers",
                    "effect": "deny",
                    "mode": "Enforce",
                    "decided": true,
                    "place": "<stdin>:14",
                },
                {
                    "policy": "shop/web-lockdown",
                    "rule": "process.allow[0]",
                    "effect": "allow",
                    "mode": "Enforce",
                    "decided": false,
                    "place": "<stdin>:12",
                },
                {
                    "policy": "shop/web-lockdown",
                    "rule": "process.default",
                    "effect": "default-deny",
                    "mode": "Enforce",
                    "decided": false,
                    "place": "<stdin>:10",
                },
            ],
            "dependsOnCaller": [{
                "policy": "shop/web-lockdown",
                "rule": "no-package-managers",
                "effect": "deny",
                "mode": "Enforce",
                "decided": true,
                "place": "<stdin>:14",
            }],
            "selecting": ["shop/web-lockdown"],
        })
    );
    let run = explain("-l app=web exec /usr/bin/apt");
    assert_eq!(run.code, Some(3));
    assert_eq!(
        run.stdout,
        "deny: Exec /usr/bin/apt\n  \
           decided by deny rule no-package-managers of shop/web-lockdown (<stdin>:14, Enforce)\n  \
           message: Ask the shop team.\n  \
           matched, but lost:\n    \
             allow rule process.allow[0] of shop/web-lockdown (<stdin>:12, Enforce)\n    \
             the default process.default of shop/web-lockdown (<stdin>:10, Enforce)\n  \
           no caller is given; with --by PATH these rules may change the answer:\n    \
             deny rule no-package-managers of shop/web-lockdown (<stdin>:14, Enforce)\n  \
           1 policy is for containers by name, and no name is given (-c)\n"
    );
}

#[track_caller]
fn check(words: &str, code: i32, outcome: &str, rule: Option<&str>) {
    let (found, value) = explain_json(words);
    assert_eq!(
        (found, value["outcome"].as_str(), value["rule"].as_str()),
        (Some(code), Some(outcome), rule),
        "{words}: {value}"
    );
}

#[test]
fn verdicts_and_exit_codes() {
    check(
        "-l app=web exec /usr/bin/env",
        0,
        "allow",
        Some("process.allow[0]"),
    );
    check(
        "-l app=web exec /bin/sh",
        3,
        "deny",
        Some("process.default"),
    );
    check(
        "-l app=web exec /usr/bin/apt --by /usr/lib/apt/x",
        0,
        "allow",
        Some("process.allow[0]"),
    );
    check(
        "-l app=web file read /etc/shadow",
        3,
        "deny",
        Some("files.deny[0]"),
    );
    check(
        "-l app=web file read /etc/shadow --owner",
        0,
        "audit",
        Some("config"),
    );
    check(
        "-l app=web file write /etc/passwd",
        0,
        "audit",
        Some("config"),
    );
    check(
        "-l app=web connect tcp 10.1.2.3:22",
        3,
        "deny",
        Some("network.deny[0]"),
    );
    check("-l app=web connect tcp 11.1.2.3:22", 0, "allow", None);
    check("-l app=db exec /usr/bin/apt", 0, "allow", None);
}

#[test]
fn a_policy_in_audit_would_deny_and_lets_go_on() {
    let (code, value) = explain_json("-c web capability NET_RAW");
    assert_eq!(code, Some(0));
    assert_eq!(value["verdict"], "allow");
    assert_eq!(value["wouldDeny"], true);
    assert_eq!(value["policy"], "no-raw");
    check("-c web socket packet raw", 0, "would-deny", Some("packets"));
}

#[test]
fn workloads_are_selected_by_namespace_labels_and_container() {
    check("capability NET_RAW", 0, "allow", None);
    check("-c web -n shop capability NET_RAW", 0, "allow", None);
    check(
        "-c web -n x --namespace-label team=shop capability NET_RAW",
        0,
        "would-deny",
        Some("raw"),
    );
    check("-l app=web -n bank exec /bin/sh", 0, "allow", None);
    check(
        "-l app=web -n shop exec /bin/sh",
        3,
        "deny",
        Some("process.default"),
    );
}

#[test]
fn wrong_usage_exits_with_2_and_says_why() {
    for (words, message) in [
        (
            "exce /bin/sh",
            "unknown operation `exce`, did you mean `exec`?",
        ),
        (
            "exec bin/sh",
            "`bin/sh` is no canonical path: write it from `/` on",
        ),
        ("-l app exec /bin/sh", "write KEY=VALUE"),
        (
            "-l app= -l =web exec /bin/sh",
            "'=web' for '--label <KEY=VALUE>': `` is no key of a label: at most 63 letters",
        ),
        (
            "-l a=b,c=d exec /bin/sh",
            "`b,c=d` is no value of a label: at most 63 letters",
        ),
        (
            "-n Shop exec /bin/sh",
            "'Shop' for '--namespace <NS>': `Shop` is no name of a namespace: at most 63 \
             lower-case letters, digits and `-`, a letter or digit at both ends; did you mean \
             `shop`?",
        ),
        (
            "-n shop --namespace-label a_/b=c exec /bin/sh",
            "`a_/b` is no key of a label",
        ),
        (
            "-c web* exec /bin/sh",
            "'web*' for '--container <NAME>': `web*` is no name of a container",
        ),
        ("--bye /x exec /bin/sh", "--bye"),
    ] {
        let run = explain(words);
        assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{words}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn explain_refuses_invalid_policies_with_every_problem() {
    let run = bartizan(&["explain", "-f", "-", "exec", "/x"], "kind: Pod\n---\n5\n");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
}

#[test]
fn wrong_usage_and_invalid_policies_are_json_where_json_is_asked_for() {
    for (words, error) in [
        (
            "-o json exce /bin/sh",
            "unknown operation `exce`, did you mean `exec`?",
        ),
        (
            "--output=json -l app exec /bin/sh",
            "invalid value 'app' for '--label <KEY=VALUE>': `app` is no label: write KEY=VALUE",
        ),
        (
            "-ojson",
            "the following required arguments were not provided: <OPERATION>...",
        ),
    ] {
        let run = explain(words);
        let value: Value = serde_json::from_str(&run.stdout).expect(words);
        assert_eq!(value, json!({ "error": error, "diagnostics": [] }));
        assert_eq!((run.code, run.stderr.as_str()), (Some(2), ""), "{words}");
    }
    let run = bartizan(
        &["explain", "-o", "json", "-f", "-", "exec", "/x"],
        "kind: Pod\n",
    );
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    assert_eq!(value["error"], "the policies are invalid");
    assert_eq!(value["diagnostics"][0]["field"], "kind");
}

#[test]
fn what_is_not_known_is_left_out_of_json_and_lists_never_are() {
    let (_, value) = explain_json("-l app=db capability NET_RAW");
    assert_eq!(
        value,
        json!({
            "verdict": "allow",
            "wouldDeny": false,
            "outcome": "allow",
            "operation": "Capable",
            "target": "NET_RAW",
            "tags": [],
            "matched": [],
            "dependsOnCaller": [],
            "selecting": [],
        })
    );
}

#[test]
fn policies_that_do_not_select_the_workload_name_the_option_that_may_be_missing() {
    let run = explain("capability NET_RAW");
    assert_eq!(
        run.stdout,
        "allow: Capable NET_RAW\n  \
           no policy selects the workload\n  \
           1 policy is for pods with other labels (-l)\n  \
           1 policy is for containers by name, and no name is given (-c)\n"
    );
    let run = explain("-n bank --namespace-label team=shop -c db capability NET_RAW");
    assert!(
        run.stdout.ends_with(
            "\n  1 policy is in other namespaces (-n)\n  1 policy is for other containers (-c)\n"
        ),
        "{}",
        run.stdout
    );
}

#[test]
fn a_caller_gets_the_answer_of_the_rules_about_callers() {
    let run = explain("-l app=web -c web exec /usr/bin/apt --by /usr/lib/apt/x");
    assert!(!run.stdout.contains("--by"), "{}", run.stdout);
    let (_, value) = explain_json("-l app=web exec /usr/bin/apt --by /usr/lib/apt/x");
    assert_eq!(value["dependsOnCaller"], json!([]));
}

#[test]
fn policies_that_cannot_be_used_together_have_no_answer() {
    let text = many(9, "selector: {}");
    let run = bartizan(&["explain", "-f", "-", "exec", "/x"], &text);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    let error = "the policies can't be used together: the compiled rules take ";
    assert!(
        run.stderr.starts_with(&format!("error: {error}")),
        "{}",
        run.stderr
    );
    let run = bartizan(&["explain", "-f", "-", "-ojson", "exec", "/x"], &text);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(
        value["error"].as_str().unwrap().starts_with(error),
        "{value}"
    );
    assert_eq!(run.code, Some(1));
}
