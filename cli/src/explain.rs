//! `bartizan explain`: what policies decide about one operation.

use std::os::unix::ffi::OsStrExt;

use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::evaluate;
use bartizan_policy::explain::{Explanation, Match, Permission, explain};
use bartizan_policy::link::{Mismatch, Workload, link};
use bartizan_policy::load::{Source, load};
use bartizan_policy::operation::Request;
use bartizan_policy::policy::Policy;
use bartizan_policy::request::{RequestError, parse_request};
use bartizan_policy::validate::labels;

use crate::args::{Explain, Output};
use crate::report::{DENIED, Failure, Lines, Report};

pub(crate) fn run(args: &Explain) -> Result<Report, Failure> {
    let request = request(args).map_err(Failure::usage)?;
    let policies = load(&Source::read_all(&args.files))?;
    let workload = Workload {
        namespace: args.namespace.clone(),
        namespace_labels: labels(args.namespace_label.clone()).map_err(Failure::usage)?,
        labels: labels(args.label.clone()).map_err(Failure::usage)?,
        container: args.container.clone(),
    };
    let together = |error: &dyn std::error::Error| {
        Failure::policies(format_args!("the policies can't be used together: {error}"))
    };
    let map = link(&policies, &workload).map_err(|error| together(&error))?;
    let table = compile(&map).map_err(|error| together(&error))?;
    let verdict = evaluate(&table, &request);
    let explanation = explain(&policies, &map, &request, verdict);
    let mut report = Report::default();
    match args.output {
        Output::Json => report.stdout.add_json(&explanation),
        Output::Text => {
            say(&mut report.stdout, &explanation);
            say_missed(&mut report.stdout, &policies, &workload);
        }
    }
    if explanation.verdict == Permission::Deny {
        report.code = DENIED;
    }
    Ok(report)
}

fn request(args: &Explain) -> Result<Request, RequestError> {
    let mut words: Vec<&[u8]> = args.operation.iter().map(|word| word.as_bytes()).collect();
    words.extend(args.by.iter().flat_map(|path| [b"--by", path.as_bytes()]));
    words.extend(args.owner.then_some(&b"--owner"[..]));
    parse_request(&words)
}

fn say(text: &mut Lines, explained: &Explanation) {
    let Explanation {
        outcome,
        operation,
        target,
        ..
    } = explained;
    let by = explained.executable.as_ref();
    let by = by.map(|path| format!(" by {path}")).unwrap_or_default();
    text.add(format_args!("{outcome}: {operation} {target}{by}"));
    let (decided, lost): (Vec<&Match>, _) = explained.matched.iter().partition(|rule| rule.decided);
    match (decided.first(), explained.selecting.len()) {
        (Some(rule), _) => text.add(format_args!("  decided by {}", described(rule))),
        (None, 0) => text.add("  no policy selects the workload"),
        (None, 1) => text.add("  no rule of the selecting policy denies it"),
        (None, selecting) => text.add(format_args!(
            "  no rule of {selecting} selecting policies denies it"
        )),
    }
    if let Some(message) = &explained.message {
        text.add(format_args!("  message: {message}"));
    }
    if explained.would_deny {
        text.add("  it goes on, because the policy is in Audit; in Enforce it would be denied");
    }
    say_rules(text, "matched, but lost:", lost);
    say_rules(
        text,
        "no caller is given; with --by PATH these rules may change the answer:",
        explained.depends_on_caller.iter(),
    );
}

fn say_rules<'a>(text: &mut Lines, title: &str, rules: impl IntoIterator<Item = &'a Match>) {
    let mut rules = rules.into_iter().peekable();
    if rules.peek().is_some() {
        text.add(format_args!("  {title}"));
    }
    rules.for_each(|rule| text.add(format_args!("    {}", described(rule))));
}

/// Which policies don't select the workload, and the option that could be missing.
fn say_missed(text: &mut Lines, policies: &[Policy], workload: &Workload) {
    let unnamed = workload.container.is_none();
    let kinds = [
        (Mismatch::Namespace, "in other namespaces (-n)"),
        (Mismatch::Labels, "for pods with other labels (-l)"),
        (
            Mismatch::Container,
            if unnamed {
                "for containers by name, and no name is given (-c)"
            } else {
                "for other containers (-c)"
            },
        ),
    ];
    for (kind, what) in kinds {
        let missed = policies.iter();
        let missed = missed.filter(|policy| workload.mismatch(policy) == Some(kind));
        match missed.count() {
            0 => {}
            1 => text.add(format_args!("  1 policy is {what}")),
            number => text.add(format_args!("  {number} policies are {what}")),
        }
    }
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
