//! One line of the denial log.

use std::time::SystemTime;

use bartizan_abi::op::Operation;
use bartizan_abi::verdict::Outcome;
use bartizan_policy::printable::PrintableJson;
use bartizan_policy::rule_map::{Mode, PolicyInfo};
use serde::Serialize;

/// Whose operation it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Name of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Namespace of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod; in standalone use the workload's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Image, where a runtime told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// One event with names instead of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Workload, table and rule number: what makes two events the same besides their
    /// texts.
    pub key: (u32, u32, Option<u16>),
    /// When it happened.
    pub time: SystemTime,
    /// Whose operation it was.
    pub subject: Subject,
    /// The policy that decided; `None` if no rule did.
    pub policy: Option<PolicyInfo>,
    /// The rule of that policy.
    pub rule: Option<String>,
    /// What was tried.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// On what.
    pub target: Option<String>,
    /// The calling executable.
    pub executable: Option<String>,
    /// The parent's executable.
    pub parent_executable: Option<String>,
    /// Process id on the node.
    pub pid: u32,
    /// User id on the node.
    pub uid: u32,
}

/// A record as it is printed: fields in the order of the documentation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    time: String,
    #[serde(flatten)]
    subject: &'a Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    verdict: &'static str,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_executable: Option<&'a str>,
    pid: u32,
    uid: u32,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
}

impl<'a> Line<'a> {
    /// The line for `count` operations like this one.
    pub fn new(record: &'a Record, count: u64) -> Self {
        let policy = record.policy.as_ref();
        Self {
            time: humantime::format_rfc3339_micros(record.time).to_string(),
            subject: &record.subject,
            policy: policy.map(PolicyInfo::reference),
            rule: record.rule.as_deref(),
            mode: policy.map(|policy| mode_name(policy.mode)),
            verdict: verdict_name(record.outcome),
            operation: record.operation.name(),
            target: record.target.as_deref(),
            executable: record.executable.as_deref(),
            parent_executable: record.parent_executable.as_deref(),
            pid: record.pid,
            uid: record.uid,
            count,
            severity: policy.and_then(|policy| policy.severity),
            message: policy.and_then(|policy| policy.message.as_deref()),
            tags: policy.map_or(&[], |policy| &policy.tags),
        }
    }

    /// The line as text, with its newline.
    pub fn text(&self) -> String {
        let text = serde_json::to_string(self).expect("strings and numbers always serialise");
        // Names of files are what somebody in a container wrote.
        format!("{}\n", PrintableJson(&text))
    }
}

/// A policy's mode as policies write it.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "Enforce",
        Mode::Audit => "Audit",
    }
}

fn verdict_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allow",
        Outcome::Deny => "deny",
        Outcome::WouldDeny => "would-deny",
        Outcome::Audit => "audit",
        Outcome::Unresolved => "unresolved",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// A denied exec of `target`.
    pub(crate) fn record(target: &str) -> Record {
        Record {
            key: (1, 1, Some(0)),
            time: UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
            subject: Subject {
                pod: Some("web".into()),
                ..Subject::default()
            },
            policy: Some(PolicyInfo {
                namespace: Some("shop".into()),
                name: "lockdown".into(),
                mode: Mode::Enforce,
                severity: Some(7),
                message: Some("no \"apt\"".into()),
                tags: vec!["pci".into()],
            }),
            rule: Some("no-apt".into()),
            operation: Operation::Exec,
            outcome: Outcome::Deny,
            target: Some(target.into()),
            executable: Some("/bin/sh".into()),
            parent_executable: None,
            pid: 42,
            uid: 0,
        }
    }

    #[test]
    fn a_line_is_one_json_object() {
        assert_eq!(
            Line::new(&record("/usr/bin/apt"), 3).text(),
            concat!(
                r#"{"time":"2023-11-14T22:13:20.123456Z","pod":"web","policy":"shop/lockdown","#,
                r#""rule":"no-apt","mode":"Enforce","verdict":"deny","operation":"Exec","#,
                r#""target":"/usr/bin/apt","executable":"/bin/sh","pid":42,"uid":0,"count":3,"#,
                r#""severity":7,"message":"no \"apt\"","tags":["pci"]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unknown = Record {
            policy: None,
            rule: None,
            target: None,
            ..record("")
        };
        let text = Line::new(&unknown, 1).text();
        for field in ["policy", "rule", "mode", "target", "severity", "tags"] {
            assert!(!text.contains(&format!("\"{field}\"")), "{text}");
        }
    }

    #[test]
    fn control_characters_cannot_end_a_line() {
        let text = Line::new(&record("/a\n{\"x\":1}"), 1).text();
        assert_eq!(text.matches('\n').count(), 1);
        // Nor turn it around, nor reach a terminal.
        let name = "/a\u{202e}txt.\u{9b}2J";
        let text = Line::new(&record(name), 1).text();
        assert!(
            text.contains(r#""target":"/a\u202etxt.\u009b2J""#),
            "{text}"
        );
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["target"], name);
    }
}
