//! The command line, and the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;

use bartizan_policy::printable::Printable;
use bartizan_policy::request;
use bartizan_policy::validate::{self, NameError};
use clap::{Parser, Subcommand, ValueEnum};

use crate::report::{Failure, Report, USAGE};

/// Check and explain Bartizan policies, with no kernel and no cluster.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(Check),
    #[command(after_long_help = explain_help())]
    Explain(Explain),
}

/// Find everything that is wrong with policy files.
///
/// Each problem is a line `FILE:LINE:COLUMN: FIELD: MESSAGE` that also says what to write
/// instead; a line that starts with `warning: ` is about something that is valid, but probably
/// not meant. Policies are compiled as well, alone and together with those that hold for the
/// same containers, so policies that pass here can be enforced.
///
/// Exit codes: 0 all valid, maybe with warnings; 1 a problem was found, or a file couldn't be
/// read or the answer written; 2 wrong usage; 3 all valid, but not everything can be enforced
/// on a node with a kernel of `--kernel-features`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Files, directories (their .yaml and .yml files), or `-` for standard input
    #[arg(required = true, value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    /// What a node's kernel has, as `bartizan-enforcer kernel-features` prints it there: say
    /// what it can't enforce; can be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel_features: Vec<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Say what policies decide about an operation, and which rule does.
///
/// The answer comes from the same tables and the same code that run in the kernel.
///
/// Exit codes: 0 allowed (a would-be denial of a policy in Audit too), 3 denied,
/// 1 invalid policies, or a file couldn't be read or the answer written, 2 wrong usage.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A policy file or directory, or `-`; can be given several times
    #[arg(short, long = "file", required = true, value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    /// The namespace of the workload; without it every policy counts as one of the
    /// workload's own namespace
    #[arg(short, long, value_name = "NS", value_parser = namespace)]
    pub(crate) namespace: Option<String>,
    /// A label of the workload's namespace, for cluster policies
    #[arg(long, value_name = "KEY=VALUE", value_parser = validate::label, requires = "namespace")]
    pub(crate) namespace_label: Vec<(String, String)>,
    /// A label of the workload; can be given several times
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = validate::label)]
    pub(crate) label: Vec<(String, String)>,
    /// The name of the container; without it a policy with `containers` holds only if
    /// one of them is `*`
    #[arg(short, long, value_name = "NAME", value_parser = container)]
    pub(crate) container: Option<String>,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The calling executable; without it, one that is in no `from` and no `exceptFrom`, and
    /// the rules that have these are named
    #[arg(long, value_name = "PATH")]
    pub(crate) by: Option<OsString>,
    /// The calling process owns the file
    #[arg(long)]
    pub(crate) owner: bool,
    /// What is done, such as `exec /usr/bin/apt`; `--help` lists them
    #[arg(required = true, value_name = "OPERATION")]
    pub(crate) operation: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  bartizan check policies/
  bartizan check web.yaml -o json
  bartizan check policies/ --kernel-features node-1.json --kernel-features node-2.json
  kubectl get securitypolicies -A -o yaml | bartizan check -";

fn explain_help() -> String {
    let operations = request::SYNTAX.replace('\n', "\n  ");
    format!(
        "Operations:\n  {operations}

Examples:
  bartizan explain -f policies/ exec /usr/bin/apt
  bartizan explain -f web.yaml --label app=web file read /etc/shadow --by /usr/sbin/nginx
  bartizan explain -f web.yaml -n shop -l app=web connect tcp 10.0.0.1:443
  bartizan explain -f web.yaml -o json capability NET_RAW"
    )
}

fn namespace(text: &str) -> Result<String, NameError> {
    validate::namespace(text).map(|()| text.to_owned())
}

fn container(text: &str) -> Result<String, NameError> {
    validate::container_name(text).map(|()| text.to_owned())
}

/// What is said of words that clap refused.
pub(crate) fn refusal(words: &[OsString], error: clap::Error) -> Report {
    // Words that are printable are refused with the same message, but printable.
    let words: Vec<String> = words
        .iter()
        .map(|word| Printable(&word.to_string_lossy()).to_string())
        .collect();
    let error = Args::try_parse_from(&words).err().unwrap_or(error);
    let text = error.render().to_string();
    if !wants_json(&words) {
        let mut report = Report {
            code: USAGE,
            ..Report::default()
        };
        text.lines().for_each(|line| report.stderr.add(line));
        return report;
    }
    let message = text.split("\n\n").next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    Failure::usage(message.join(" ")).report(Output::Json)
}

/// Whether words that can't be parsed ask for JSON.
fn wants_json(words: &[String]) -> bool {
    let together = ["-ojson", "-o=json", "--output=json"];
    let apart = |pair: &[String]| ["-o", "--output"].contains(&&*pair[0]) && pair[1] == "json";
    words.iter().any(|word| together.contains(&word.as_str())) || words.windows(2).any(apart)
}
