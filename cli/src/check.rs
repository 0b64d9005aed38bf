//! `bartizan check`: everything that is wrong with policy files.

use std::fmt::Write as _;

use bartizan_policy::compile::compile;
use bartizan_policy::link;
use bartizan_policy::load::{Diagnostic, Diagnostics, Source, load};
use bartizan_policy::policy::Policy;
use serde::Serialize;

use crate::args::{Check, Output};
use crate::{INVALID, Report};

/// The result for programs.
#[derive(Serialize)]
struct Json<'a> {
    valid: bool,
    files: usize,
    policies: usize,
    diagnostics: &'a [Diagnostic],
}

pub(crate) fn run(args: &Check) -> anyhow::Result<Report> {
    let sources = Source::read_all(&args.files);
    let files = sources.as_ref().map_or(0, Vec::len);
    let loaded = sources.and_then(|sources| load(&sources));
    let (policies, problems) = match loaded {
        Ok(policies) => (
            policies.len(),
            policies.iter().filter_map(too_much).collect(),
        ),
        Err(Diagnostics(problems)) => (0, problems),
    };
    let valid = problems.is_empty();
    let stdout = match args.output {
        Output::Json => {
            let json = Json {
                valid,
                files,
                policies,
                diagnostics: &problems,
            };
            serde_json::to_string_pretty(&json)? + "\n"
        }
        Output::Text if valid => {
            let (policies, files) = (count(policies, "policy"), count(files, "file"));
            let are = if policies.starts_with("1 ") {
                "is"
            } else {
                "are"
            };
            format!("{policies} in {files} {are} valid\n")
        }
        Output::Text => {
            let mut text = String::new();
            for problem in &problems {
                writeln!(text, "{problem}")?;
            }
            text
        }
    };
    let stderr = match args.output {
        Output::Text if !valid => format!("{}\n", count(problems.len(), "problem")),
        _ => String::new(),
    };
    Ok(Report {
        stdout,
        stderr,
        code: if valid { 0 } else { INVALID },
    })
}

fn count(number: usize, what: &str) -> String {
    match (number, what) {
        (1, what) => format!("1 {what}"),
        (number, "policy") => format!("{number} policies"),
        (number, what) => format!("{number} {what}s"),
    }
}

/// Why a valid policy can't be enforced.
fn too_much(policy: &Policy) -> Option<Diagnostic> {
    let message = match link::alone(policy) {
        Ok(map) => compile(&map).err()?.to_string(),
        Err(error) => error.to_string(),
    };
    let origin = policy.origin.as_ref();
    Some(Diagnostic {
        file: origin.map(|origin| origin.file.clone()).unwrap_or_default(),
        line: origin.map(|origin| origin.line),
        column: None,
        field: None,
        message,
    })
}
