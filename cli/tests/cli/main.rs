//! The command line as users see it: output, JSON and exit codes.

mod check;
mod enforceable;
mod explain;
mod hostile;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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

fn bartizan(words: &[impl AsRef<OsStr>], stdin: &str) -> Run {
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

/// A directory of its own for a test, with these files.
fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&path).expect("the target directory can be written");
    for (file, text) in files {
        fs::write(path.join(file), text).expect("the target directory can be written");
    }
    path
}

/// Policies of which each fits, but not nine of them together.
fn many(count: usize, spec: &str) -> String {
    let policy = |number: usize| {
        let paths: Vec<String> = (0..2_000).map(|i| format!("/{number}-{i}-name")).collect();
        format!(
            "---\napiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\n\
             metadata: {{ name: p{number}, namespace: shop }}\n\
             spec: {{ {spec}, process: {{ deny: [{{ paths: [{}] }}] }} }}\n",
            paths.join(", ")
        )
    };
    (0..count).map(policy).collect()
}

#[test]
fn the_help_teaches_the_operations() {
    let run = bartizan(&["explain", "--help"], "");
    assert_eq!(run.code, Some(0));
    for text in [
        "exec PATH",
        "capability NAME",
        "restrict FIELD",
        "bartizan explain -f policies/ exec /usr/bin/apt",
    ] {
        assert!(
            run.stdout.contains(text),
            "{text} is missing in:\n{}",
            run.stdout
        );
    }
}
