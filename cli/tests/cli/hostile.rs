//! Texts that would do something to a terminal, and names that are no text.

use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use super::*;

const ESCAPES: &str = "\u{1b}[2J\u{202e}\u{7}";
const ESCAPED: &str = r"\u{1b}[2J\u{202e}\u{7}";

#[track_caller]
fn is_safe(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let unsafe_ = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(unsafe_), "{text:?}");
    }
}

#[test]
fn nothing_in_policies_reaches_the_terminal_raw() {
    let path = format!(
        r#""/tmp/{}""#,
        ESCAPES.escape_default().to_string().replace(['{', '}'], "")
    );
    let bad = WEB.replace("severity: 5", &format!("? {path}\n  : 5"));
    let yaml = bad.replace(r"\u1b", r"\e").replace(r"\u7", r"\a");
    let run = bartizan(&["check", "-"], &yaml);
    is_safe(&run);
    assert!(run.stdout.contains(ESCAPED), "{}", run.stdout);
    let run = bartizan(&["check", "-o", "json", "-"], &yaml);
    is_safe(&run);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    let message = value["diagnostics"][0]["message"].as_str().unwrap();
    assert!(message.contains(ESCAPES), "{message:?}");
}

#[test]
fn nothing_in_arguments_reaches_the_terminal_raw() {
    for words in [
        vec!["check", "/no\nfile\u{1b}"],
        vec!["explain", "-f", "-", "exec", "/a\u{1b}\nb"],
        vec!["explain", "-f", "-", "\u{1b}\nb"],
        vec!["explain", "-f", "-", "-l", "\u{1b}\nerror: b", "exec", "/a"],
        vec![
            "explain",
            "-f",
            "-",
            "-o",
            "json",
            "-l",
            "\u{1b}\nb",
            "exec",
            "/a",
        ],
        vec!["\u{1b}\nb"],
        vec!["explain", "--\u{1b}\nb"],
    ] {
        let run = bartizan(&words, WEB);
        is_safe(&run);
        let both = run.stdout + &run.stderr;
        assert!(both.contains(r"\n"), "{words:?}: {both}");
        assert!(!both.lines().any(|line| line.starts_with('b')), "{both}");
    }
}

#[test]
fn a_path_of_the_operation_may_be_no_utf_8() {
    let words = ["explain", "-f", "-", "-l", "app=web", "-ojson", "exec"].map(OsStr::new);
    let path = OsStr::from_bytes(b"/usr/bin/\xff\\");
    let caller = [OsStr::new("--by"), OsStr::from_bytes(b"/\xfe")];
    let run = bartizan(&[&words[..], &[path], &caller].concat(), WEB);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["rule"], "process.allow[0]");
    assert_eq!(value["target"], r"/usr/bin/\xff\\");
    assert_eq!(value["executable"], r"/\xfe");
    // Elsewhere it is a mistake.
    let run = bartizan(&[&words[..6], &[path]].concat(), WEB);
    assert_eq!(run.code, Some(2));
    assert!(run.stdout.contains("is not UTF-8"), "{}", run.stdout);
}

#[test]
fn a_long_word_is_not_repeated_whole() {
    let long = "x".repeat(300);
    let policy = WEB
        .replace("web-lockdown", &long)
        .replace("mode:", &format!("{long}: 5\n  mode:"));
    for words in [
        vec!["check", "-"],
        vec!["explain", "-f", "-", "exec", &long],
        vec!["explain", "-f", "-", &long],
    ] {
        let run = bartizan(&words, &policy);
        assert_ne!(run.code, Some(0));
        let both = run.stdout + &run.stderr;
        assert!(both.contains(&"x".repeat(80)), "{both}");
        assert!(!both.contains(&"x".repeat(81)), "{both}");
    }
}
