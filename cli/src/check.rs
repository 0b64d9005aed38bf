//! `bartizan check`: everything that is wrong with policy files.

use bartizan_policy::combination::{Refusal, refusals};
use bartizan_policy::link::Workload;
use bartizan_policy::lint::warnings;
use bartizan_policy::load::{Diagnostic, Diagnostics, Source, load};
use bartizan_policy::policy::Policy;
use bartizan_policy::selector::Labels;
use serde::Serialize;

use crate::args::{Check, Output};
use crate::enforceable::Node;
use crate::report::{INVALID, Report, UNENFORCEABLE};

/// The result for programs.
#[derive(Serialize)]
struct Json<'a> {
    valid: bool,
    files: usize,
    policies: usize,
    diagnostics: &'a [Diagnostic],
    warnings: &'a [Diagnostic],
    kernels: &'a [Node],
}

pub(crate) fn run(args: &Check) -> Report {
    let sources = Source::read_all(&args.files);
    let files = sources.len();
    let (policies, mut problems, warnings) = match load(&sources) {
        Ok(policies) => {
            let refusals = refusals(&policies);
            let refusals = refusals.iter().map(|refusal| too_much(&policies, refusal));
            let refusals: Vec<_> = refusals.collect();
            let warnings = policies.iter().flat_map(warnings).collect();
            (policies, refusals, warnings)
        }
        Err(Diagnostics(problems)) => (Vec::new(), problems, Vec::new()),
    };
    let mut kernels = Vec::new();
    for path in &args.kernel_features {
        match Node::read(path, &policies) {
            Ok(kernel) => kernels.push(kernel),
            Err(problem) => problems.push(problem),
        }
    }
    let policies = policies.len();
    let valid = problems.is_empty();
    let mut report = Report {
        code: if !valid {
            INVALID
        } else if kernels.iter().all(Node::is_enough) {
            0
        } else {
            UNENFORCEABLE
        },
        ..Report::default()
    };
    match args.output {
        Output::Json => report.stdout.add_json(&Json {
            valid,
            files,
            policies,
            diagnostics: &problems,
            warnings: &warnings,
            kernels: &kernels,
        }),
        Output::Text => {
            for problem in &problems {
                report.stdout.add(problem);
            }
            for warning in &warnings {
                report.stdout.add(format_args!("warning: {warning}"));
            }
            for line in kernels.iter().flat_map(Node::lines) {
                report.stdout.add(line);
            }
            if valid {
                let are = if policies == 1 { "is" } else { "are" };
                let (policies, files) = (count(policies, "policy"), count(files, "file"));
                let valid = format_args!("{policies} in {files} {are} valid");
                report.stdout.add(valid);
            } else {
                report.stderr.add(count(problems.len(), "problem"));
            }
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

/// Why valid policies can't be enforced, at the policy that costs most.
fn too_much(policies: &[Policy], refusal: &Refusal) -> Diagnostic {
    let Refusal {
        policies: places,
        workload,
        error,
    } = refusal;
    let culprit = places
        .iter()
        .map(|&place| &policies[place])
        .max_by_key(|policy| Some(policy.info.reference().as_str()) == error.culprit());
    let origin = culprit.and_then(|policy| policy.origin.as_ref());
    let together = match places.len() {
        1 => String::new(),
        number => format!(
            "the {number} policies {} can't be enforced together: ",
            of(workload)
        ),
    };
    Diagnostic {
        file: origin.map(|origin| origin.file.clone()).unwrap_or_default(),
        line: origin.map(|origin| origin.line),
        column: None,
        field: None,
        message: format!("{together}{error}"),
    }
}

/// `of container web in pods with app=web of namespace shop`
fn of(workload: &Workload) -> String {
    let container = match &workload.container {
        Some(name) => format!("of container {name} in pods"),
        None => "of pods".to_owned(),
    };
    let with = |labels: &Labels| {
        let words: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let with = if words.is_empty() { "" } else { " with " };
        format!("{with}{}", words.join(","))
    };
    let namespace = match &workload.namespace {
        Some(name) if workload.namespace_labels.is_empty() => format!("of namespace {name}"),
        _ => format!("of namespaces{}", with(&workload.namespace_labels)),
    };
    format!("{container}{} {namespace}", with(&workload.labels))
}
