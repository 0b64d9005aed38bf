//! `bartizan check`.

use serde_json::{Value, json};

use super::*;

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
            "warnings": [],
            "kernels": [],
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
fn what_is_probably_not_meant_is_a_warning() {
    let odd = WEB
        .replace(r#""/usr/sbin/nginx", "/usr/bin/**""#, r#""/a", "/b", "/a""#)
        .replace("[Read]", "[Read, Write, Read]")
        .replace("[22]", r#"[22, "22"]"#)
        .replace(
            "  files:\n    deny:\n",
            "  files:\n    deny:\n      - paths: [\"/etc/*\"]\n",
        );
    let run = bartizan(&["check", "-"], &odd);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            Some(0),
            "warning: <stdin>:12:29: spec.process.allow[0].paths[2]: `/a` is there twice: remove \
             one\n\
             warning: <stdin>:20: rule files.deny[1] changes nothing: rule files.deny[0] denies all \
             of it\n\
             warning: <stdin>:21:35: spec.files.deny[1].operations[2]: `Read` is there twice: \
             remove one\n\
             warning: <stdin>:29:21: spec.network.deny[0].ports[1]: `22` is there twice: remove \
             one\n\
             2 policies in 1 file are valid\n"
        )
    );
    let run = bartizan(&["check", "-o", "json", "-"], &odd);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &value["valid"]), (Some(0), &json!(true)));
    assert_eq!(
        value["warnings"][1],
        json!({
            "file": "<stdin>",
            "line": 20,
            "message": "rule files.deny[1] changes nothing: rule files.deny[0] denies all of it",
        })
    );
}

#[test]
fn policies_that_fit_alone_but_not_together_are_refused() {
    let text = many(
        9,
        "selector: { matchLabels: { app: web } }, containers: [web]",
    );
    let run = bartizan(&["check", "-"], &text);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert_eq!(run.stderr, "1 problem\n");
    let message = &run.stdout;
    assert!(message.starts_with("<stdin>:2: the 9 policies of container web in pods with app=web of namespace shop can't be enforced together: the compiled rules take "), "{message}");
    assert!(
        message.contains("rule `process.deny[0]` of policy `shop/p0`"),
        "{message}"
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
fn an_answer_that_cannot_be_written_is_an_error() {
    let full = fs::File::create("/dev/full").unwrap();
    let path = directory("full", &[("a.yaml", WEB)]);
    let output = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .arg("check")
        .arg(path)
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: the answer can't be written: "),
        "{stderr}"
    );
}
