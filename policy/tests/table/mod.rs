//! Tables of cases: what a policy says of operations, one line each.
//!
//! ```text
//! labels: app=web
//! container: web
//! caller: /usr/sbin/nginx
//!
//! # A remark.
//! exec /usr/bin/curl        -> deny process.default
//! file read /etc/hostname   -> allow
//! ```
//!
//! Operations are written as for `bartizan explain`; `caller` is the program behind
//! those without a `--by`. The same tables run against the reference, the compiled
//! tables and real kernels, so this module knows nothing but the text.

use std::collections::BTreeMap;

/// One table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Labels of the pod.
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of the container.
    pub(crate) container: String,
    /// Caller of operations that name none.
    pub(crate) caller: String,
    /// The cases in order.
    pub(crate) cases: Vec<Case>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// Words of the operation, `--by` always among them.
    pub(crate) words: Vec<String>,
    /// `allow`, `deny`, `would-deny`, `audit`, `unresolved`.
    pub(crate) verdict: String,
    /// Name of the rule that decides; none for `allow` and `unresolved`.
    pub(crate) rule: Option<String>,
}

impl Case {
    /// The operation as one text.
    pub(crate) fn operation(&self) -> String {
        self.words.join(" ")
    }
}

/// Reads a table; panics with the line of what is wrong in it.
pub(crate) fn parse(text: &str) -> Table {
    let mut table = Table::default();
    for (line, text) in (1..).zip(text.lines()) {
        if text.is_empty() || text.starts_with('#') {
        } else if let Some((operation, verdict)) = text.split_once("->") {
            table
                .cases
                .push(case(line, operation, verdict, &table.caller));
        } else {
            let (field, value) = text
                .split_once(": ")
                .unwrap_or_else(|| panic!("line {line}: neither a case nor a field"));
            match field {
                "labels" => {
                    for label in value.split_whitespace() {
                        let (key, value) = label
                            .split_once('=')
                            .unwrap_or_else(|| panic!("line {line}: KEY=VALUE"));
                        table.labels.insert(key.to_owned(), value.to_owned());
                    }
                }
                "container" => value.clone_into(&mut table.container),
                "caller" => value.clone_into(&mut table.caller),
                _ => panic!("line {line}: no field `{field}`"),
            }
        }
    }
    assert!(!table.caller.is_empty(), "a table names its caller");
    table
}

fn case(line: usize, operation: &str, verdict: &str, caller: &str) -> Case {
    let mut words: Vec<String> = operation.split_whitespace().map(str::to_owned).collect();
    if !words.iter().any(|word| word == "--by") {
        words.extend(["--by".to_owned(), caller.to_owned()]);
    }
    let mut ends = verdict.split_whitespace().map(str::to_owned);
    let verdict = ends
        .next()
        .unwrap_or_else(|| panic!("line {line}: no verdict"));
    let rule = ends.next();
    let has_rule = ["deny", "would-deny", "audit"].contains(&verdict.as_str());
    let has_none = ["allow", "unresolved"].contains(&verdict.as_str());
    assert!(has_rule || has_none, "line {line}: no verdict `{verdict}`");
    assert_eq!(
        rule.is_some(),
        has_rule,
        "line {line}: a rule exactly where one decides"
    );
    assert!(
        ends.next().is_none(),
        "line {line}: something behind the rule"
    );
    Case {
        line,
        words,
        verdict,
        rule,
    }
}
