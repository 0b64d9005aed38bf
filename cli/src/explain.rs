//! `bartizan explain`: what policies decide about one operation.

use std::fmt::Write as _;

use anyhow::Context;
use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::evaluate;
use bartizan_policy::explain::{Explanation, Match, explain};
use bartizan_policy::link::{Workload, link};
use bartizan_policy::load::{Source, load};
use bartizan_policy::request::parse_request;

use crate::args::{Explain, Output};
use crate::{DENIED, INVALID, Report, USAGE};

pub(crate) fn run(args: &Explain) -> anyhow::Result<Report> {
    let mut words: Vec<&str> = args.operation.iter().map(String::as_str).collect();
    words.extend(args.by.iter().flat_map(|path| ["--by", path]));
    words.extend(args.owner.then_some("--owner"));
    let request = match parse_request(&words) {
        Ok(request) => request,
        Err(error) => {
            let stderr = format!("error: {error}\n\nFor the operations, try '--help'.\n");
            return Ok(Report {
                stdout: String::new(),
                stderr,
                code: USAGE,
            });
        }
    };
    let policies = match Source::read_all(&args.files).and_then(|sources| load(&sources)) {
        Ok(policies) => policies,
        Err(problems) => {
            let stderr = format!("{problems}\n");
            return Ok(Report {
                stdout: String::new(),
                stderr,
                code: INVALID,
            });
        }
    };
    let workload = Workload {
        namespace: args.namespace.clone(),
        namespace_labels: args.namespace_label.iter().cloned().collect(),
        labels: args.label.iter().cloned().collect(),
        container: args.container.clone(),
    };
    let map = link(&policies, &workload).context("the policies can't be linked")?;
    let table = compile(&map).context("the policies can't be compiled")?;
    let verdict = evaluate(&table, &request);
    let explanation = explain(&policies, &map, &request, verdict);
    let stdout = match args.output {
        Output::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        Output::Text => text(&explanation, policies.len(), map.policies.len())?,
    };
    let denied = explanation.verdict == bartizan_policy::explain::Permission::Deny;
    Ok(Report {
        stdout,
        stderr: String::new(),
        code: if denied { DENIED } else { 0 },
    })
}

fn text(
    explained: &Explanation,
    given: usize,
    selecting: usize,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let Explanation {
        outcome,
        operation,
        target,
        ..
    } = explained;
    write!(text, "{outcome}: {operation} {target}")?;
    if let Some(executable) = &explained.executable {
        write!(text, " by {executable}")?;
    }
    text.push('\n');
    match explained.matched.iter().find(|rule| rule.decided) {
        Some(rule) => writeln!(text, "  decided by {}", described(rule))?,
        None if selecting == 0 => {
            writeln!(
                text,
                "  no policy of {given} selects the workload; try --label or -n"
            )?;
        }
        None => writeln!(
            text,
            "  no rule of {selecting} selecting policies denies it"
        )?,
    }
    if let Some(message) = &explained.message {
        writeln!(text, "  message: {message}")?;
    }
    if explained.would_deny {
        writeln!(
            text,
            "  it goes on, because the policy is in Audit; in Enforce it would be denied"
        )?;
    }
    let lost: Vec<&Match> = explained
        .matched
        .iter()
        .filter(|rule| !rule.decided)
        .collect();
    if !lost.is_empty() {
        writeln!(text, "  matched, but lost:")?;
    }
    for rule in lost {
        writeln!(text, "    {}", described(rule))?;
    }
    Ok(text)
}

/// `deny rule no-curl of shop/web (web.yaml:14, Enforce)`
fn described(rule: &Match) -> String {
    let Match {
        policy,
        rule: name,
        effect,
        mode,
        place,
        ..
    } = rule;
    let kind = if *effect == "default-deny" {
        "the default"
    } else {
        &format!("{effect} rule")
    };
    let place = place
        .as_ref()
        .map(|place| format!("{place}, "))
        .unwrap_or_default();
    format!("{kind} {name} of {policy} ({place}{mode})")
}
