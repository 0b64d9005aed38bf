//! `bartizan check`: everything that is wrong with policy files.

use bartizan_policy::compile::compile;
use bartizan_policy::link;
use bartizan_policy::load::{Diagnostic, Diagnostics, Source, load};
use bartizan_policy::policy::Policy;
use serde::Serialize;

use crate::args::{Check, Output};
use crate::report::{INVALID, Report};

/// The result for programs.
#[derive(Serialize)]
struct Json<'a> {
    valid: bool,
    files: usize,
    policies: usize,
    diagnostics: &'a [Diagnostic],
}

pub(crate) fn run(args: &Check) -> Report {
    let sources = Source::read_all(&args.files);
    let files = sources.len();
    let (policies, problems) = match load(&sources) {
        Ok(policies) => (
            policies.len(),
            policies.iter().filter_map(too_much).collect(),
        ),
        Err(Diagnostics(problems)) => (0, problems),
    };
    let valid = problems.is_empty();
    let mut report = Report {
        code: if valid { 0 } else { INVALID },
        ..Report::default()
    };
    match args.output {
        Output::Json => report.stdout.add_json(&Json {
            valid,
            files,
            policies,
            diagnostics: &problems,
        }),
        Output::Text if valid => {
            let are = if policies == 1 { "is" } else { "are" };
            let (policies, files) = (count(policies, "policy"), count(files, "file"));
            report
                .stdout
                .add(format_args!("{policies} in {files} {are} valid"));
        }
        Output::Text => {
            for problem in &problems {
                report.stdout.add(problem);
            }
            report.stderr.add(count(problems.len(), "problem"));
        }
    }
    report
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
