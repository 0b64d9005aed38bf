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

use anyhow::{Context as _, Result, bail, ensure};

/// One table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// Name of the container.
    pub container: String,
    /// Caller of operations that name none.
    pub caller: String,
    /// The cases in order.
    pub cases: Vec<Case>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Case {
    /// Line in the file, from 1.
    pub line: usize,
    /// Words of the operation, `--by` always among them.
    pub words: Vec<String>,
    /// `allow`, `deny`, `would-deny`, `audit`, `unresolved`.
    pub verdict: String,
    /// Name of the rule that decides; none for `allow` and `unresolved`.
    pub rule: Option<String>,
}

impl Case {
    /// The operation as one text.
    pub fn operation(&self) -> String {
        self.words.join(" ")
    }
}

/// Reads a table; an error says which line is wrong.
pub fn parse(text: &str) -> Result<Table> {
    let mut table = Table::default();
    for (line, text) in (1..).zip(text.lines()) {
        table
            .line(line, text)
            .with_context(|| format!("line {line}"))?;
    }
    ensure!(!table.caller.is_empty(), "the table names no caller");
    Ok(table)
}

impl Table {
    fn line(&mut self, line: usize, text: &str) -> Result<()> {
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        if let Some((operation, verdict)) = text.split_once("->") {
            self.cases
                .push(case(line, operation, verdict, &self.caller)?);
            return Ok(());
        }
        let field = text.split_once(": ");
        let (field, value) = field.context("neither a case nor a field")?;
        match field {
            "labels" => {
                for label in value.split_whitespace() {
                    let (key, value) = label.split_once('=').context("no KEY=VALUE")?;
                    self.labels.insert(key.to_owned(), value.to_owned());
                }
            }
            "container" => value.clone_into(&mut self.container),
            "caller" => value.clone_into(&mut self.caller),
            _ => bail!("there is no field `{field}`"),
        }
        Ok(())
    }
}

fn case(line: usize, operation: &str, verdict: &str, caller: &str) -> Result<Case> {
    let mut words: Vec<String> = operation.split_whitespace().map(str::to_owned).collect();
    if !words.iter().any(|word| word == "--by") {
        words.extend(["--by".to_owned(), caller.to_owned()]);
    }
    let mut ends = verdict.split_whitespace().map(str::to_owned);
    let verdict = ends.next().context("no verdict")?;
    let rule = ends.next();
    let has_rule = ["deny", "would-deny", "audit"].contains(&verdict.as_str());
    let has_none = ["allow", "unresolved"].contains(&verdict.as_str());
    ensure!(has_rule || has_none, "there is no verdict `{verdict}`");
    ensure!(
        rule.is_some() == has_rule,
        "a rule exactly where one decides"
    );
    ensure!(ends.next().is_none(), "something behind the rule");
    Ok(Case {
        line,
        words,
        verdict,
        rule,
    })
}
