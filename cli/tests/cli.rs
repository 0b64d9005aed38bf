//! The command line as users see it: output, JSON and exit codes.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const WEB: &str = r#"apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata: { name: web-lockdown, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  mode: Enforce
  severity: 5
  message: Ask the shop team.
  process:
    default: Deny
    allow:
      - paths: ["/usr/sbin/nginx", "/usr/bin/**"]
    deny:
      - name: no-package-managers
        paths: ["/usr/bin/apt*"]
        exceptFrom: ["/usr/lib/apt/**"]
  files:
    deny:
      - paths: ["/etc/shadow"]
        operations: [Read]
        unlessOwner: true
    audit:
      - name: config
        paths: ["/etc/**"]
  network:
    deny:
      - addresses: ["10.0.0.0/8"]
        ports: [22]
---
apiVersion: bartizan.dev/v1alpha1
kind: ClusterSecurityPolicy
metadata: { name: no-raw }
spec:
  selector: {}
  namespaceSelector: { matchLabels: { team: shop } }
  containers: [web]
  capabilities: { deny: [{ name: raw, capabilities: [NET_RAW] }] }
  network: { deny: [{ name: packets, sockets: [Packet] }] }
"#;

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn bartizan(words: &[&str], stdin: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary that this test was built with starts");
    // A command that doesn't read its input closes the pipe: not this test's business.
    let _ = child
        .stdin
        .take()
        .map(|mut pipe| pipe.write_all(stdin.as_bytes()));
    let output = child
        .wait_with_output()
        .expect("the child is waited for once");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

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

/// A directory of its own for a test, with these files.
fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&path).expect("the target directory can be written");
    for (file, text) in files {
        fs::write(path.join(file), text).expect("the target directory can be written");
    }
    path
}

#[test]
fn valid_files_and_directories_are_counted() {
    let other = WEB.replace("web-lockdown", "b").replace("no-raw", "b");
    let files = [
        ("a.yaml", WEB),
        ("b.yml", other.as_str()),
        ("notes.txt", "no policy"),
    ];
    let path = directory("valid", &files);
    let run = bartizan(&["check", &path.display().to_string()], "");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "4 policies in 2 files are valid\n")
    );
    let run = bartizan(&["check", "-"], WEB.split("---").next().unwrap_or_default());
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "1 policy in 1 file is valid\n")
    );
}

#[test]
fn every_problem_is_a_line_with_its_place() {
    let bad = WEB
        .replace("mode: Enforce", "mode: enforce")
        .replace("/etc/shadow", "etc/shadow");
    let run = bartizan(&["check", "-"], &bad);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stdout,
        "<stdin>:6:9: spec.mode: unknown value `enforce`, did you mean `Enforce`?\n\
         <stdin>:19:17: spec.files.deny[0].paths[0]: `etc/shadow` is not absolute: start with \
         `/`, or with `**/` for any directory\n"
    );
    assert_eq!(run.stderr, "2 problems\n");
}

#[test]
fn problems_are_there_for_programs() {
    let run = bartizan(&["check", "-o", "json", "-"], "kind: Pod\n");
    assert_eq!(run.code, Some(1));
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        value,
        json!({
            "valid": false,
            "files": 1,
            "policies": 0,
            "diagnostics": [{
                "file": "<stdin>",
                "line": 1,
                "column": 1,
                "field": "kind",
                "message": "`Pod` is no policy: only SecurityPolicy and ClusterSecurityPolicy \
                            can be here",
            }],
        })
    );
}

#[test]
fn files_that_are_missing_or_too_large_are_problems() {
    let run = bartizan(&["check", "/nonexistent/a.yaml"], "");
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stdout,
        "/nonexistent/a.yaml: can't be read: No such file or directory (os error 2)\n"
    );
    let run = bartizan(&["check", "-"], &"#".repeat(10 << 20));
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(1), "<stdin>: is larger than 4 MiB: split it\n")
    );
    let path = directory("empty", &[]);
    let run = bartizan(&["check", &path.display().to_string()], "");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stdout
            .ends_with("the directory has no .yaml or .yml file\n"),
        "{}",
        run.stdout
    );
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
             the default process.default of shop/web-lockdown (<stdin>:10, Enforce)\n"
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
fn the_help_teaches_the_operations() {
    let run = bartizan(&["explain", "--help"], "");
    assert_eq!(run.code, Some(0));
    for text in [
        "exec PATH",
        "capability NAME",
        "bartizan explain -f policies/ exec /usr/bin/apt",
    ] {
        assert!(
            run.stdout.contains(text),
            "{text} is missing in:\n{}",
            run.stdout
        );
    }
}
